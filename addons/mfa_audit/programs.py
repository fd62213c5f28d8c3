"""The program behind a connection: which process of this machine owns a client's port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Set
from typing import Final, NamedTuple

import psutil

from mfa_audit.command_lines import name_of

# Connections that wait for a scan; further ones stay unknown. A scan takes them all at once.
PENDING_LIMIT: Final = 1000
# A scan reads every process (13 ms on a quiet machine, 22 ms for 1,600 sockets): rest as long as the last one took.
REST: Final = 1


class Connection(NamedTuple):
    """A client's connection to the proxy on this machine, by its two ports (`proxy_port` None: whichever)."""

    port: int
    proxy_port: int | None


class Programs:
    """Finds the programs behind loopback connections, for one asyncio loop.

    `denied` counts those that the system's rights kept from us: running elevated would help.
    """

    def __init__(self) -> None:
        self.denied = 0
        self._pending: dict[Connection, asyncio.Future[str | None]] = {}
        self._scanning: asyncio.Task[None] | None = None

    async def find(self, port: int, proxy_port: int | None = None) -> str | None:
        """The program that owns the client's `port`, connected to `proxy_port`; None when unknown.

        Ask while the connection is open. Never raises and never blocks the loop: one scan in a thread answers
        all that wait, and scans rest between each other.
        """
        wanted = Connection(port, proxy_port)
        future = self._pending.get(wanted)
        if future is None:
            if len(self._pending) >= PENDING_LIMIT:
                return None
            future = self._pending[wanted] = asyncio.get_running_loop().create_future()
            if self._scanning is None or self._scanning.done():
                self._scanning = asyncio.create_task(self._scan())
        # Shielded: others may wait for the same one.
        return await asyncio.shield(future)

    async def _scan(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            started = time.monotonic()
            found: Mapping[Connection, str] = {}
            # Whatever psutil meets on an odd system: the programs stay unknown, the traffic goes on.
            with contextlib.suppress(Exception):
                found, denied = await asyncio.to_thread(look_up, frozenset(batch))
                self.denied += denied
            for wanted, future in batch.items():
                if not future.done():
                    future.set_result(found.get(wanted))
            await asyncio.sleep(REST * (time.monotonic() - started))


def look_up(wanted: Set[Connection]) -> tuple[dict[Connection, str], int]:
    """The programs of those `wanted` that can be told, and how many were kept from us. Blocks."""
    found: dict[Connection, str] = {}
    denied = 0
    for pid, port, peer_port in _sockets():
        for connection in {Connection(port, peer_port), Connection(port, None)} & wanted - found.keys():
            name, refused = _name_of_process(pid)
            denied += refused
            if name:
                found[connection] = name
    return found, denied


def _sockets() -> Iterator[tuple[int | None, int, int]]:
    """Every TCP connection on this machine that we may see: its process, if told, and its two ports."""
    try:
        for socket in psutil.net_connections("tcp"):
            # A closing socket without a process is one whose process has gone.
            if (
                socket.laddr
                and socket.raddr
                and (socket.pid is not None or socket.status == psutil.CONN_ESTABLISHED)
            ):
                yield socket.pid, socket.laddr.port, socket.raddr.port
        return
    except psutil.AccessDenied:
        pass  # macOS shows all of them to root only, but to each user those of his own processes
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for own in process.net_connections("tcp"):
                if own.laddr and own.raddr:
                    yield process.pid, own.laddr.port, own.raddr.port


def _name_of_process(pid: int | None) -> tuple[str | None, bool]:
    """Its name, and whether more rights would have told more."""
    if pid is None:
        return None, True  # Linux lists the socket of another user's process without the process
    try:
        process = psutil.Process(pid)
        try:
            return name_of(process.exe(), process.cmdline()), False
        except psutil.AccessDenied:
            return name_of(process.name(), []), True
    except psutil.Error:
        return None, False

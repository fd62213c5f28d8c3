"""The program behind a connection: which process of this machine owns a client's port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from mfa_audit.addon.command_lines import name_of
from mfa_audit.exchanges.exchange import Program
from mfa_audit.printable import line

# Connections that wait to be looked up; further ones stay unknown. One look takes them all at once.
PENDING_LIMIT: Final = 1000
# Looking at all processes takes some 10 to 30 ms of one core: rest that much longer than each look took.
REST: Final = 4
# The processes looked at first and without that rest: those that owned the latest connections, and those
# that started last.
LIKELY: Final = 16
_ESTABLISHED: Final = "01"  # in /proc/net/tcp


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
        self._pending: dict[Connection, asyncio.Future[Program | None]] = {}
        self._came = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._owners: list[int] = []  # of the latest connections, latest first
        self._rested = 0.0  # when all processes may be looked at again, by time.monotonic()

    async def find(self, port: int, proxy_port: int | None = None) -> Program | None:
        """The program that owns the client's `port`, connected to `proxy_port`; None when unknown.

        Ask while the connection is open. Never raises and never blocks the loop: one look in a thread answers
        all that wait.
        """
        wanted = Connection(port, proxy_port)
        future = self._pending.get(wanted)
        if future is None:
            if len(self._pending) >= PENDING_LIMIT:
                return None
            future = self._pending[wanted] = asyncio.get_running_loop().create_future()
            self._came.set()
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
        # Shielded: others may wait for the same one.
        return await asyncio.shield(future)

    async def _look(self) -> None:
        while self._pending:
            self._came.clear()
            wanted = frozenset(self._pending)
            started = time.monotonic()
            everywhere = started >= self._rested
            owners: Mapping[Connection, tuple[int, Program]] = {}
            # Whatever psutil meets on an odd system: the programs stay unknown, the traffic goes on.
            with contextlib.suppress(Exception):
                owners, denied = await asyncio.to_thread(look_up, wanted, tuple(self._owners), everywhere)
                self.denied += denied
            self._answer(wanted if everywhere else owners.keys(), owners)
            if len(owners) == len(wanted):
                continue  # found early, at little cost
            took = time.monotonic() - started
            if everywhere:
                self._rested = time.monotonic() + REST * took
            await asyncio.sleep(min(took, 0.02))
            if self._pending:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), max(0.0, self._rested - time.monotonic()))

    def _answer(self, done: Set[Connection], owners: Mapping[Connection, tuple[int, Program]]) -> None:
        for connection in done:
            pid, program = owners.get(connection, (None, None))
            if pid is not None:
                self._owners = [pid, *(other for other in self._owners if other != pid)][:LIKELY]
            future = self._pending.pop(connection)
            if not future.done():
                future.set_result(program)


def look_up(
    wanted: Set[Connection], likely: Sequence[int] = (), everywhere: bool = True
) -> tuple[dict[Connection, tuple[int, Program]], int]:
    """The owners (pid, program) of those `wanted` that can be told, and how many were kept from us. Blocks.

    The processes `likely` and those that started last come first; all others only when `everywhere`.
    """
    found: dict[Connection, tuple[int, Program]] = {}
    refused: set[Connection] = set()
    ports = {connection.port for connection in wanted}
    for pid, port, peer_port in _sockets(ports, likely, everywhere):
        for connection in {Connection(port, peer_port), Connection(port, None)} & wanted - found.keys():
            name, denied = _name_of_process(pid)
            if denied:
                refused.add(connection)
            if name and pid is not None:
                found[connection] = (pid, Program(name))
        if len(found) == len(wanted):
            break
    return found, len(refused)


def _sockets(
    ports: Set[int], likely: Sequence[int], everywhere: bool
) -> Iterator[tuple[int | None, int, int]]:
    """The TCP connections from `ports` that we may see: the process (None: kept from us) and both ports."""
    if psutil.LINUX:
        yield from _sockets_on_linux(ports, likely, everywhere)
        return
    if psutil.MACOS:  # which shows all of them to root only, but to each user those of his own processes
        yield from _sockets_of(_in_turn(likely, everywhere), ports)
        return
    # Windows keeps one table with the processes in it.
    for socket in psutil.net_connections("tcp"):
        if socket.raddr and socket.laddr and socket.laddr.port in ports and socket.pid:
            yield socket.pid, socket.laddr.port, socket.raddr.port


def _in_turn(likely: Sequence[int], everywhere: bool) -> Iterable[int]:
    newest_first = sorted(psutil.pids(), reverse=True)
    return dict.fromkeys((*likely, *(newest_first if everywhere else newest_first[:LIKELY])))


def _sockets_of(pids: Iterable[int], ports: Set[int]) -> Iterator[tuple[int | None, int, int]]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for own in psutil.Process(pid).net_connections("tcp"):
                if own.raddr and own.laddr and own.laddr.port in ports:
                    yield pid, own.laddr.port, own.raddr.port


def _sockets_on_linux(
    ports: Set[int], likely: Sequence[int], everywhere: bool
) -> Iterator[tuple[int | None, int, int]]:
    """psutil reads the whole table of sockets anew for each process, this once; see proc(5), /proc/net/tcp."""
    hexadecimal = "|".join(f"{port:04X}" for port in ports)
    row = re.compile(rf"\d+: \w+:({hexadecimal}) \w+:(\w+) (\w+) \S+ \S+ \w+ +(\d+) +\d+ (\d+) ")
    sockets: dict[str, tuple[int, int]] = {}  # by what a process's descriptor of it links to
    others: set[str] = set()  # those of other users
    me = os.geteuid()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        # Line by line: it may be megabytes, and as one text it would leave the process larger by them.
        with contextlib.suppress(OSError), Path(table).open() as lines:
            for match in filter(None, map(row.search, lines)):
                port, peer_port, state, user, inode = match.groups()
                # A closing socket without an inode is one whose process has gone.
                if inode != "0" or state == _ESTABLISHED:
                    sockets[f"socket:[{inode}]"] = (int(port, 16), int(peer_port, 16))
                    if me not in (0, int(user)):
                        others.add(f"socket:[{inode}]")
    for pid in _in_turn(likely, everywhere):
        if not sockets:
            return
        with contextlib.suppress(OSError):  # another user's process, or gone by now
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                link = os.readlink(descriptor.path)  # noqa: PTH115 - some hundred of them
                if link in sockets:
                    yield (pid, *sockets.pop(link))
    if everywhere:  # of what is left, ours were closed meanwhile
        yield from ((None, *both) for socket, both in sockets.items() if socket in others)


def _name_of_process(pid: int | None) -> tuple[str | None, bool]:
    """Its name, and whether more rights would have told more."""
    if pid is None:
        return None, True
    try:
        process = psutil.Process(pid)
        try:
            return name_of(process.exe(), process.cmdline()), False
        except psutil.AccessDenied:
            return name_of(process.name(), []), True
    except psutil.Error:
        return None, False


def holder_of(port: int) -> str | None:
    """Who listens on a TCP port, as `name (process 17)`, where this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
                name = (
                    psutil.Process(connection.pid).name() if connection.pid else "another account's program"
                )
                return f"{line(name)} (process {connection.pid or 'unknown'})"
    except (psutil.Error, OSError):
        return None
    return None

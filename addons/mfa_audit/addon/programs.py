"""The program behind a connection: which process of this machine owns the client's end of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final, NamedTuple

import psutil

from mfa_audit.addon.command_lines import name_of
from mfa_audit.addon.linux_sockets import (
    Address,
    Socket,
    descriptor_count,
    descriptors,
    find_socket,
    newest_first,
    socket_at,
)
from mfa_audit.addon.starters import started_by
from mfa_audit.exchanges.exchange import Program
from mfa_audit.printable import line

# Connections that wait for a look at all processes; further ones stay unknown.
PENDING_LIMIT: Final = 1000
# A look at all processes that found nothing is not repeated for so many times what it took.
REST: Final = 4
# The processes looked at first and without that rest: those that owned the latest connections, and those
# that started last.
LIKELY: Final = 16
# Seconds of looking at processes after which other connections have their turn.
SLICE: Final = 0.001


class Connection(NamedTuple):
    """A connection to the proxy from this machine: the client's end and the proxy's."""

    client: Address
    proxy: Address


class Programs:
    """Finds the programs behind connections from this machine, for one asyncio loop.

    `denied` counts those that the system's rights kept from us: running elevated would help.
    """

    def __init__(self) -> None:
        self.denied = 0
        self._owners: list[int] = []  # of the latest connections, latest first
        self._known: dict[int, frozenset[str]] = {}  # the descriptors that a process had at the last walk
        self._learning: asyncio.Task[None] | None = None
        self._accounts: dict[int, str | None] = {}
        self._sought: dict[int, asyncio.Future[int | None]] = {}  # by the socket's inode
        self._seeking: asyncio.Task[None] | None = None
        self._rested = 0.0  # when all processes may be looked at again, by time.monotonic()
        self._pending: dict[Connection, asyncio.Future[Program | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def find(self, client: Address, proxy: Address) -> Program | None:
        """The program at the client's end of a connection to the proxy; None when unknown.

        Ask while the connection is open. Never raises, and keeps the loop for little more than `SLICE` at a time.
        On Linux most answers wait for nothing; elsewhere one look in a thread answers all that wait.
        """
        # Whatever an odd system does to us: the program stays unknown, the traffic goes on.
        with contextlib.suppress(Exception):
            if psutil.LINUX:
                try:
                    found = find_socket(client, proxy)
                except OSError:
                    pass  # a kernel that does not answer such questions: psutil reads its tables instead
                else:
                    return None if found is None else await self._owner(found)
            return await self._look_up(Connection(client, proxy))
        return None

    # -- on Linux ---------------------------------------------------------------------------------------------

    async def _owner(self, wanted: Socket) -> Program | None:
        pid = self._look_briefly(wanted.inode) or await self._seek(wanted.inode)
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn())
        if pid is None:
            # Our own account's socket was closed meanwhile; another's may have been kept from us.
            self.denied += os.geteuid() not in (0, wanted.uid)
            return None
        self._note_owner(pid)
        name, denied = _name_of_process(pid)
        self.denied += denied
        if name is None:
            return None
        starter = started_by(pid)
        if wanted.uid not in self._accounts:  # a directory server may have to be asked for its name
            self._accounts[wanted.uid] = await asyncio.to_thread(_account_name, wanted.uid)
        return Program(name, self._accounts[wanted.uid], starter)

    def _note_owner(self, pid: int) -> None:
        self._owners = [pid, *(other for other in self._owners if other != pid)][:LIKELY]

    def _look_briefly(self, inode: int) -> int | None:
        """The process that holds a socket, if it is found within a slice."""
        began = time.monotonic()
        for pid, held in self._walk(everywhere=began >= self._rested):
            if held == inode:
                return pid
            if time.monotonic() - began > SLICE:
                break
        return None

    async def _seek(self, inode: int) -> int | None:
        """The process that holds a socket, looked for in slices; one walk serves all that wait."""
        future = self._sought.get(inode)
        if future is None:
            if len(self._sought) >= PENDING_LIMIT:
                return None
            future = self._sought[inode] = asyncio.get_running_loop().create_future()
            if self._seeking is None or self._seeking.done():
                self._seeking = asyncio.create_task(self._seek_all())
        return await asyncio.shield(future)

    async def _seek_all(self) -> None:
        while self._sought:
            await asyncio.sleep(max(0.0, self._rested - time.monotonic()))
            wanted = tuple(self._sought)
            took = 0.0
            began = time.monotonic()
            with contextlib.suppress(Exception):
                for pid, inode in self._walk(everywhere=True):
                    if inode in self._sought:
                        self._answer(inode, pid)
                        if not self._sought:
                            return
                    if (now := time.monotonic()) - began > SLICE:
                        took += now - began
                        await asyncio.sleep(0)
                        began = time.monotonic()
            took += time.monotonic() - began
            for inode in wanted:
                self._answer(inode, None)
            self._rested = time.monotonic() + REST * took

    def _answer(self, inode: int, pid: int | None) -> None:
        future = self._sought.pop(inode, None)
        if future is not None and not future.done():
            future.set_result(pid)

    def _walk(self, *, everywhere: bool) -> Iterator[tuple[int, int]]:
        """Processes and the sockets that they hold (0: none), the likely ones first.

        Reading what is behind a descriptor is most of the work, so those that were there at the last walk come last.
        """
        for pid in self._owners:
            for name in descriptors(pid):
                yield pid, socket_at(pid, name)
        newest = newest_first(psutil.pids())
        if not everywhere:
            newest = newest[:LIKELY]
        passed: list[int] = []
        for pid in newest:
            yield pid, 0
            known = self._known.get(pid)
            if known is not None:
                passed.append(pid)
                if descriptor_count(pid) == len(known):
                    continue
            names = descriptors(pid)
            for name in names:
                if known is None or name not in known:
                    yield pid, socket_at(pid, name)
            self._known[pid] = frozenset(names)
        if everywhere:  # forget those that have gone; another walk may have done so meanwhile
            self._known = {pid: self._known[pid] for pid in newest if pid in self._known}
        for pid in passed:
            for name in descriptors(pid):
                yield pid, socket_at(pid, name)

    async def _learn(self) -> None:
        """Look at every process once, so that what is new can be told at the next look."""
        began = time.monotonic()
        with contextlib.suppress(Exception):
            for _ in self._walk(everywhere=True):
                if time.monotonic() - began > SLICE:
                    await asyncio.sleep(10 * SLICE)
                    began = time.monotonic()

    # -- elsewhere --------------------------------------------------------------------------------------------

    async def _look_up(self, wanted: Connection) -> Program | None:
        future = self._pending.get(wanted)
        if future is None:
            if len(self._pending) >= PENDING_LIMIT:
                return None
            future = self._pending[wanted] = asyncio.get_running_loop().create_future()
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_up_all())
        return await asyncio.shield(future)

    async def _look_up_all(self) -> None:
        while self._pending:
            wanted = frozenset(self._pending)
            began = time.monotonic()
            owners: Mapping[Connection, tuple[int, Program]] = {}
            with contextlib.suppress(Exception):
                owners, denied = await asyncio.to_thread(look_up, wanted, tuple(self._owners))
                self.denied += denied
            for connection in wanted:
                pid, program = owners.get(connection, (None, None))
                if pid is not None:
                    self._note_owner(pid)
                future = self._pending.pop(connection)
                if not future.done():
                    future.set_result(program)
            await asyncio.sleep(time.monotonic() - began)  # half a core at most


def look_up(
    wanted: Set[Connection], likely: Sequence[int] = ()
) -> tuple[dict[Connection, tuple[int, Program]], int]:
    """The owners (pid, program) of those `wanted` that can be told, and how many were kept from us. Blocks.

    The processes `likely` and those that started last come first, where the system is asked process by process.
    """
    found: dict[Connection, tuple[int, Program]] = {}
    refused = 0
    by_ports = {(one.client[1], one.proxy[1]): one for one in wanted}
    for pid, ports in _connections(likely):
        connection = by_ports.get(ports)
        if connection is None or connection in found:
            continue
        name, denied = _name_of_process(pid)
        refused += denied
        if name and pid is not None:
            found[connection] = pid, Program(name, _account_of_process(pid), started_by(pid))
            if len(found) == len(by_ports):
                break
    return found, refused


def _connections(likely: Sequence[int]) -> Iterator[tuple[int | None, tuple[int, int]]]:
    """The TCP connections that we may see: the process (None: kept from us) and the ports of both ends."""
    if psutil.MACOS:  # which shows all of them to root only, but to each user those of their own processes
        for pid in dict.fromkeys((*likely, *sorted(psutil.pids(), reverse=True))):
            with contextlib.suppress(psutil.Error):
                for own in psutil.Process(pid).net_connections("tcp"):
                    if own.laddr and own.raddr:
                        yield pid, (own.laddr.port, own.raddr.port)
        return
    for one in psutil.net_connections("tcp"):  # Windows keeps one table with the processes in it
        if one.laddr and one.raddr and (one.pid or one.status == psutil.CONN_ESTABLISHED):
            yield one.pid or None, (one.laddr.port, one.raddr.port)


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


def _account_of_process(pid: int) -> str | None:
    with contextlib.suppress(psutil.Error, KeyError):
        return psutil.Process(pid).username() or None
    return None


def _account_name(uid: int) -> str:
    import pwd  # POSIX has it

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


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

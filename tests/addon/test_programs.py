"""Which process owns a connection, asked of the real system."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mfa_audit.addon import linux_sockets
from mfa_audit.addon import programs as programs_module
from mfa_audit.addon.linux_sockets import Address, Socket
from mfa_audit.addon.programs import Programs
from mfa_audit.exchanges.exchange import Program

HOST = "127.0.0.1"
CLIENT = """
import socket, sys
connections = [socket.create_connection((sys.argv[3], int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print(*(connection.getsockname()[1] for connection in connections), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def proxy() -> Iterator[Address]:
    """The address of a socket that takes connections and says nothing."""
    with socket.create_server((HOST, 0), backlog=100) as server:
        yield server.getsockname()


@contextmanager
def connected(folder: Path, proxy: Address, count: int = 1, through: str = HOST) -> Iterator[list[Address]]:
    """A script called nightly-sync.py with `count` open connections to `proxy`; yields its ends of them."""
    script = folder / "nightly-sync.py"
    script.write_text(CLIENT)
    command = [sys.executable, str(script), str(proxy[1]), str(count), through, "--password=hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        yield [(HOST, int(word)) for word in child.stdout.readline().split()]
        child.communicate("")


def find(client: Address, proxy: Address, programs: Programs | None = None) -> Program | None:
    """What one look-up answers."""
    return asyncio.run((programs or Programs()).find(client, proxy))


def name_of(found: Program | None) -> str | None:
    """The name alone."""
    return None if found is None else found.name


NAME = "nightly-sync.py"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux' kernel")


@pytest.mark.parametrize("through", [HOST, "::ffff:127.0.0.1"])
def test_a_script_is_found_by_its_port(tmp_path: Path, proxy: Address, through: str) -> None:
    """The process at the client's end of a connection is named by its script, under its account; Java's kind too."""
    with connected(tmp_path, proxy, through=through) as [client]:
        found = find(client, proxy)
    assert found is not None
    assert (NAME, getpass.getuser()) == (found.name, found.account)


def test_ipv6(tmp_path: Path) -> None:
    """The same over IPv6."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        proxy = server.getsockname()[:2]
        with connected(tmp_path, proxy, through="::1") as [(_, port)]:
            found = find(("::1", port), proxy)
    assert NAME == name_of(found)


def test_another_connection_of_the_same_port_is_not_it(tmp_path: Path, proxy: Address) -> None:
    """A port counts only together with the proxy's, since one port can serve many connections."""
    with connected(tmp_path, proxy) as [client]:
        assert find(client, (proxy[0], proxy[1] + 1)) is None


def test_who_listens_on_a_clients_port_is_not_the_client(proxy: Address) -> None:
    """A client that has gone is not taken for a server that listens on the same port."""
    assert find(proxy, (HOST, 9)) is None


def test_a_gone_process_is_unknown(tmp_path: Path, proxy: Address) -> None:
    """After the client has gone there is no name, and no rights are missing."""
    with connected(tmp_path, proxy) as [client]:
        pass
    programs = Programs()
    assert (None, 0) == (find(client, proxy, programs), programs.denied)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A machine with so many processes that no look at them fits into a slice; what is asked of each walk."""
    walks: list[bool] = []
    walk = Programs._walk

    def note(self: Programs, *, everywhere: bool) -> Iterator[tuple[int, int]]:
        walks.append(everywhere)
        return walk(self, everywhere=everywhere)

    monkeypatch.setattr(Programs, "_walk", note)
    monkeypatch.setattr(programs_module, "SLICE", 0)
    return walks


@on_linux
def test_one_walk_answers_all_that_wait(tmp_path: Path, proxy: Address, slow: list[bool]) -> None:
    """Forty connections that cannot be told at once share a walk, and the loop goes on meanwhile."""
    with connected(tmp_path, proxy, 40) as clients:

        async def ask() -> tuple[list[Program | None], int]:
            programs, turns = Programs(), 0
            asked = asyncio.gather(*(programs.find(client, proxy) for client in clients for _ in range(2)))
            while not asked.done():
                turns += 1
                await asyncio.sleep(0)
            return await asked, turns

        found, turns = asyncio.run(ask())
    assert [NAME] * 80 == [name_of(one) for one in found]
    assert 82 == len(slow), "a brief look for each, one walk for all, and one to learn what is there"
    assert 40 < turns


@on_linux
def test_an_owner_is_found_again_without_a_rest(
    tmp_path: Path, proxy: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes one connection after the other is found at once, however long others must rest."""
    monkeypatch.setattr(programs_module, "REST", 1_000_000)
    with connected(tmp_path, proxy, 5) as clients:

        async def ask() -> list[Program | None]:
            programs = Programs()
            first = await programs.find(clients[0], proxy)
            with monkeypatch.context() as patch:
                patch.setattr(programs_module, "find_socket", lambda *_: Socket(inode=1, uid=os.geteuid()))
                patch.setattr(programs_module, "SLICE", 0)
                assert await programs.find(clients[0], proxy) is None  # after that: rest
            return [first, *[await asyncio.wait_for(programs.find(one, proxy), 10) for one in clients[1:]]]

        assert [NAME] * 5 == [name_of(one) for one in asyncio.run(ask())]


@on_linux
def test_what_was_there_before_is_looked_at_last(
    tmp_path: Path, proxy: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one walk only new descriptors are read; one whose number was in use before is found all the same."""
    read: list[int] = []

    def note(pid: int, descriptor: str) -> int:
        read.append(pid)
        return linux_sockets.socket_at(pid, descriptor)

    monkeypatch.setattr(programs_module, "socket_at", note)
    monkeypatch.setattr(programs_module, "LIKELY", 0)
    with connected(tmp_path, proxy, 3) as clients:

        async def ask() -> list[str | None]:
            programs = Programs()
            assert await programs.find((HOST, 1), proxy) is None  # nobody's
            found = [await programs.find(clients[0], proxy)]
            assert programs._learning is not None
            await programs._learning
            read.clear()
            with connected(tmp_path, proxy) as [fresh]:
                found.append(await programs.find(fresh, proxy))
                others = len(set(read))
            found.append(await programs.find(clients[2], proxy))
            assert others < len(set(read)), "only now the known ones are read again"
            return [name_of(one) for one in found]

        assert [NAME] * 3 == asyncio.run(ask())


@pytest.mark.parametrize("linux", [False, pytest.param(True, marks=on_linux)])
def test_waiting_is_bounded(proxy: Address, monkeypatch: pytest.MonkeyPatch, linux: bool) -> None:
    """Past the limit a connection stays unknown at once instead of waiting."""
    monkeypatch.setattr(psutil, "LINUX", linux)
    monkeypatch.setattr(programs_module, "SLICE", 0)
    monkeypatch.setattr(
        programs_module, "find_socket", lambda client, _: Socket(-1 - client[1], os.geteuid())
    )

    async def ask() -> list[Program | None]:
        programs = Programs()
        return await asyncio.gather(
            *(programs.find((HOST, n), (HOST, 1)) for n in range(programs_module.PENDING_LIMIT + 5))
        )

    assert [None] * (programs_module.PENDING_LIMIT + 5) == asyncio.run(ask())


def test_a_failing_look_leaves_them_unknown(
    tmp_path: Path, proxy: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When psutil fails in a way that nobody expected, the program is unknown and nothing is raised."""

    def fail() -> list[int]:
        raise RuntimeError

    monkeypatch.setattr(psutil, "pids", fail)
    with connected(tmp_path, proxy) as [client]:
        assert find(client, proxy) is None


def test_missing_rights_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Address) -> None:
    """A process that may not be read is named by what is public of it, and counted as denied."""

    def refuse(self: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    programs = Programs()
    with connected(tmp_path, proxy) as [client]:
        found = find(client, proxy, programs)
    assert found is not None
    assert found.name.startswith("python")
    assert 1 == programs.denied


@pytest.mark.parametrize("mac", [False, True])
def test_every_system_has_its_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Address, mac: bool
) -> None:
    """The ways of Windows (one table) and of macOS (a user's own processes) find the program here too."""
    monkeypatch.setattr(psutil, "LINUX", False)
    monkeypatch.setattr(psutil, "MACOS", mac)
    with connected(tmp_path, proxy) as [client]:
        found = find(client, proxy)
    assert found is not None
    assert (NAME, getpass.getuser()) == (found.name, found.account)


@on_linux
def test_a_kernel_without_answers_is_gone_around(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Address
) -> None:
    """Where the kernel cannot be asked for one socket, psutil reads its tables."""
    monkeypatch.setattr(linux_sockets, "_NETLINK_SOCK_DIAG", 31)
    with connected(tmp_path, proxy) as [client]:
        assert NAME == name_of(find(client, proxy))


@on_linux
@pytest.mark.parametrize(("who", "denied"), [("another", 1), ("the same", 0), ("root", 0)])
def test_another_users_socket_is_denied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Address, who: str, denied: int
) -> None:
    """A socket without a process to be seen was kept from us if it is another user's; else it was just closed."""

    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith("/fd"):
            raise PermissionError(path)
        return listdir(path)

    user = {"another": os.geteuid() + 1, "the same": os.geteuid(), "root": 0}[who]
    programs = Programs()
    with connected(tmp_path, proxy) as [client], monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        patch.setattr(os, "geteuid", lambda: user)
        assert (None, denied) == (find(client, proxy, programs), programs.denied)

"""Which process owns a connection, asked of the real system."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mfa_audit.addon import programs
from mfa_audit.addon.programs import Connection, Programs, look_up
from mfa_audit.exchanges.exchange import Program

SCRIPT = Program("nightly-sync.py")
CLIENT = """
import socket, sys
connections = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print(*(connection.getsockname()[1] for connection in connections), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a socket that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@contextmanager
def connected(folder: Path, port: int, count: int = 1) -> Iterator[list[int]]:
    """A script called nightly-sync.py with `count` open connections to `port`; yields its own ports."""
    script = folder / "nightly-sync.py"
    script.write_text(CLIENT)
    command = [sys.executable, str(script), str(port), str(count), "--password=hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        yield [int(word) for word in child.stdout.readline().split()]
        child.communicate("")


def test_a_script_is_found_by_its_port(tmp_path: Path, listener: int) -> None:
    """The process that owns the client's end of a connection is named by its script."""
    with connected(tmp_path, listener) as [port]:
        assert SCRIPT == asyncio.run(Programs().find(port, listener))
        assert SCRIPT == asyncio.run(Programs().find(port))


def test_another_connection_of_the_same_port_is_not_it(tmp_path: Path, listener: int) -> None:
    """A port counts only together with the proxy's, since one port can serve many connections."""
    with connected(tmp_path, listener) as [port]:
        assert asyncio.run(Programs().find(port, listener + 1)) is None


def test_a_gone_process_is_unknown(tmp_path: Path, listener: int) -> None:
    """After the client has gone there is no name, and no rights are missing."""
    with connected(tmp_path, listener) as [port]:
        pass
    found = Programs()
    assert (None, 0) == (asyncio.run(found.find(port, listener)), found.denied)


def test_one_look_answers_all_that_wait(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty connections that wait at once cost one look, besides the one under way."""
    looks: list[int] = []

    def count(
        wanted: frozenset[Connection], likely: tuple[int, ...], everywhere: bool
    ) -> tuple[dict[Connection, tuple[int, Program]], int]:
        looks.append(len(wanted))
        return look_up(wanted, likely, everywhere)

    monkeypatch.setattr(programs, "look_up", count)
    with connected(tmp_path, listener, 40) as ports:

        async def ask() -> list[Program | None]:
            found = Programs()
            first = asyncio.create_task(found.find(ports[0], listener))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            rest = [found.find(port, listener) for port in ports for _ in range(2)]
            return [await first, *await asyncio.gather(*rest)]

        assert [SCRIPT] * 81 == asyncio.run(ask())
    assert 2 == len(looks)


def test_an_owner_is_found_again_without_a_rest(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes one connection after the other is found at once each time."""
    monkeypatch.setattr(programs, "REST", 1_000_000)
    with connected(tmp_path, listener, 5) as ports:

        async def ask() -> list[Program | None]:
            found = Programs()
            return [await asyncio.wait_for(found.find(port, listener), 10) for port in ports]

        assert [SCRIPT] * 5 == asyncio.run(ask())


def test_waiting_is_bounded(listener: int) -> None:
    """Past the limit a connection stays unknown at once instead of waiting."""

    async def ask() -> list[Program | None]:
        found = Programs()
        return await asyncio.gather(*(found.find(1, n) for n in range(programs.PENDING_LIMIT + 5)))

    assert [None] * (programs.PENDING_LIMIT + 5) == asyncio.run(ask())


def test_a_failing_look_leaves_them_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """When psutil fails in a way that nobody expected, the program is unknown and nothing is raised."""

    def fail() -> list[int]:
        raise RuntimeError

    monkeypatch.setattr(psutil, "pids", fail)
    assert asyncio.run(Programs().find(1)) is None


def test_missing_rights_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listener: int) -> None:
    """A process that may not be read is named by what is public of it, and counted as denied."""

    def refuse(self: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    found = Programs()
    with connected(tmp_path, listener) as [port]:
        program = asyncio.run(found.find(port, listener))
    assert program is not None
    assert program.name.startswith("python")
    assert 1 == found.denied


@pytest.mark.parametrize("mac", [False, True])
def test_every_system_has_its_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listener: int, mac: bool
) -> None:
    """The ways of Windows (one table) and of macOS (a user's own processes) find the program here too."""
    monkeypatch.setattr(psutil, "LINUX", False)
    monkeypatch.setattr(psutil, "MACOS", mac)
    with connected(tmp_path, listener) as [port]:
        assert SCRIPT == asyncio.run(Programs().find(port, listener))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and root's ways")
@pytest.mark.parametrize(("who", "denied"), [("another", 1), ("the same", 0), ("root", 0)])
def test_another_users_socket_is_denied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listener: int, who: str, denied: int
) -> None:
    """A socket without a process to be seen was kept from us if it is another user's; else it was just closed."""

    def refuse(path: str) -> object:
        raise PermissionError(path)

    user = {"another": os.geteuid() + 1, "the same": os.geteuid(), "root": 0}[who]
    monkeypatch.setattr("mfa_audit.addon.programs.os.scandir", refuse)
    monkeypatch.setattr("mfa_audit.addon.programs.os.geteuid", lambda: user)
    found = Programs()
    with connected(tmp_path, listener) as [port]:
        assert (None, denied) == (asyncio.run(found.find(port, listener)), found.denied)

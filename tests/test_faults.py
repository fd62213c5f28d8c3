"""The recording proxy as a process, while the machine fails around it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfa_audit.store.reading import read_ledger
from observed import query
from processes import Audit, Running
from traffic import Connection, Load

KILL = Path(__file__).parents[1] / "scripts" / "bench" / "kill.py"
Starter = Callable[..., tuple[Running, int, Path]]


@pytest.fixture
def start(audit: Audit, upstream: list[str], database: Path) -> Starter:
    """Start `mfa-audit proxy` in front of the stand-in: the process, its port and its authority's certificate."""

    def begin(path: Path = database, *options: str) -> tuple[Running, int, Path]:
        running = audit.start("proxy", "--db", path, "--listen", "127.0.0.1:0", *upstream, *options)
        running.wait_for("Listening at")
        return running, running.wait_for_port(), Path(running.wait_for(r"Certificate authority: (.+)")[1])

    return begin


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the database's write lock."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10);"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"locked" == process.stdout.readline().strip()
    try:
        yield
    finally:
        process.communicate()


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own that is really full when it is full."""
    folder.mkdir()
    mounted = sys.platform == "linux" and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)], stderr=subprocess.DEVNULL
    )
    if not mounted:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: mounting a small file system needs root on Linux")
    try:
        yield
    finally:
        subprocess.check_call(["umount", "-l", str(folder)])


def fill_up(path: Path) -> None:
    """Write a file until the disk takes no more byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_killed_right_after_the_last_answer(
    start: Starter, audit: Audit, database: Path, with_mfa: str
) -> None:
    """300 calls on 4 connections, kill -9 with the last answer: the report counts 300, and calls it a crash."""
    running, port, authority = start()
    load = Load(port, authority, lambda _: with_mfa, connections=4, each=75)
    load.wait()
    running.kill()
    assert (300, []) == (len(load.answered), load.failed)
    done = audit.run("report", "--db", database)
    assert "300 calls" in done.stdout
    assert [(None,)] == query(database, "SELECT ended_how FROM sessions")


def test_killed_at_random_moments() -> None:
    """Rounds of `kill -9` under load lose no answered call."""
    done = subprocess.run(
        [sys.executable, str(KILL), "--rounds", "3", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "3 rounds" in done.stdout


def test_a_lock_holds_up_no_call(start: Starter, database: Path, with_mfa: str) -> None:
    """The database locked by another process under load: no call waits for it, reports have all, none is lost.

    How long calls take meanwhile: `scripts/bench/soak.py`.
    """
    seconds = 6.5  # longer than SQLite waits for a lock
    running, port, authority = start()
    with locked(database):
        held = Load(port, authority, lambda _: with_mfa, connections=2, pause=0.02)
        time.sleep(seconds)
        held.stop()
        assert len(held.answered) == sum(use.stretch.counts.calls for use in read_ledger(database).uses)
    done = running.stop()
    assert 0 == done.returncode
    assert [] == held.failed
    assert max(held.answered.values()) < seconds / 2
    assert set() == held.answered.keys() - {row[0] for row in query(database, "SELECT request_id FROM calls")}
    assert 1 == done.stderr.count("takes no rows")
    assert [(0, "stopped")] == query(database, "SELECT lost, ended_how FROM sessions")


def test_a_full_disk(start: Starter, audit: Audit, tmp_path: Path, with_mfa: str) -> None:
    """With the disk full calls go on and wait in memory; once there is space, all of them are written by themselves."""
    folder = tmp_path / "small"
    with small_disk(folder, 1024):
        database = folder / "audit.db"
        running, port, authority = start(database)
        connection = Connection(port, authority)
        assert 200 == connection.call(with_mfa)
        filler = folder / "filler"
        fill_up(filler)
        began = time.perf_counter()
        assert {200} == {connection.call(with_mfa, agent=f"tool-{number}/1.0") for number in range(300)}
        assert time.perf_counter() - began < 30
        running.wait_for("takes no rows")
        stored = query(database, "SELECT count(*) FROM calls")[0][0]
        assert stored < 300
        filler.unlink()
        running.wait_for("recording goes on; .* 0 lost")
        assert 200 == connection.call(with_mfa)
        done = running.stop()
        assert 0 == done.returncode
        assert 1 == done.stderr.count("takes no rows")
        assert [(302,)] == query(database, "SELECT count(*) FROM calls")
        assert [(0,)] == query(database, "SELECT lost FROM sessions")


def test_a_disk_that_stays_full_is_told(start: Starter, audit: Audit, tmp_path: Path, with_mfa: str) -> None:
    """A proxy that is stopped with the disk still full ends, and says how many calls it could not store."""
    folder = tmp_path / "small"
    with small_disk(folder, 512):
        running, port, authority = start(folder / "audit.db")
        connection = Connection(port, authority)
        fill_up(folder / "filler")
        for number in range(200):
            assert 200 == connection.call(with_mfa, agent=f"tool-{number}/1.0")
        running.wait_for("takes no rows")
        done = running.stop()
        assert 0 == done.returncode
        # The journal's last page had room for some of them.
        found = re.search(
            r"(\d+) calls were lost before being stored", done.stderr.replace("\n          ", " ")
        )
        assert found is not None
        assert 100 <= int(found[1]) <= 200
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open file")
@pytest.mark.timeout(60)
def test_a_database_deleted_under_the_proxy(start: Starter, database: Path, with_mfa: str) -> None:
    """The heartbeat brings a deleted database back with all that was recorded, also from a deleted folder."""
    folder = database.parent / "folder"
    running, port, authority = start(folder / "audit.db")
    connection = Connection(port, authority)
    assert 200 == connection.call(with_mfa)
    shutil.rmtree(folder)
    assert 200 == connection.call(with_mfa)
    running.wait_for("was deleted; it was written anew")
    assert 200 == connection.call(with_mfa)
    done = running.stop()
    assert 0 == done.returncode
    assert "3 calls" in done.stderr
    assert [(3,)] == query(folder / "audit.db", "SELECT count(*) FROM calls")

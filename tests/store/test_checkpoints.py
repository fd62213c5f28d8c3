"""The write-ahead log stays short, and never gets into another file."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.store import checkpoints, files
from mfa_audit.store.checkpoints import Checkpointer
from mfa_audit.store.snapshot import copy_database
from observed import fill, observe, query


def test_the_log_stays_short_under_writes_without_a_pause(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another writes on and on, the write-ahead log is ended time and again, and nothing of it is lost."""
    monkeypatch.setattr(checkpoints, "_LONG", 100_000)
    monkeypatch.setattr(checkpoints, "_TOO_LONG", 400_000)
    log = database.with_name("audit.db-wal")
    enough = threading.Event()
    written: list[int] = []

    def write() -> None:
        with closing(files.open_for_writing(database)) as connection:
            while not enough.is_set():
                written.append(len(written))
                connection.execute(
                    "INSERT INTO operations (name) VALUES (?)", [f"{len(written)} {'x' * 3000}"]
                )

    writer = threading.Thread(target=write)
    writer.start()
    ended = 0
    deadline = time.monotonic() + 60
    while not (log.exists() and written):
        time.sleep(0.01)
    checkpointer = Checkpointer(database, files.identity(database))
    while (ended < 5 or len(written) < 2_000) and time.monotonic() < deadline:
        time.sleep(0.01)
        before = log.stat().st_size
        with suppress(sqlite3.OperationalError):  # the writer may be in the middle of a transaction
            checkpointer.run()
        ended += log.stat().st_size < before
    checkpointer.close()
    enough.set()
    writer.join()
    assert ended >= 5
    assert [(len(written),)] == query(database, "SELECT count(*) FROM operations")


def test_a_file_that_took_our_place_stays_as_it_is(database: Path, tmp_path: Path) -> None:
    """The log of a replaced file is neither moved into the new one nor is that one opened for it."""
    other = tmp_path / "other.db"
    fill(other, [observe() for _ in range(3)])
    with closing(files.open_for_writing(database)) as connection:
        for number in range(2_000):
            connection.execute("INSERT INTO operations (name) VALUES (?)", [f"{number} {'x' * 3000}"])
        ours = files.identity(database)
        checkpointer = Checkpointer(database, ours)
        copy_database(other, tmp_path / "copy.db")
        content = (tmp_path / "copy.db").read_bytes()
        (tmp_path / "copy.db").replace(database)
        checkpointer.run()
        assert content == database.read_bytes()
        with pytest.raises(AuditError, match="another file"):
            Checkpointer(database, ours)
        assert content == database.read_bytes()
        checkpointer.close()
        assert [(2_000,)] == connection.execute("SELECT count(*) FROM operations").fetchall()


def test_what_a_long_reader_keeps_is_left_for_later(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads what was before, a long log is not ended, and no writer waits for the reader."""
    monkeypatch.setattr(checkpoints, "_LONG", 0)
    monkeypatch.setattr(checkpoints, "_TOO_LONG", 0)
    log = database.with_name("audit.db-wal")
    with closing(files.open_for_writing(database)) as connection:
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM operations").fetchone()
            for number in range(2_000):
                connection.execute("INSERT INTO operations (name) VALUES (?)", [f"{number} {'x' * 3000}"])
            checkpointer = Checkpointer(database, files.identity(database))
            checkpointer.run()
            assert log.stat().st_size > 0
        checkpointer.run()
        assert 0 == log.stat().st_size
        checkpointer.close()
    assert [(2_000,)] == query(database, "SELECT count(*) FROM operations")

"""From journals to tables: exact however it ends, whoever does it, and nothing of a report or a backup is missing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from journals import write_segment
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period, Report
from mfa_audit.store import files
from mfa_audit.store.folding import Folding, fold_left
from mfa_audit.store.journal import journal_folders
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.records import Ended, Named, Recorded, Unread
from mfa_audit.store.sessions import Session
from mfa_audit.store.snapshot import copy_database
from observed import fill, observe, query

HOST = "api.partnercenter.microsoft.com"


def leave(database: Path, count: int = 5, *, how: str | None = None, cut: int = 0) -> Session:
    """What a dead recorder left: calls of which one got its program later, and an unreadable connection."""
    session = Session("proxy", time.time() - 60)
    entries = [Recorded(number, observe(program=None)) for number in range(1, count + 1)]
    others = [Named(2, Program("late.py")), Unread(time.time(), HOST, "curl/8", None, "no-request")]
    ended = [] if how is None else [Ended(time.time(), how, 0, 0, 0)]
    data = write_segment(session, 1, 0, [*entries, *others, *ended])
    folder = journal_folders(database)[0]
    folder.mkdir(exist_ok=True)
    (folder / f"{session.uuid}-000001.journal").write_bytes(data[: len(data) - cut])
    return session


def report(*databases: Path) -> Report:
    return report_on(databases, Period(None, None))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_a_dead_recorder_left_is_in_the_report(database: Path) -> None:
    """Calls, programs and blind spots in a journal count as those in the tables, and reading changes nothing."""
    fill(database, [observe(program=Program("old.py"))])
    leave(database)
    before = snapshot(database.parent)
    found = report(database)
    assert 6 == found.totals.requests
    programs = "SELECT DISTINCT programs.name FROM calls JOIN programs ON programs.id = program_id ORDER BY 1"
    assert [("(not known)",), ("late.py",), ("old.py",)] == files.read(
        database, lambda connection: connection.execute(programs).fetchall()
    )
    assert 1 == sum(row.count for row in found.not_audited)
    assert before == snapshot(database.parent)
    copy = database.with_name("copy.db")
    copy_database(database, copy)
    assert 6 == query(copy, "SELECT sum(calls) FROM totals")[0][0]
    assert 6 == report(copy).totals.requests


def test_a_report_is_the_same_before_and_after_folding(database: Path) -> None:
    """Whether calls are in journals or in tables makes no difference to what is counted."""
    fill(database, [observe() for _ in range(3)])
    leave(database, how="stopped")
    leave(database, 7, how="stopped")
    before = report(database)
    with closing(files.open_for_writing(database)) as connection:
        fold_left(connection, database)
    after = report(database)
    assert before.totals == after.totals
    assert [(row.title, row.requests) for row in before.tools] == [
        (row.title, row.requests) for row in after.tools
    ]
    assert ["audit.db"] == [path.name for path in database.parent.iterdir()]


def test_several_databases_with_journals_are_one(database: Path, tmp_path: Path) -> None:
    """Calls in the journals of several databases count once, in any order, beside those of an earlier copy."""
    fill(database, [observe() for _ in range(3)])
    leave(database, 4, how="stopped")
    other = tmp_path / "other.db"
    fill(other, [observe() for _ in range(2)])
    leave(other, 6, how="stopped")
    earlier = tmp_path / "earlier.db"
    copy_database(database, earlier)
    for order in ((database, other, earlier), (earlier, other, database), (other, database, earlier)):
        assert 15 == report(*order).totals.requests


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="mounting needs root")
def test_a_report_from_read_only_media(database: Path, tmp_path: Path) -> None:
    """Where nothing can be written, a database with a write-ahead log and a journal beside it is read whole."""
    folder = tmp_path / "media"
    folder.mkdir()
    fill(database, [observe()])
    with closing(files.open_for_writing(database)) as connection:
        connection.execute("INSERT INTO operations (name) VALUES ('GET /x')")
        for path in database.parent.glob("audit.db*"):
            if path.is_file() and not path.name.endswith("-shm"):
                shutil.copy(path, folder / path.name)
    assert (folder / "audit.db-wal").stat().st_size > 0
    leave(folder / "audit.db")
    if subprocess.call(["mount", "--bind", str(folder), str(folder)]):
        pytest.skip("MOUNTING IS NOT ALLOWED HERE")
    try:
        subprocess.check_call(["mount", "-o", "remount,ro,bind", str(folder)])
        assert 6 == report(folder / "audit.db").totals.requests
    finally:
        subprocess.check_call(["umount", str(folder)])


def test_a_starting_recorder_folds_what_a_dead_one_left(database: Path) -> None:
    """Into the dead one's own session, with the numbers of its calls; then its journal is gone."""
    fill(database, [])
    left = leave(database, cut=1)
    recorder = Recorder(database, Session("proxy", time.time()))
    deadline = time.monotonic() + 10
    while not query(database, "SELECT count(*) FROM calls")[0][0] and time.monotonic() < deadline:
        time.sleep(0.02)
    recorder.close()
    assert [(left.uuid, 5, 1, 5)] == query(
        database,
        "SELECT uuid, count(*), min(number), max(number) FROM calls JOIN sessions ON sessions.id = session_id",
    )
    assert [("late.py",)] == query(database, "SELECT program FROM calls_in_words WHERE program LIKE 'late%'")
    assert ["audit.db"] == [path.name for path in database.parent.iterdir()]


def test_folding_goes_on_where_it_ended(database: Path) -> None:
    """However often and by whomever it is broken off, each call is stored once."""
    fill(database, [])
    session = leave(database, 600)
    with (
        closing(files.open_for_writing(database)) as first,
        closing(files.open_for_writing(database)) as other,
    ):
        foldings = [Folding(connection, database, session.uuid) for connection in (first, other)]
        steps = [True, True]
        while any(steps):
            steps = [folding.step() for folding in foldings]
        assert 600 == sum(folding.calls for folding in foldings)
        for folding in foldings:
            folding.close()
    assert [(600, 600)] == query(
        database, "SELECT (SELECT count(*) FROM calls), (SELECT sum(calls) FROM totals)"
    )


def test_a_refused_step_is_taken_again(database: Path) -> None:
    """A lock in the middle stores nothing twice and loses nothing."""
    fill(database, [])
    session = leave(database, 300)
    with closing(files.open_for_writing(database)) as connection:
        connection.execute("PRAGMA busy_timeout = 10")
        folding = Folding(connection, database, session.uuid)
        assert folding.step()
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError):
                folding.step()
            other.execute("ROLLBACK")
        folding.catch_up()
        folding.close()
    assert [(300,)] == query(database, "SELECT count(*) FROM calls")


def test_damage_is_counted_and_makes_the_report_unclear(database: Path) -> None:
    """What cannot be read of a journal is lost, in a report before folding and in one after it."""
    fill(database, [observe()])
    session = leave(database, how="stopped")
    [path] = journal_folders(database)[0].iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    before = report(database)
    assert (1, Answer.UNCLEAR) == (before.recording.lost, before.answer)
    with closing(files.open_for_writing(database)) as connection:
        fold_left(connection, database)
    assert (1, Answer.UNCLEAR) == (report(database).recording.lost, report(database).answer)
    assert [(1,)] == query(database, "SELECT lost FROM sessions WHERE uuid = ?", session.uuid)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="needs to make another account's file")
def test_a_journal_that_cannot_be_read_makes_the_report_unclear(database: Path) -> None:
    """Another account's journal is left alone, and the report says that one could not be read."""
    fill(database, [observe()])
    assert Answer.YES == report(database).answer
    leave(database)
    [path] = journal_folders(database)[0].iterdir()
    os.chown(path, 12345, 12345)
    found = report(database)
    assert (1, Answer.UNCLEAR) == (found.totals.requests, found.answer)
    assert ["unread"] == [gap.reason for gap in found.recording.gaps]
    with closing(files.open_for_writing(database)) as connection:
        fold_left(connection, database)
    assert stat.S_ISREG(path.stat().st_mode)


def test_a_newer_programs_journal_is_left_to_it(database: Path) -> None:
    """It is not read, not deleted, and the report is unclear."""
    from mfa_audit.store.records import _HEAD, crc32

    fill(database, [observe()])
    leave(database)
    [path] = journal_folders(database)[0].iterdir()
    data = bytearray(path.read_bytes())
    data[0] = 9
    data[: _HEAD.size] = bytes(data[:6]) + (crc32(data[:6]) & 0xFFFF).to_bytes(2, "little")
    path.write_bytes(bytes(data))
    assert Answer.UNCLEAR == report(database).answer
    with closing(files.open_for_writing(database)) as connection:
        fold_left(connection, database)
    assert bytes(data) == path.read_bytes()


def test_two_recorders_an_import_and_reports_at_once(database: Path, tmp_path: Path) -> None:
    """All calls of two processes and of an import are counted once, whatever else reads meanwhile."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from observed import observe\n"
        "from mfa_audit.store.recorder import Recorder\n"
        "from mfa_audit.store.sessions import Session\n"
        "recorder = Recorder(Path(sys.argv[1]), Session('proxy', time.time()))\n"
        "for number in range(400):\n"
        "    recorder.record(observe(user_agent=f'tool{number % 7}/1'))\n"
        "    time.sleep(0.002)\n"
        "recorder.close()\n"
        "assert recorder.lost == 0\n"
    )
    fill(database, [])
    tests = str(Path(__file__).parents[1])
    processes = [subprocess.Popen([sys.executable, "-c", code, str(database), tests]) for _ in range(2)]
    from mfa_audit.store.imports import Importer

    seen = 0
    with Importer(database) as importer:
        added = importer.add_calls(
            "capture.har",
            [observe(time.time() - 10_000 + number, program=Program("imported")) for number in range(2_000)],
            lambda: ("0" * 64, 0),
        )
    while any(process.poll() is None for process in processes):
        found = report(database).totals.requests
        assert found >= seen
        seen = found
    assert [0, 0] == [process.returncode for process in processes]
    assert 2_000 == added.new
    assert 2_800 == report(database).totals.requests == query(database, "SELECT count(*) FROM calls")[0][0]
    assert ["audit.db"] == [path.name for path in database.parent.iterdir()]

"""The recorder, against real files and real faults: nobody waits, the journal takes all, losses are counted."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mfa_audit.judging.observations import Observation
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on, report_on_recording
from mfa_audit.reports.model import Period
from mfa_audit.store import journal as journal_module
from mfa_audit.store import recorder as recorder_module
from mfa_audit.store.reading import read_ledger
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.records import CALL, read_records
from mfa_audit.store.rows import Rows
from mfa_audit.store.sessions import Session
from observed import observe, query


@pytest.fixture
def start(database: Path) -> Iterator[Callable[..., Recorder]]:
    """Start a recorder on the database; whatever runs at the end is closed."""
    started: list[Recorder] = []

    def make(path: Path = database, **settings: object) -> Recorder:
        started.append(Recorder(path, Session("proxy", time.time()), **settings))  # type: ignore[arg-type]
        return started[-1]

    yield make
    for one in started:
        one.close(patience=0.5)


@pytest.fixture
def fast_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life every 0.2 s instead of every 10."""
    monkeypatch.setattr(recorder_module, "BEAT", 0.2)


def make_calls(recorder: Recorder, count: int, *, pause: float = 0.0) -> list[float]:
    """Record `count` calls one after the other, as a hook does; how long each took, in seconds."""

    async def call() -> list[float]:
        waited = []
        for _ in range(count):
            seen = observe()
            began = time.perf_counter()
            recorder.record(seen)
            waited.append(time.perf_counter() - began)
            await asyncio.sleep(pause)
        return waited

    return asyncio.run(call())


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def stored(path: Path) -> int:
    return int(query(path, "SELECT count(*) FROM calls")[0][0])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the database's write lock."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"locked"
    try:
        yield
    finally:
        process.communicate()


def read_journal(folder: Path) -> int:
    """How many calls the segments in a folder hold, by their records."""
    kinds = [kind for path in sorted(folder.iterdir()) for kind, _, _ in read_records(path.read_bytes())]
    return kinds.count(CALL)


@contextmanager
def unwritable(recorder: Recorder) -> Iterator[None]:
    """The journal's disk is full: its file takes no byte, and there is no other."""
    journal = recorder._journal
    file, journal._file = journal._file, os.open("/dev/full", os.O_WRONLY)
    folder, journal.folder = journal.folder, Path("/dev/full")
    try:
        yield
    finally:
        os.close(journal._file)
        journal._file, journal.folder = file, folder


def test_a_call_is_on_disk_when_it_is_recorded(start: Callable[..., Recorder], database: Path) -> None:
    """Whoever reads the journal or makes a report right after it finds the call."""
    recorder = start()
    recorder.record(observe())
    assert 1 == read_journal(database.with_name("audit.db.journal"))
    assert 1 == report_on([database], Period(None, None)).totals.requests


def test_a_running_recorder_folds_by_itself(start: Callable[..., Recorder], database: Path) -> None:
    """Moments later the calls are in the tables, with their numbers in the session, in their order."""
    recorder = start()
    make_calls(recorder, 5)
    wait_until(lambda: stored(database) == 5)
    assert [(1,), (2,), (3,), (4,), (5,)] == query(database, "SELECT number FROM calls ORDER BY id")


@pytest.mark.parametrize("seconds", [1.5])
def test_a_locked_database_holds_up_nobody(
    start: Callable[..., Recorder], database: Path, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """While another process holds the lock, calls go into the journal and reports have them; it is said once."""
    recorder = start()
    make_calls(recorder, 5)
    wait_until(lambda: stored(database) == 5)
    with locked(database):
        waited = make_calls(recorder, int(seconds / 0.02), pause=0.02)
        assert 5 == stored(database)
        assert not recorder.behind
        assert len(waited) + 5 == report_on_recording(recorder).totals.requests
        assert len(waited) + 5 == report_on([database], Period(None, None)).totals.requests
        wait_until(lambda: "takes no rows" in caplog.text)
    wait_until(lambda: len(waited) + 5 == stored(database))
    assert sorted(waited)[len(waited) // 2] < 0.005
    wait_until(lambda: "recording goes on" in caplog.text)
    recorder.close()
    assert 1 == caplog.text.count("takes no rows")
    assert [(0, 0, "stopped")] == query(database, "SELECT lost, late, ended_how FROM sessions")
    assert [] == query(database, "SELECT * FROM gaps")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_queue_that_overflows_is_counted_and_shown(start: Callable[..., Recorder], database: Path) -> None:
    """What bounded memory cannot hold while the journal is full is counted, a gap, and makes the answer unclear."""
    recorder = start(queue_limit=20)
    with unwritable(recorder):
        make_calls(recorder, 50)
        assert (True, 30) == (recorder.behind, recorder.lost)
        wait_until(lambda: recorder._waiting_since is not None)
        report = report_on_recording(recorder)
        assert (30, Answer.UNCLEAR) == (report.recording.lost, report.answer)
    make_calls(recorder, 1)
    wait_until(lambda: query(database, "SELECT count(*) FROM gaps") == [(1,)])
    recorder.close()
    assert [("behind", 30)] == query(database, "SELECT reason, lost FROM gaps")
    assert [(30, 20)] == query(database, "SELECT lost, late FROM sessions")
    assert 21 == stored(database)
    report = report_on([database], Period(None, None))
    assert (30, Answer.UNCLEAR) == (report.recording.lost, report.answer)
    assert ["behind"] == [gap.reason for gap in report.recording.gaps]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_waits_is_written_without_another_call(start: Callable[..., Recorder], database: Path) -> None:
    """Once the journal can be written again, what waits gets there by itself."""
    recorder = start()

    async def go() -> None:
        with unwritable(recorder):
            for _ in range(3):
                recorder.record(observe())
            assert recorder.behind
        while recorder.behind:
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(go(), 10))
    recorder.close()
    assert [(3, 0, 3)] == query(database, "SELECT late, lost, (SELECT count(*) FROM calls) FROM sessions")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_cannot_be_written_at_the_end_is_counted(start: Callable[..., Recorder], database: Path) -> None:
    """A stop with the journal still full counts what waits as lost, and the recording's own report shows it."""
    recorder = start()
    with unwritable(recorder):
        make_calls(recorder, 7)
        recorder.close(patience=0.5)
        recorder._journal._file = os.open(os.devnull, os.O_WRONLY)
    report = report_on_recording(recorder)
    assert (7, 7, Answer.UNCLEAR) == (recorder.lost, report.recording.lost, report.answer)
    assert [(7, "stopped")] == query(database, "SELECT lost, ended_how FROM sessions")


def test_a_stop_while_the_database_is_locked_loses_nothing(
    start: Callable[..., Recorder], database: Path
) -> None:
    """It ends in time; reports have the calls from the journal, and the next recorder moves them into the tables."""
    recorder = start()
    with locked(database):
        make_calls(recorder, 7)
        began = time.monotonic()
        recorder.close(patience=0.5)
        assert time.monotonic() - began < 3
        report = report_on_recording(recorder)
    assert (0, 7, 0) == (recorder.lost, report.totals.requests, report.recording.lost)
    assert () == report_on([database], Period(None, None)).recording.gaps
    assert 0 == stored(database)
    other = start()
    wait_until(lambda: stored(database) == 7)
    other.close()
    assert [("stopped",)] * 2 == query(database, "SELECT ended_how FROM sessions")
    assert ["audit.db"] == [one.name for one in database.parent.iterdir()]


def test_a_poisonous_row_costs_only_itself(
    start: Callable[..., Recorder], database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that SQLite cannot hold loses its own call, counted and said once; its neighbours are kept once."""
    recorder = start()
    poison = observe()._replace(status=1 << 70)

    async def call() -> None:
        for number in range(30):
            recorder.record(poison if number % 10 == 5 else observe())
        await asyncio.sleep(0.3)

    asyncio.run(call())
    recorder.close()
    assert (27, 3) == (stored(database), recorder.lost)
    assert [(27, 3)] == query(database, "SELECT count(*), (SELECT lost FROM sessions) FROM calls")
    assert [(27,)] == query(database, "SELECT sum(calls) FROM totals")
    assert 1 == sum("could not be stored" in one.getMessage() for one in caplog.records)


def test_poison_beside_a_full_disk_writes_nothing_twice(
    start: Callable[..., Recorder], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal in the middle of the one-by-one writing does not write again what is written already."""
    recorder = start()
    original = Rows.add
    left = [12]

    def add(rows: Rows, seen: list[Observation], **keys: Any) -> None:
        if len(seen) == 1:
            left[0] -= 1
            if left[0] == 0:
                raise sqlite3.OperationalError("database or disk is full")
        if any(one.status == 299 for one in seen):
            raise ValueError
        original(rows, seen, **keys)

    monkeypatch.setattr(Rows, "add", add)
    for number in range(20):
        recorder.record(observe(status=299 if number == 3 else 200))
    time.sleep(1.0)
    recorder.close()
    assert (19, 1) == (stored(database), recorder.lost)


@pytest.mark.parametrize("step", ["add", "_token_id", "_client_id", "_named_id"])
def test_a_bug_in_the_store_stops_nothing(
    start: Callable[..., Recorder],
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    """An exception in any step of writing loses those calls, counted, and recording goes on after it."""
    recorder = start()
    secret = "eyJhbGciOiJub25l"
    with monkeypatch.context() as broken:
        broken.setattr(Rows, step, lambda *_, **__: (_ for _ in ()).throw(KeyError(secret)))
        make_calls(recorder, 3)
        wait_until(lambda: recorder.lost == 3)
    make_calls(recorder, 2)
    recorder.close()
    assert (2, 3) == (stored(database), recorder.lost)
    assert "KeyError" in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize("step", ["find_sleep", "insert_gap"])
def test_a_bug_in_the_writers_own_steps_stops_nothing(
    start: Callable[..., Recorder], database: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The writer's thread outlives an exception in its own housekeeping."""
    recorder = start(queue_limit=5)
    with monkeypatch.context() as broken:
        broken.setattr(recorder_module, step, lambda *_, **__: 1 / 0)
        make_calls(recorder, 2)
    make_calls(recorder, 3)
    recorder.close()
    assert 5 == stored(database)


def test_recording_without_a_loop(start: Callable[..., Recorder], database: Path) -> None:
    """A call that is recorded where no event loop runs is written too."""
    recorder = start()
    recorder.record(observe())
    recorder.close()
    assert 1 == stored(database)


@pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open file")
def test_a_deleted_file_comes_back(
    start: Callable[..., Recorder], database: Path, fast_beat: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is deleted while it is recorded to is written anew, with all rows, and goes on."""
    recorder = start()
    make_calls(recorder, 3)
    shutil.rmtree(database.parent)
    make_calls(recorder, 4)
    wait_until(database.exists)
    make_calls(recorder, 5)
    recorder.close()
    assert (12, 0) == (stored(database), recorder.lost)
    assert [("ok",)] == query(database, "PRAGMA integrity_check")
    assert 1 == sum("was deleted" in one.getMessage() for one in caplog.records)
    assert ["audit.db"] == [one.name for one in database.parent.iterdir()]


@pytest.mark.skipif(os.name != "posix", reason="Windows replaces no open file")
def test_a_file_replaced_by_another_audit_database(
    start: Callable[..., Recorder], database: Path, tmp_path: Path, fast_beat: None
) -> None:
    """What was recorded before is saved beside it, recording goes on in the new file, and both say all of it."""
    other = tmp_path / "other" / "audit.db"
    elsewhere = start(other)
    make_calls(elsewhere, 2)
    elsewhere.close()
    recorder = start()
    make_calls(recorder, 3)
    other.replace(database)
    wait_until(lambda: len(recorder.recordings) == 2)
    make_calls(recorder, 4)
    report = report_on_recording(recorder)
    assert (7, 0) == (report.totals.requests, report.recording.lost)
    recorder.close()
    saved, present = (one.path for one in recorder.recordings)
    assert (database, 3, 6) == (present, stored(saved), stored(present))
    assert [("ok",)] == query(present, "PRAGMA integrity_check")
    # The new file alone says what it lacks; both together lack nothing.
    alone = report_on([present], Period(None, None))
    assert (3, Answer.UNCLEAR) == (alone.recording.lost, alone.answer)
    both = report_on([present, saved], Period(None, None))
    assert (9, 0, Answer.YES) == (both.totals.requests, both.recording.lost, both.answer)


@pytest.mark.skipif(os.name != "posix", reason="Windows replaces no open file")
def test_a_file_replaced_by_something_else(
    start: Callable[..., Recorder], database: Path, tmp_path: Path, fast_beat: None
) -> None:
    """A foreign file that takes the database's place is not touched; recording goes on in the saved one."""
    recorder = start()
    make_calls(recorder, 3)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"mine" * 1000)
    foreign.replace(database)
    wait_until(lambda: recorder.path != database)
    make_calls(recorder, 4)
    recorder.close()
    assert 7 == stored(recorder.path)
    assert b"mine" * 1000 == database.read_bytes()
    assert 7 == report_on_recording(recorder).totals.requests


def test_a_file_damaged_under_us(
    start: Callable[..., Recorder], database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the file turns out broken, recording goes on in a new one beside it, with what the journal still has."""
    recorder = start()
    make_calls(recorder, 3)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:  # in a process of its own this would be another program's doing
        file.write(b"\xff" * database.stat().st_size)
    make_calls(recorder, 4)
    wait_until(lambda: recorder.path != database and not recorder.behind)
    make_calls(recorder, 5)
    recorder.close()
    assert (12, 0) == (stored(recorder.path), recorder.lost)
    assert "is damaged" in caplog.text
    assert 12 == report_on_recording(recorder).totals.requests


def test_a_damaged_file_whose_calls_are_out_of_reach(
    start: Callable[..., Recorder], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that left the journal before the database broke are counted as lost in the new one."""
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 1_000)
    recorder = start()
    make_calls(recorder, 30)
    wait_until(lambda: stored(database) == 30)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.write(b"\xff" * database.stat().st_size)
    make_calls(recorder, 1)
    wait_until(lambda: recorder.path != database)
    recorder.close()
    report = report_on_recording(recorder)
    assert report.recording.lost >= 1
    assert (31, Answer.UNCLEAR) == (report.totals.requests + report.recording.lost, report.answer)


def test_two_recorders_on_one_file(start: Callable[..., Recorder], database: Path) -> None:
    """Two recorders write at once, each reports its own, and the file has all."""
    recorders = [start(), start()]
    threads = [threading.Thread(target=make_calls, args=(one, 100)) for one in recorders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [100, 100] == [report_on_recording(one).totals.requests for one in recorders]
    for one in recorders:
        one.close()
    assert 200 == stored(database)
    assert 200 == sum(use.stretch.counts.calls for use in read_ledger(database).uses)


def test_sleep_is_noticed(
    start: Callable[..., Recorder], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait that lasted minutes longer than asked for is stored as a gap `slept`, and the answer is unclear."""
    recorder = start()
    clock = recorder_module.read_clocks
    jumped: list[float] = []

    def read_clocks() -> tuple[float, float]:
        wall, steady = clock()
        return wall, steady - (300.0 if not jumped and not jumped.append(wall) else 0.0)  # type: ignore[func-returns-value]

    monkeypatch.setattr(recorder_module, "read_clocks", read_clocks)
    make_calls(recorder, 1)
    wait_until(lambda: bool(jumped))
    make_calls(recorder, 1)
    wait_until(lambda: bool(query(database, "SELECT * FROM gaps")))
    recorder.close()
    [(reason, started, ended)] = query(database, "SELECT reason, started, ended FROM gaps")
    assert "slept" == reason
    assert 290_000 < ended - started <= 301_000
    assert Answer.UNCLEAR == report_on([database], Period(None, None)).answer


def test_a_sign_of_life(start: Callable[..., Recorder], database: Path, fast_beat: None) -> None:
    """An idle recorder still says that it lives, so that its end can be told to the beat."""
    recorder = start()
    wait_until(lambda: query(database, "SELECT last_beat > started + 300 FROM sessions") == [(1,)])
    recorder.close()
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")


def test_one_file_is_left(start: Callable[..., Recorder], database: Path) -> None:
    """A stopped recorder leaves one file."""
    recorder = start()
    make_calls(recorder, 10)
    recorder.close()
    assert ["audit.db"] == [one.name for one in database.parent.iterdir()]

"""The recorder, against real files and real faults: nobody waits, rows are retried, losses are counted and said."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mfa_audit.judging.observations import Observation
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on, report_on_recording
from mfa_audit.reports.model import Period
from mfa_audit.store import recorder as recorder_module
from mfa_audit.store.reading import read_ledger
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.rows import Rows
from mfa_audit.store.sessions import Session
from observed import observe, query

WAITED = 0.070  # 20 ms of patience and what a busy machine adds


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
    """Record `count` calls one after the other, each waiting as a hook does; how long each waited, in seconds."""

    async def call() -> list[float]:
        waited = []
        for _ in range(count):
            began = time.perf_counter()
            saved = recorder.record(observe())
            if saved is not None:
                await saved.wait()
            waited.append(time.perf_counter() - began)
            await asyncio.sleep(pause)
        await asyncio.sleep(0.05)
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


def test_a_call_is_on_disk_when_it_is_answered(start: Callable[..., Recorder], database: Path) -> None:
    """Once the wait for a call is over, another reader finds it in the file."""
    recorder = start()

    async def call() -> int:
        saved = recorder.record(observe())
        assert saved is not None
        await saved.wait()
        return stored(database)

    assert 1 == asyncio.run(call())
    assert not recorder.behind


def test_one_commit_serves_many_calls(start: Callable[..., Recorder], database: Path) -> None:
    """Five hundred calls at once all wait for the disk and none of them for long."""
    recorder = start()

    async def call() -> float:
        await asyncio.sleep(0)
        seen = [observe() for _ in range(500)]
        began = time.perf_counter()
        waits = [saved.wait() for one in seen if (saved := recorder.record(one)) is not None]
        await asyncio.gather(*waits)
        return time.perf_counter() - began

    assert asyncio.run(call()) < 1.0
    recorder.close()
    assert (500, 0) == (stored(database), recorder.lost)


@pytest.mark.parametrize("seconds", [1.5, pytest.param(8.0, marks=pytest.mark.timeout(60))])
def test_a_locked_database_holds_up_nobody(
    start: Callable[..., Recorder], database: Path, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """While another process holds the lock, calls wait 20 ms at most and none is lost; it is said once."""
    recorder = start()
    make_calls(recorder, 5)
    with locked(database):
        waited = make_calls(recorder, int(seconds / 0.02), pause=0.02)
        assert recorder.behind
        assert 5 == stored(database)
    wait_until(lambda: len(waited) + 5 == stored(database))
    assert max(waited) < WAITED
    assert sum(one > 0.005 for one in waited) < len(waited) / 10
    recorder.close()
    said = [one.getMessage() for one in caplog.records]
    assert 1 == sum("takes no rows" in one for one in said)
    assert 1 == sum("recording goes on" in one for one in said)
    assert [(0, "stopped")] == query(database, "SELECT lost, ended_how FROM sessions")
    assert [] == query(database, "SELECT * FROM gaps")


def test_a_queue_that_overflows_is_counted_and_shown(start: Callable[..., Recorder], database: Path) -> None:
    """What bounded memory cannot hold is counted, stored as a gap with its number, and the answer is unclear."""
    recorder = start(queue_limit=20)
    with locked(database):
        make_calls(recorder, 50)
        assert 30 == recorder.lost
        report = report_on_recording(recorder)
        assert (30, Answer.UNCLEAR) == (report.recording.lost, report.answer)
    wait_until(lambda: not recorder.behind and stored(database) == 20)
    recorder.close()
    assert [("behind", 30)] == query(database, "SELECT reason, lost FROM gaps")
    assert [(30, 20)] == query(database, "SELECT lost, late FROM sessions")
    report = report_on([database], Period(None, None))
    assert (30, Answer.UNCLEAR) == (report.recording.lost, report.answer)
    assert ["behind"] == [gap.reason for gap in report.recording.gaps]


def test_what_cannot_be_written_at_the_end_is_counted(start: Callable[..., Recorder], database: Path) -> None:
    """A stop with the database still locked ends in time, and the recording's own report shows the loss."""
    recorder = start()
    with locked(database):
        make_calls(recorder, 7)
        began = time.monotonic()
        recorder.close(patience=0.5)
        assert time.monotonic() - began < 3
        report = report_on_recording(recorder)
    assert (7, 7, Answer.UNCLEAR) == (recorder.lost, report.recording.lost, report.answer)
    assert [(None,)] == query(database, "SELECT ended FROM sessions")


def test_rows_that_wait_are_written_at_the_end(start: Callable[..., Recorder], database: Path) -> None:
    """A stop waits for a lock that is given back in time: all rows and the loss before are in the file."""
    recorder = start(queue_limit=5)
    with locked(database):
        make_calls(recorder, 8)
        stopping = threading.Thread(target=recorder.close)
        stopping.start()
        time.sleep(0.4)
    stopping.join()
    assert 5 == stored(database)
    assert [("behind", 3)] == query(database, "SELECT reason, lost FROM gaps")
    assert [(3, "stopped")] == query(database, "SELECT lost, ended_how FROM sessions")


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
    assert [(27,)] == query(database, "SELECT sum(calls) FROM totals")
    assert 1 == sum("could not be stored" in one.getMessage() for one in caplog.records)


def test_poison_beside_a_full_disk_writes_nothing_twice(
    start: Callable[..., Recorder], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal in the middle of the one-by-one writing does not write again what is written already."""
    recorder = start()
    original = Rows.add
    left = [12]

    def add(rows: Rows, seen: list[Observation]) -> None:
        if len(seen) == 1:
            left[0] -= 1
            if left[0] == 0:
                raise sqlite3.OperationalError("database or disk is full")
        original(rows, seen)

    monkeypatch.setattr(Rows, "add", add)

    async def call() -> None:
        for number in range(20):
            recorder.record(observe()._replace(status=1 << 70) if number == 3 else observe())
        await asyncio.sleep(1.0)

    asyncio.run(call())
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
        broken.setattr(Rows, step, lambda *_: (_ for _ in ()).throw(KeyError(secret)))
        waited = make_calls(recorder, 3)
        assert max(waited) < 0.5
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


def test_a_loop_that_stalls_is_not_behind(start: Callable[..., Recorder], database: Path) -> None:
    """An event loop that does nothing for 100 ms finds its rows written, not the recorder behind."""
    recorder = start()

    async def call() -> None:
        for _ in range(5):
            saved = recorder.record(observe())
            time.sleep(0.1)
            assert saved is not None
            await saved.wait()
            await asyncio.sleep(0.01)

    asyncio.run(call())
    recorder.close()
    assert [(0, 0)] == query(database, "SELECT late, lost FROM sessions")
    assert 5 == stored(database)


def test_recording_without_a_loop(start: Callable[..., Recorder], database: Path) -> None:
    """A call that is recorded where no event loop runs is written too, and nobody waits."""
    recorder = start()
    assert recorder.record(observe()) is None
    recorder.close()
    assert 1 == stored(database)


@pytest.mark.skipif(os.name != "posix", reason="Windows deletes no open file")
def test_a_deleted_file_comes_back(
    start: Callable[..., Recorder], database: Path, fast_beat: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is deleted while it is recorded to is written anew, with all rows, and goes on."""
    recorder = start()
    make_calls(recorder, 3)
    for one in database.parent.glob("audit.db*"):
        one.unlink()
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
    """When the file turns out broken, recording goes on in a new one beside it, and what is out of reach is shown."""
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
    assert (9, 0) == (stored(recorder.path), recorder.lost)
    assert "is damaged" in caplog.text
    report = report_on_recording(recorder)
    assert (9, 3, Answer.UNCLEAR) == (report.totals.requests, report.recording.lost, report.answer)


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

"""What only deleted calls referred to goes too; whatever is in use stays, whenever it came into use."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.store import retention as retention_module
from mfa_audit.store import rows
from mfa_audit.store.orphans import delete_orphans
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.retention import Retention
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session
from observed import fill, observe, query

DAY = 24 * 3600
LONG_AGO = time.time() - 500 * DAY
PARENTS = ("tokens", "clients", "tools", "users", "programs", "operations", "sessions")


def observe_other(number: int, at: float) -> Observation:
    """A call that shares nothing with those of other numbers but its operation, which is another from 1,000 on."""
    return observe(
        at,
        token=make_user_token("pwd", uti=f"{number}", oid=f"{number}", appid=f"app-{number}", iat=1),
        path="/v1/customers" if number < 1_000 else "/v1/invoices",
        program=Program(f"tool{number}.py"),
        user_agent=f"tool{number}/1.0",
    )


def fill_long_ago(database: Path, count: int) -> None:
    """A session of 500 days ago, with so many calls that share nothing."""
    fill(database, [observe_other(number, LONG_AGO + number) for number in range(count)])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE sessions SET last_beat = started, ended = started")


def count_rows(database: Path) -> dict[str, int]:
    return {table: int(query(database, f"SELECT count(*) FROM {table}")[0][0]) for table in PARENTS}


def sweep(recording: Recording) -> None:
    """A whole round of retention, with nobody else at the database."""
    retention = Retention()
    while retention.is_due():
        recording.delete_old(retention)


def assert_whole(database: Path) -> None:
    """Every reference leads to a row."""
    assert [] == query(database, "PRAGMA foreign_key_check")


def test_what_only_old_calls_used_goes(database: Path) -> None:
    """After a round nothing is left of calls 500 days ago; a call of today has all that it had."""
    fill_long_ago(database, 350)
    fill(database, [observe_other(1_000, time.time())])
    before = count_rows(database)
    assert before["tokens"] == 351
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    sweep(recording)
    recording.close()
    assert_whole(database)
    left = count_rows(database)
    # One program is the row for programs that are not known; sessions are that of today and this one.
    assert left == dict.fromkeys(PARENTS, 1) | {"programs": 2, "sessions": 2}
    found = query(database, "SELECT tool, program, user, operation FROM calls_in_words")
    assert [("tool1000", "tool1000.py", "GET /v1/invoices")] == [
        (tool, program, operation) for tool, program, _, operation in found
    ]


def test_nothing_goes_while_its_totals_are_kept(database: Path) -> None:
    """Calls of 100 days ago are deleted, but what they used stays for the reports by hours."""
    fill(database, [observe_other(number, time.time() - 100 * DAY + number) for number in range(50)])
    before = count_rows(database)
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    sweep(recording)
    recording.close()
    assert_whole(database)
    assert before | {"sessions": 2} == count_rows(database)


def test_a_clock_that_is_set_years_ahead_deletes_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is old by such a clock only stays; what is old by the time that really passed goes."""
    fill(database, [observe_other(1, time.time()), observe_other(2, time.time())])
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    for steady, left in ((0.0, 2), (99 * DAY, 1)):  # the call with the highest id always stays
        start = retention_module.read_clocks()
        retention = Retention()
        clocks = (start[0] + 2_000 * DAY, start[1] + steady)
        monkeypatch.setattr(retention_module, "read_clocks", lambda clocks=clocks: clocks)
        while retention.is_due():
            recording.delete_old(retention)
        monkeypatch.undo()
        assert left == query(database, "SELECT count(*) FROM calls")[0][0]
    recording.close()


def test_room_that_another_made_is_noticed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that folds looks now and then whether there is room again."""
    monkeypatch.setitem(rows.LIMITS, "tokens", 20)
    monkeypatch.setattr(rows, "_COUNTED_AGAIN", 5)
    fill_long_ago(database, 20)
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    recording.transact([observe_other(50, time.time())], [])
    another = Recording(database, Session("run", time.time()), "NORMAL")
    sweep(another)
    another.close()
    recording.transact([observe_other(number, time.time()) for number in range(51, 60)], [])
    assert 5 == recording.rows.folded
    recording.close()
    assert_whole(database)


def test_room_is_made_for_new_ones(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was full of tokens gives new ones a row of their own again, also in a recording that goes on."""
    monkeypatch.setitem(rows.LIMITS, "tokens", 20)
    fill_long_ago(database, 20)
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    recording.transact([observe_other(50, time.time())], [])
    assert 1 == recording.rows.folded
    sweep(recording)
    recording.transact([observe_other(51, time.time())], [])
    assert 1 == recording.rows.folded
    recording.close()
    assert_whole(database)
    assert 1 == query(database, "SELECT count(*) FROM tokens WHERE key NOT LIKE '(other)%'")[0][0]


def test_every_step_leaves_a_whole_database(database: Path) -> None:
    """Every reference leads to a row after each step."""
    fill_long_ago(database, 1_500)
    fill(database, [observe_other(2_000, time.time())])
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    retention = Retention()
    while retention.is_due():
        recording.delete_old(retention)
        assert_whole(database)
    recording.close()
    assert 1 == count_rows(database)["tokens"]


def test_what_calls_without_totals_use_stays(database: Path) -> None:
    """Another recorder may keep totals for less long, and be in the middle of its round."""
    fill_long_ago(database, 30)
    fill(database, [observe_other(1_000, time.time())])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM totals WHERE hour < ?", [(LONG_AGO + DAY) // 3600])
        connection.execute("UPDATE calls SET id = id + 100000 WHERE at > ?", [(LONG_AGO + DAY) * 1000])
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        assert not delete_orphans(connection, 0)


def test_a_program_is_not_named_for_an_old_call(database: Path) -> None:
    """It is looked for among the latest calls only: an older one keeps its unknown program."""
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    late = observe_other(1, time.time() - 60)._replace(program=None)
    recording.transact([], [lambda rows: rows.add([late], numbers=[1])])
    recording.transact([observe_other(2, time.time())], [])
    recording.connection.execute("UPDATE calls SET id = 20000 WHERE id = (SELECT max(id) FROM calls)")
    recording.transact([], [lambda rows: rows.name_program(1, Program("late.py"))])
    recording.close()
    assert [("(not known)",), ("tool2.py",)] == query(
        database, "SELECT program FROM calls_in_words ORDER BY id"
    )


def test_a_step_is_one_transaction(database: Path) -> None:
    """Deleting 3,000 calls leaves a log of some pages a step, and not of some pages a call."""
    fill(database, [observe(time.time() - 100 * DAY + number) for number in range(3_000)])
    recording = Recording(database, Session("run", time.time()), "NORMAL")
    log = database.with_name("audit.db-wal")
    before = log.stat().st_size
    retention = Retention()
    while retention.is_due():
        recording.delete_old(retention)
    assert log.stat().st_size - before < 3_000_000
    recording.close()
    assert 1 == query(database, "SELECT count(*) FROM calls")[0][0]


def test_ids_remembered_elsewhere_lose_no_call(database: Path) -> None:
    """A second recorder that remembers a row which the first deletes looks it up anew."""
    fill_long_ago(database, 30)
    second = Recorder(database, Session("proxy", time.time()), retention=Retention(10_000, 10_000))
    second.record(observe_other(7, LONG_AGO))
    second.catch_up()
    first = Recording(database, Session("run", time.time()), "NORMAL")
    first.transact([observe_other(1_000, time.time())], [])
    sweep(first)
    first.close()
    assert 1 == count_rows(database)["tokens"]
    for number in (7, 8):
        second.record(observe_other(number, time.time()))
    second.close()
    assert 0 == second.lost
    assert_whole(database)
    assert 3 == query(database, "SELECT count(*) FROM calls")[0][0]
    assert 3 == count_rows(database)["tokens"]


def test_a_recorder_does_it_while_it_records(database: Path) -> None:
    """Under calls that use old and new tokens the database stays whole, no call is lost, and the old rows go."""
    fill_long_ago(database, 2_000)

    async def record() -> int:
        recorder = Recorder(database, Session("proxy", time.time()))
        numbers = itertools.cycle(range(400))
        deadline = time.monotonic() + 60
        while count_rows(database)["tokens"] > 500 and time.monotonic() < deadline:
            for number in itertools.islice(numbers, 20):
                recorder.record(observe_other(number, time.time()))
            await asyncio.sleep(0.05)
        recorder.close()
        assert 0 == recorder.lost
        return recorder.recordings[0].calls

    calls = asyncio.run(record())
    assert_whole(database)
    assert count_rows(database)["tokens"] <= 500
    assert calls == query(database, "SELECT count(*) FROM calls WHERE at > ?", (LONG_AGO + DAY) * 1000)[0][0]

"""Calls recorded elsewhere, each stored once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Exchange, Secret
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.judging.tokens import User
from mfa_audit.store import files
from mfa_audit.store.imports import Added, Importer
from mfa_audit.store.reading import Wanted, read_ledger
from mfa_audit.store.retention import Retention
from mfa_audit.store.rows import Rows
from mfa_audit.store.sessions import Session

NOW = time.time()
TOKEN = Secret(b"Bearer " + make_user_token("pwd", "mfa").encode())
REQUEST_ID = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e7f80"


def call(
    at: float = NOW - 100, *, path: str = "/v1/customers", request_id: str | None = REQUEST_ID
) -> Observation:
    exchange = Exchange(
        at, "GET", "api.partnercenter.microsoft.com", path, (TOKEN,), request_id=request_id, status=200
    )
    return Judge().observe(exchange)


def add(path: Path, *calls: Observation) -> tuple[int, int, int]:
    with Importer(path) as importer:
        added = importer.add_calls("a.har", calls, lambda: ("ab" * 32, 0))
    return added.new, added.imported_before, added.recorded_live


def record(path: Path, calls: Sequence[Observation]) -> None:
    """What a live recorder stores."""
    with closing(files.open_for_writing(path)) as connection:
        connection.execute("BEGIN")
        Rows(connection, Session("proxy", NOW).insert(connection)).add(calls)
        connection.execute("COMMIT")


def requests(path: Path) -> int:
    return sum(use.stretch.counts.calls for use in read_ledger(path).uses)


def test_importing_twice_changes_nothing(database: Path) -> None:
    """The second time all calls are known, and there is no second session."""
    calls = [call(), call(NOW - 50), call(NOW - 50), call(NOW - 50, request_id=None)]
    assert (4, 0, 0) == add(database, *calls)
    before = read_ledger(database)
    assert (0, 4, 0) == add(database, *calls)
    assert before == read_ledger(database)


def test_a_capture_that_has_grown_adds_what_is_new(database: Path) -> None:
    """Equals count by their number, so one more of the same is one more."""
    add(database, call(), call())
    assert (2, 2, 0) == add(database, call(), call(), call(), call(NOW - 10))
    assert 4 == requests(database)


def test_other_calls_are_other_calls(database: Path) -> None:
    """Another time, id or operation is another call; the same call in another capture is not."""
    calls = [call(), call(NOW - 100.001), call(request_id=REQUEST_ID[:-1] + "1"), call(path="/v1/invoices")]
    assert (4, 0, 0) == add(database, *calls)
    assert (0, 2, 0) == add(database, calls[2], calls[0])


def test_a_call_recorded_live_is_seen_already(database: Path) -> None:
    """Same request id, token and operation within two seconds is the same call; each live call stands for one."""
    record(database, [call()])
    assert (0, 0, 1) == add(database, call(NOW - 98.1))
    assert (1, 0, 0) == add(database, call(NOW - 97.9))
    assert (1, 0, 1) == add(database, call(NOW - 99.5), call(NOW - 100.5))
    assert (0, 1, 1) == add(database, call(NOW - 99.5), call(NOW - 100.5))
    assert (1, 0, 0) == add(database, call(NOW - 99, path="/v1/invoices"))
    assert (1, 0, 0) == add(database, call(NOW - 99, request_id=None))


def test_a_session_tells_file_and_hash(database: Path) -> None:
    """An import is a session with the file's name and SHA-256, and nothing imported is no session."""
    add(database)
    assert () == read_ledger(database).sessions
    add(database, call())
    (session,) = read_ledger(database).sessions
    assert ("import", "a.har", "ab" * 32, "stopped", 1) == (
        session.kind, session.source, session.sha256, session.ended_how, session.requests,
    )  # fmt: skip


def test_a_recorder_can_write_meanwhile(database: Path) -> None:
    """An import locks the database for a moment at a time only."""

    def calls() -> object:
        for number in range(1000):
            if number == 900:
                with closing(sqlite3.connect(database, timeout=1)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    other.execute("ROLLBACK")
            yield call(NOW - number)

    with Importer(database) as importer:
        assert Added(new=1000) == importer.add_calls("a.har", calls(), lambda: ("", 0))  # type: ignore[arg-type]


def test_retention_keeps_imported_calls_as_long_as_their_totals(database: Path) -> None:
    """An old capture imported again after a round of retention adds nothing; live calls of its time are deleted."""
    old = NOW - 100 * 24 * 3600
    record(database, [call(old + 500)])
    add(database, *(call(old + number, request_id=None) for number in range(700)))
    with closing(files.open_for_writing(database)) as connection:
        retention = Retention()
        for _ in range(20):
            retention.step(connection)
        assert 700 == connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    assert (0, 700, 0) == add(database, *(call(old + number, request_id=None) for number in range(700)))
    assert 701 == requests(database)
    # The live call is known by its hour only, so bounds are hours.
    assert read_ledger(database, Wanted(old + 510, NOW)).rounded


def test_microsofts_rows_come_once(database: Path) -> None:
    """The same rows again are no rows; a day that has grown replaces what it was; the latest of a user counts."""
    app, user = "14f38d7d-c4fc-448a-b2df-0fc60e75465a", User("t", "o", "dana@contoso.example")
    row = (NOW - 100, REQUEST_ID, None, "GET /v1/customers", user, app, False)
    for expected in (1, 0):
        with Importer(database) as importer:
            assert expected == importer.add_requests([row])
            assert expected == importer.add_adoption([(20_000, app, "Billing", 5, 7)])
            assert expected == importer.add_principals([(NOW - 50, user)])
    with Importer(database) as importer:
        assert (1, 0) == (
            importer.add_adoption([(20_000, app, "Billing", 6, 9)]),
            importer.add_adoption([(20_000, app, "x", 1, 2)]),
        )
        assert (0, 1) == (
            importer.add_principals([(NOW - 60, user)]),
            importer.add_principals([(NOW - 40, user)]),
        )
    facts = read_ledger(database).microsoft
    assert [(6, 9)] == [(day.mfa_requests, day.requests) for day in facts.days]
    assert [(user, round(NOW - 40, 3))] == [(who, round(at or 0, 3)) for who, at in facts.principals]
    assert [None] == [one.seen for one in facts.calls]


def test_microsofts_calls_meet_ours_by_request_id(database: Path) -> None:
    """A call that both saw carries our client, program and the token's verdict."""
    add(database, call())
    with Importer(database) as importer:
        importer.add_requests([(NOW - 90, REQUEST_ID, None, "GET /v1/customers", None, None, True)])
    (one,) = read_ledger(database).microsoft.calls
    assert one.seen is not None
    assert "compliant" == one.seen.verdict

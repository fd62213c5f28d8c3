"""From rows to a Ledger: exact bounds, rounding, several files as one, old rules."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import client_of
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import RULES_VERSION
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period
from mfa_audit.store import rows as rows_module
from mfa_audit.store.ledger import Ledger, Use
from mfa_audit.store.reading import Wanted, read_ledger
from mfa_audit.store.retention import Retention
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session, this_account
from mfa_audit.store.snapshot import copy_database
from observed import fill, observe, query

HOUR = 3600.0
NOON = datetime(2026, 11, 7, 12, tzinfo=UTC).timestamp()


def requests(ledger: Ledger) -> int:
    return sum(one.stretch.counts.calls for one in ledger.uses if one.listed)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_bounds_are_exact_to_the_millisecond(
    database: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """For random bounds, also within one hour and on its edges, the ledger counts what a plain count finds."""
    monkeypatch.setenv("TZ", zone)
    chance = random.Random(7)
    times = [NOON + round(chance.uniform(0, 5 * HOUR), 3) for _ in range(400)]
    times += [NOON + number * HOUR for number in range(6)] + [NOON + HOUR - 0.001]
    fill(
        database,
        [observe(at, amr=("pwd", "mfa"), user_agent=f"tool-{number % 3}") for number, at in enumerate(times)],
    )
    milliseconds = sorted(round(at * 1000) for at in times)
    bounds = [(chance.choice(milliseconds), chance.choice(milliseconds)) for _ in range(40)]
    bounds += [(round(NOON * 1000), round((NOON + HOUR) * 1000)), (milliseconds[3], milliseconds[3])]
    for one, other in bounds:
        low, high = sorted((one, other))
        ledger = read_ledger(database, Wanted(low / 1000, high / 1000))
        assert sum(low <= at < high for at in milliseconds) == requests(ledger)
        assert not ledger.rounded
        assert sum(at >= low for at in milliseconds) == requests(read_ledger(database, Wanted(low / 1000)))


def test_a_token_of_several_sessions_counts_once(database: Path) -> None:
    """Two recordings that saw the same two tokens, with other answers too, know of two tokens and all calls."""
    secrets = [make_user_token("pwd", "mfa", uti=uti) for uti in "ab"]
    for _ in range(3):
        fill(database, [observe(token=secret) for secret in secrets * 2])
    fill(database, [observe(token=secrets[0], status=500)])
    ledger = read_ledger(database)
    assert (2, 13) == (ledger.tokens, requests(ledger))
    assert [(2, 12), (1, 1)] == [
        (one.stretch.tokens, one.stretch.counts.calls) for one in by_requests(ledger)
    ]
    [tool] = report_on([database], Period(None, None)).tools
    assert 13 == tool.requests


def by_requests(ledger: Ledger) -> list[Use]:
    return sorted(ledger.uses, key=lambda one: -one.stretch.counts.calls)


def test_old_periods_are_rounded_outward_after_retention(database: Path) -> None:
    """Where single calls have been deleted, bounds go outward to whole hours, and the ledger says so."""
    now = datetime.now(UTC).timestamp()
    old = now - 100 * 24 * HOUR
    old -= old % HOUR
    fill(database, [observe(old + minute * 60) for minute in range(120)] + [observe(now - 60)])
    purge(database)
    assert [(1, 121)] == query(
        database, "SELECT (SELECT count(*) FROM calls), (SELECT sum(calls) FROM totals)"
    )
    ledger = read_ledger(database, Wanted(old + 10 * 60, old + 50 * 60))
    assert (60, True, old, old + HOUR) == (requests(ledger), ledger.rounded, ledger.start, ledger.end)
    assert 121 == requests(read_ledger(database))
    exact = read_ledger(database, Wanted(round(now - 60, 3), now))
    assert (1, False) == (requests(exact), exact.rounded)


def test_a_first_hour_that_is_half_deleted_is_rounded_too(database: Path) -> None:
    """All of a recording lies in one hour, of which only the last call is kept."""
    old = datetime.now(UTC).timestamp() - 100 * 24 * HOUR
    old -= old % HOUR
    fill(database, [observe(old + second) for second in range(600, 900)])
    purge(database)
    ledger = read_ledger(database, Wanted(old + 700, old + 800))
    assert (300, True) == (requests(ledger), ledger.rounded)


def purge(database: Path, **days: int) -> None:
    recording = Recording(database, Session("run", 0.0), "NORMAL")
    retention = Retention(**days)
    while retention.is_due():
        recording.delete_old(retention)
    recording.close()


def test_retention_deletes_a_little_at_a_time(database: Path) -> None:
    """No step deletes more than some hundred rows, the rest stays for the next, and all old rows go in the end."""
    now = datetime.now(UTC).timestamp()
    fill(database, [observe(now - 500 * 24 * HOUR + number) for number in range(1_000)] + [observe(now)])
    recording = Recording(database, Session("run", 0.0), "NORMAL")
    retention = Retention()
    counts = []
    while retention.is_due():
        recording.delete_old(retention)
        counts.append(recording.connection.execute("SELECT count(*) FROM calls").fetchone()[0])
    recording.close()
    assert 1 == counts[-1]
    assert 600 >= max(before - after for before, after in zip([1_001, *counts], counts, strict=False))
    assert [(1,)] == query(database, "SELECT sum(calls) FROM totals")
    assert [(1,)] == query(database, "SELECT sum(calls) FROM operation_totals")


def test_several_files_are_one_report(database: Path, tmp_path: Path) -> None:
    """Sessions of several files add up; one that is in two files, as in a backup, counts once, where it has most."""
    fill(database, [observe() for _ in range(3)])
    copy = tmp_path / "copy.db"
    copy_database(database, copy)
    fill(database, [observe() for _ in range(2)])
    other = tmp_path / "other.db"
    fill(other, [observe(amr=("pwd",)) for _ in range(4)])
    for databases in ([database, copy, other], [copy, other, database], [database, database, other]):
        assert 9 == report_on(databases, Period(None, None)).totals.requests


def test_tokens_of_older_rules_are_judged_anew(database: Path) -> None:
    """A reader judges by today's rules what older ones judged, and changes nothing; the next recorder writes it."""
    fill(database, [observe(amr=("pwd",)), observe()])
    query(database, "UPDATE tokens SET verdict = 'exempt', reason = 'app-only', rules = ?", RULES_VERSION - 1)
    verdicts = {one.stretch.verdict for one in read_ledger(database).uses}
    assert {Verdict.NON_COMPLIANT, Verdict.COMPLIANT} == verdicts
    assert [("exempt",)] == query(database, "SELECT DISTINCT verdict FROM tokens")
    fill(database, [])
    found = query(database, "SELECT verdict FROM tokens WHERE form <> 'none' ORDER BY verdict")
    assert [("compliant",), ("non-compliant",)] == found


def test_tokens_of_newer_rules_stay(database: Path) -> None:
    """What a newer mfa-audit judged is not judged anew by an older one."""
    fill(database, [observe(amr=("pwd",))])
    query(database, "UPDATE tokens SET verdict = 'exempt', form = 'unheard-of', rules = ?", RULES_VERSION + 1)
    fill(database, [])
    assert [("exempt",)] == query(database, "SELECT verdict FROM tokens")


def test_many_callers_share_a_row(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound new User-Agents, operations, users and tokens share rows, are counted, and verdicts stay."""
    monkeypatch.setattr(rows_module, "LIMITS", dict.fromkeys(rows_module.LIMITS, 10))
    seen = [
        observe(
            user_agent=f"agent-{number}",
            program=Program(f"program-{number}"),
            amr=("pwd",) if number % 2 else ("pwd", "mfa"),
            claims={"oid": f"user-{number}", "upn": f"{number}@contoso.example", "uti": str(number)},
        )._replace(operation=f"GET /{number}")
        for number in range(60)
    ]
    fill(database, seen)
    for table in ("clients", "programs", "operations", "users"):
        assert 11 >= query(database, f"SELECT count(*) FROM {table}")[0][0], table
    assert 12 >= query(database, "SELECT count(*) FROM tokens")[0][0]
    assert query(database, "SELECT folded > 0 FROM sessions") == [(True,)]
    ledger = read_ledger(database)
    assert 60 == requests(ledger)
    bad = sum(one.stretch.counts.calls for one in ledger.uses if one.stretch.verdict is Verdict.NON_COMPLIANT)
    assert 30 == bad
    assert "folded" in report_on([database], Period(None, None)).notes


def test_many_blind_spots_share_a_row(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that names itself anew with each connection cannot fill the disk with blind spots."""
    monkeypatch.setattr(rows_module, "SPOTS_PER_HOUR", 5)
    recording = Recording(database, Session("proxy", NOON), "NORMAL")
    for number in range(50):
        recording.rows.add_not_audited(NOON, "host", f"agent-{number}", None, "tunnelled")
    recording.close()
    assert [(6, 50)] == query(database, "SELECT count(*), sum(count) FROM not_audited")


def test_no_more_memory_for_long_names() -> None:
    """What a caller says of itself is cut before it is remembered or stored."""
    assert 512 >= len(client_of(None, None, None, "a b" * 30_000, None).user_agent or "")


def test_claims_come_back_as_they_were(database: Path) -> None:
    """Claims, user and token times survive the way through the database."""
    token = make_user_token("pwd", "mfa", upn="dana@contoso.example")
    seen = observe(token=token)
    fill(database, [seen])
    [use] = read_ledger(database).uses
    assert json.loads(json.dumps(dict(seen.token.claims))) == use.claims
    assert (seen.token.user, seen.client) == (use.user, use.party.client)
    assert seen.token.issued == use.stretch.issued


def test_one_script_by_hand_and_by_schedule_is_two(database: Path) -> None:
    """Programs are told apart by name, account and what started them, up to the report's rows."""
    programs = [
        Program("sync.py", "root", "cron"),
        Program("sync.py", "root", "terminal"),
        Program("sync.py", "ada", "cron"),
        Program("sync.py"),
    ]
    fill(database, [observe(program=program) for program in (*programs, *programs)])
    with_lists = report_on([database], Period(None, None))
    account = this_account()
    assert {(name, own or account, by): 2 for name, own, by in programs} == {
        (row.program, row.account, row.started_by): row.requests for row in with_lists.tools
    }

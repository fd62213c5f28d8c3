"""What must become a YES, or be told as what it is: each case once was a wrong NO or a "cannot tell"."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mfa_audit.captures.importer import import_capture
from mfa_audit.captures.recognition import read
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.people import NAMES
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.store.imports import Importer
from observed import observe

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "captures"))
from producers import entry, har
from recordings import ago, bad, calls, good, only, record, report

CRON = Program("sync.ps1", "svc", "cron")
SCRIPT = Program("sync.ps1", "svc", None)
BEFORE = bad(*range(31, 36), *range(29, 31), program=SCRIPT)


def app_only(*days: float, program: Program) -> list[Any]:
    """Calls with an app's own token."""
    return [
        observe(
            ago(day),
            token=make_app_token(iat=int(ago(day)) - 60, exp=int(ago(day)) + 3900, uti=str(day)),
            program=program,
        )
        for day in days
    ]


FIXES = {
    "MFA": lambda program, days: good(*days, program=program),
    "an app's own token": lambda program, days: app_only(*days, program=program),
    "a new app registration": lambda program, days: good(
        *days, program=program, claims={"appid": "77777777-0000-4000-8000-0000000c1133"}
    ),
    "a new account": lambda program, days: good(
        *days,
        program=program,
        claims={"oid": "77777777-0000-4000-8000-0000000da0a1", "upn": "svc2@contoso.example"},
    ),
    "PowerShell 7": lambda program, days: good(
        *days, program=program, user_agent="Mozilla/5.0 (Windows NT 10.0) PowerShell/7.4.2"
    ),
}


@pytest.mark.parametrize("fix", FIXES)
def test_each_advised_fix_of_a_daily_job_is_seen(database: Path, fix: str) -> None:
    """Where the starter is known two runs after the fix suffice; elsewhere twelve days do."""
    for program, days in ((CRON, (1.0, 0.0)), (SCRIPT, tuple(range(12)))):
        path = database.with_name(f"{program.started_by}.db")
        first = int(max(days)) + 1
        record(path, bad(*range(first, first + 12), program=program), FIXES[fix](program, days))
        found = report(path)
        row = only(found)
        assert Answer.YES is found.answer, (fix, row.reasons)
        assert row.why is not None
        assert "fixed" == row.why.kind


@pytest.mark.parametrize("fix", FIXES)
def test_a_job_that_was_fixed_29_days_ago(database: Path, fix: str) -> None:
    """A month after the fix nothing is left of a NO, and the advice is none."""
    record(database, bad(*range(29, 45), program=SCRIPT), FIXES[fix](SCRIPT, tuple(range(29))))
    found = report(database)
    assert (Answer.YES, None) == (found.answer, only(found).advice)


def test_one_loss_long_ago_says_nothing_of_today(database: Path) -> None:
    """A loss 329 days ago is no part of a report on the last 35 days."""
    record(database, good(1, 2), since=340)
    with closing(sqlite3.connect(database)) as connection:
        at = round(ago(329) * 1000)
        connection.execute(
            "INSERT INTO gaps (session_id, started, ended, reason, lost) VALUES (1, ?, ?, 'behind', 3)",
            [at, at],
        )
        connection.execute("UPDATE sessions SET lost = 3")
        connection.commit()
    found = report(database)
    assert (Answer.YES, 0) == (found.answer, found.recording.lost)
    assert (Answer.UNCLEAR, 3) == ((whole := report(database, since=None)).answer, whole.recording.lost)


def bring_in(database: Path, path: Path) -> None:
    """Import a capture or list."""
    with Importer(database) as importer, read(path) as capture:
        import_capture(capture, importer, NAMES)


def test_a_sanitised_capture_with_refusals_is_a_no(database: Path, tmp_path: Path) -> None:
    """The server's word counts without a token, too: five 401s that say "MFA required" are no "cannot tell"."""
    entries = [
        entry(
            headers={"User-Agent": "nightly/1.0", "Authorization": "Bearer REDACTED"},
            at=datetime.fromtimestamp(ago(1) + number, UTC).isoformat(),
            status=401,
            body=json.dumps({"code": 10001, "description": "MFA required."}),
        )
        for number in range(5)
    ]
    path = tmp_path / "cleaned.har"
    path.write_bytes(har(*entries))
    bring_in(database, path)
    found = report(database)
    row = only(found)
    assert (Answer.NO, 5, "blocked") == (found.answer, row.counts.blocked, row.reasons[0])


@pytest.mark.parametrize(
    "claims",
    [
        {"scp": None, "upn": None, "unique_name": None, "appidacr": "1"},
        {"ver": "2.0", "amr": None, "azp": "x"},
    ],
)
def test_the_answer_to_validate_decides(database: Path, claims: dict[str, Any]) -> None:
    """What the token does not show (who is behind it, how they signed in), Partner Center's answer does."""
    asked = calls(("pwd",), [1], claims=claims, program=SCRIPT, mfa_compliant="true")
    unasked = calls(("pwd",), [2, 0], claims=claims, program=SCRIPT)
    record(database, asked, unasked)
    found = report(database)
    assert (Answer.YES, Verdict.COMPLIANT) == (found.answer, only(found).verdict)
    other = database.with_name("no.db")
    record(other, calls(("pwd",), [1], claims=claims, program=SCRIPT, mfa_compliant="false"), unasked)
    assert Answer.NO is report(other).answer


def test_a_refusal_by_test_mends_as_any_other(database: Path) -> None:
    """What MS-Enforce-MFA refused is answered by later good tokens, as a refusal in earnest is."""
    tested = good(*range(12, 21), program=SCRIPT, status=401, body=b'{"code":900421}', tested=True)
    record(database, tested, good(*range(12), program=SCRIPT))
    found = report(database)
    assert (Answer.YES, 9) == (found.answer, only(found).counts.blocked_by_test)


@pytest.mark.parametrize(
    ("status", "own_id"),
    [(None, False), (502, False), (407, False)],
    ids=["no answer", "502", "upstream 407"],
)
def test_no_answer_is_not_told_as_a_refusal(database: Path, status: int | None, own_id: bool) -> None:
    """A failure on the way is "did not reach Partner Center", and advice does not blame a token nobody looked at."""
    record(database, good(1, program=SCRIPT, status=status, own_id=own_id))
    found = report(database)
    row = only(found)
    assert (Answer.UNCLEAR, "not-reached") == (found.answer, row.reasons[0])
    assert row.advice is not None
    assert "token" not in row.advice.text.lower()
    assert "doctor" in row.advice.fix


def test_an_old_import_does_not_coarsen_the_period(database: Path, tmp_path: Path) -> None:
    """Imported calls are all kept, so an old capture is no reason to round a period to hours."""
    record(database, good(1, 2))
    old = entry(
        headers={"User-Agent": "x/1.0", "Authorization": "Bearer " + make_user_token("pwd", "mfa")},
        at=datetime.fromtimestamp(ago(200), UTC).isoformat(),
    )
    path = tmp_path / "old.har"
    path.write_bytes(har(old))
    bring_in(database, path)
    assert not report(database, since="35d").period.rounded
    assert not report(database, since="201d").period.rounded


def test_rows_operations_days_and_users_add_up(database: Path) -> None:
    """Requests, operations, days and users of one window agree with each other, edges within a day included."""
    record(
        database, good(*[day / 10 for day in range(100)], program=SCRIPT), app_only(1, 2, 3, program=SCRIPT)
    )
    for since in ("1d", "3d", "35d"):
        row = only(report(database, since=since))
        users = sum(user.requests for user in (*row.users, *((row.no_user,) if row.no_user else ())))
        assert (
            row.requests
            == sum(count for _, count in row.operations)
            == sum(count for _, count in row.days)
            == users
        )


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "UTC"])
def test_days_follow_half_hour_zones(database: Path, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """A day begins at local midnight, also where that lies within an hour of UTC."""
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        record(database, good(*[day / 48 for day in range(200)], program=SCRIPT))
        row = only(report(database))
        expected: dict[str, int] = {}
        for number in range(200):
            local = datetime.fromtimestamp(ago(number / 48), UTC).astimezone().date().isoformat()
            expected[local] = expected.get(local, 0) + 1
        assert expected == dict(row.days)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_same_person_has_the_same_number_in_all_rows(database: Path) -> None:
    """With people shown by number, "user 2" is one person wherever they appear."""
    from mfa_audit.judging.people import Mode, People
    from mfa_audit.reports.databases import report_on
    from mfa_audit.reports.model import Period
    from mfa_audit.reports.settings import Settings

    dana, ben = {"oid": "a" * 36, "upn": "dana@x.example"}, {"oid": "b" * 36, "upn": "ben@x.example"}
    record(
        database,
        good(1, program=Program("one.ps1"), claims=ben),
        good(1, program=Program("two.ps1"), claims=dana),
        good(2, program=Program("two.ps1"), claims=ben),
    )
    people = People(Mode.NONE, b"k" * 16)
    found = report_on([database], Period(None, None), Settings(people=people))
    names = {row.program: {user.name for user in row.users} for row in found.tools}
    assert {"one.ps1": {"user 2"}, "two.ps1": {"user 1", "user 2"}} == names

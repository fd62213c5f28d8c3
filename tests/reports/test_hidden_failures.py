"""Jobs that fail and failures of ours that a report hid: each case once was a YES."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons

from mfa_audit.addon.live import PartnerCenterMfa
from mfa_audit.captures.importer import import_capture
from mfa_audit.captures.recognition import read
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Exchange, Program, Secret
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.judging.people import NAMES
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Report
from mfa_audit.reports.periods import read_period
from mfa_audit.reports.settings import Settings
from mfa_audit.store.imports import Importer
from mfa_audit.store.journal import choose_folder
from observed import HOST, observe, query

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "captures"))
from producers import entry, har
from recordings import DAY, SCRIPT, ago, bad, good, only, record, report

OLD_APP = "11111111-1111-4111-8111-111111111111"


def report_with(settings: Settings, *databases: Path, since: str = "7d") -> Report:
    """The report on these databases for somebody who has said this."""
    return report_on(databases, read_period(since, None, datetime.now(UTC)), settings)


def bring_in(database: Path, path: Path) -> None:
    """Import a capture or list."""
    with Importer(database) as importer, read(path) as capture:
        import_capture(capture, importer, NAMES)


def test_strict_forgives_nothing_that_is_not_forgiven_otherwise(database: Path) -> None:
    """With --strict a call without MFA before the period counts as it does without, in a listed row and a quiet one."""
    record(
        database,
        bad(8, program=SCRIPT),
        good(1, program=SCRIPT),
        bad(8, user_agent="quiet/1.0"),
    )
    found = report_with(Settings(strict=True), database)
    assert (Answer.UNCLEAR, ["quiet"]) == (found.answer, [row.name for row in found.quiet])
    assert "recently-changed" in only(found).reasons


@pytest.mark.parametrize("until", [None, "2 days ago"])
def test_an_unreadable_journal_beside_an_import(database: Path, tmp_path: Path, until: str | None) -> None:
    """A journal that cannot be read makes the answer unclear, also where the latest session is an import, which has no
    gaps, and in a report that ends before now."""
    record(database, good(4, 3))
    call = entry(
        headers={"Authorization": "Bearer " + make_user_token("pwd", "mfa", iat=int(ago(4)))},
        at=datetime.fromtimestamp(ago(4), UTC).isoformat(),
    )
    call["response"]["headers"] = []
    path = tmp_path / "portal.har"
    path.write_bytes(har(call))
    bring_in(database, path)
    end = None if until is None else datetime.fromtimestamp(ago(2), UTC).date().isoformat()
    period = read_period("20d", end, datetime.now(UTC))
    assert Answer.YES is report_on([database], period).answer
    leave_unreadable_journal(database)
    found = report_on([database], period)
    assert (Answer.UNCLEAR, True) == (
        found.answer,
        "unread" in {gap.reason for gap in found.recording.gaps},
    )


def test_an_unreadable_journal_of_a_database_without_sessions(database: Path, tmp_path: Path) -> None:
    """Where all that was recorded is in a journal that cannot be read, another database does not hide it."""
    good_one = tmp_path / "good.db"
    record(good_one, good(1, 2))
    record(database, [])
    query(database, "DELETE FROM sessions")
    leave_unreadable_journal(database)
    for databases in permutations((database, good_one)):
        found = report(*databases)
        assert (Answer.UNCLEAR, ["unread"]) == (
            found.answer,
            [gap.reason for gap in found.recording.gaps if gap.is_blind],
        )


def leave_unreadable_journal(database: Path) -> None:
    """A journal of this database in which nothing can be read."""
    folder = choose_folder(database)
    folder.mkdir(exist_ok=True)
    (folder / f"{OLD_APP}-000001.journal").write_bytes(b"no record" * 100)


def test_an_earlier_copy_does_not_hide_losses(database: Path, tmp_path: Path) -> None:
    """Losses found when a dead recorder's journal was folded count beside a copy of before, in any order."""
    record(database, good(1, 2), crashed=True)
    copy = tmp_path / "copy.db"
    shutil.copy(database, copy)
    query(database, "UPDATE sessions SET lost = 7")
    for databases in permutations((database, copy)):
        assert 7 == report(*databases).recording.lost


def test_a_crash_with_the_clock_in_the_future(database: Path) -> None:
    """A recorder whose last sign of life lies weeks ahead is not running: it died before its clock was set right."""
    record(database, good(9, 10), since=20, until=8, crashed=True)
    query(database, "UPDATE sessions SET last_beat = ?", round((time.time() + 30 * DAY) * 1000))
    found = report(database)
    assert (Answer.UNCLEAR, ["crashed"]) == (found.answer, [gap.reason for gap in found.recording.gaps])


def test_one_accounts_recorder_watches_nothing_for_another(database: Path) -> None:
    """Calls of unknown programs recorded under two accounts are two rows: who recorded Bob did not see Alice's job."""
    record(database, bad(*range(80, 60, -1)), since=90, until=60, account="alice")
    record(database, good(*range(59)), since=60, account="bob")
    found = report(database)
    assert (Answer.UNCLEAR, ["alice"]) == (found.answer, [row.account for row in found.quiet])


def test_a_recorder_that_already_ran_covers_no_crash_of_another(database: Path) -> None:
    """Alice's recorder crashed; Bob's on the same machine ran on, and did not see her tools."""
    record(database, good(30, program=SCRIPT), since=31, until=20, crashed=True, account="alice")
    record(database, good(*range(30), program=Program("b.ps1", "bob")), since=32, account="bob")
    found = report(database)
    assert (Answer.UNCLEAR, ["crashed"]) == (
        found.answer,
        [gap.reason for gap in found.recording.gaps if gap.is_blind],
    )


def test_a_retired_app_id_retires_no_program_that_uses_another(database: Path) -> None:
    """A program whose first app was retired, and that failed with its second one, stays in the report."""
    record(
        database,
        good(60, program=SCRIPT, claims={"appid": OLD_APP}),
        bad(50, 49, 48, program=SCRIPT),
        good(1, user_agent="other/1.0"),
    )
    found = report_with(Settings(retired=frozenset({OLD_APP})), database, since="35d")
    assert (Answer.UNCLEAR, ["sync.ps1"]) == (found.answer, [row.program for row in found.quiet])


def test_a_word_on_one_call_is_none_on_another_where_tokens_are_not_told_apart(database: Path) -> None:
    """Calls with several tokens share one row of the database: isMfaCompliant of one of them says nothing of others."""
    judge = Judge()

    def call(number: int, word: str | None) -> Observation:
        tokens = (make_user_token("pwd", uti=f"{number}{one}") for one in "ab")
        return judge.observe(
            Exchange(
                at=ago(1) + number,
                method="GET",
                host=HOST,
                path="/v1/customers",
                authorization=tuple(Secret(f"Bearer {one}".encode()) for one in tokens),
                status=200,
                user_agent="tool/1.0",
                program=None,
                mfa_compliant=word,
            )
        )

    record(database, [call(0, "true"), *(call(number, None) for number in range(1, 30))])
    assert Answer.UNCLEAR is report(database).answer


def test_an_unreadable_token_refused_beside_one_that_was_judged(database: Path) -> None:
    """Tokens that show nothing and are refused for an unknown cause may be without MFA, whatever others' word is."""

    def opaque(name: str, days: float, **parts: object) -> Observation:
        return observe(ago(days), token=f"{name}{int(days)}" * 120, **parts)  # type: ignore[arg-type]

    judged = [opaque("judged", day, mfa_compliant="true") for day in range(9)]
    refused = [opaque("refused", day + 0.01, status=401, body=b"{}") for day in range(9)]
    record(database, judged, refused)
    found = report(database)
    assert (Answer.UNCLEAR, "refused-unknown") == (found.answer, only(found).reasons[0])


def test_a_refused_token_that_expires_at_last(database: Path) -> None:
    """A token refused for an unknown cause while it was valid is told, though it expired within the same hour."""
    token = make_user_token("pwd", "mfa", iat=int(ago(0)) - 5_000, exp=int(ago(0)) + 200)
    refused = [observe(ago(0) + 60 * number, token=token, status=401, body=b"{}") for number in range(12)]
    record(database, good(3, 2), refused)
    found = report(database)
    assert (Answer.UNCLEAR, "refused-unknown") == (found.answer, only(found).reasons[0])


@pytest.mark.parametrize(
    ("days", "answer"),
    [
        ([(day, 50, 100 if day in (25, 18, 11, 4) else 50) for day in range(30, 0, -1)], Answer.NO),
        ([(4, 1, 2), (2, 1, 1), (1, 1, 1)], Answer.NO),
        ([(25, 0, 9), (18, 0, 9), (3, 5, 5), (2, 5, 5)], Answer.YES),
        ([(16, 0, 9), (9, 0, 9), (5, 5, 5), (4, 5, 5)], Answer.NO),
        ([(30, 5, 9), (29, 5, 9), (23, 5, 9), *((day, 5, 5) for day in range(22, 0, -1))], Answer.YES),
    ],
    ids=["weekly beside daily", "mixed once", "mended", "not due yet", "mixed, long over"],
)
def test_microsofts_days_of_an_application_of_two_jobs(
    database: Path, tmp_path: Path, days: list[tuple[int, int, int]], answer: Answer
) -> None:
    """Later days with MFA mend an application only once its calls without MFA would have come back."""
    record(database, good(1, 2))
    items = [
        {
            "loginDate": datetime.fromtimestamp(ago(day), UTC).date().isoformat(),
            "applicationId": "14f38d7d-c4fc-448a-b2df-0fc60e75465a",
            "applicationName": "Billing",
            "mfaCompliantRequestCount": with_mfa,
            "totalRequestCount": total,
        }
        for day, with_mfa, total in days
    ]
    path = tmp_path / "adoption.json"
    path.write_text(json.dumps({"items": items}), encoding="utf-8")
    bring_in(database, path)
    assert answer is report(database).answer


def test_microsofts_word_with_clocks_that_differ(database: Path, tmp_path: Path) -> None:
    """Where a clock was wrong, a call without MFA in Microsoft's list is told of our row or of Microsoft's application:
    never of neither."""
    request_id = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e000{}"
    record(database, [one._replace(request_id=request_id.format(1)) for one in good(1)], good(2))
    rows = [
        {
            "requestId": request_id.format(number),
            "requestDateTime": datetime.fromtimestamp(ago(1) - hours * 3600, UTC).isoformat(),
            "operationName": "GET /v1/customers",
            "applicationId": "5d2b6f60-0000-4000-8000-0000000c1133",
            "mfaCompliant": compliant,
        }
        for number, hours, compliant in ((1, 2, False), (2, 0, None))
    ]
    path = tmp_path / "requests.json"
    path.write_text(json.dumps({"items": rows}), encoding="utf-8")
    bring_in(database, path)
    found = report(database)
    assert (Answer.NO, "microsoft-says-no") == (found.answer, only(found).reasons[0])


def test_a_new_daily_run_answers_for_no_month_that_is_longer(database: Path) -> None:
    """From February to March are 28 days, to April 31: a script's new daily run at that hour mends no monthly one."""
    script = Program("sync.ps1", "svc", "cron")
    record(database, bad(57, 29, program=script), good(*range(29), program=script), since=90)
    found = report(database)
    assert (Answer.UNCLEAR, "recently-changed") == (found.answer, only(found).reasons[0])


def test_a_call_without_a_token_that_was_taken(database: Path) -> None:
    """Partner Center knew the caller by something that we do not see: nobody can say whether with MFA."""
    record(database, good(1, 2), [observe(ago(1), with_token=False, user_agent="portal/1.0")])
    found = report(database)
    assert (Answer.UNCLEAR, {("tool", "mfa"), ("portal", "no-token")}) == (
        found.answer,
        {(row.name, row.reasons[0]) for row in found.tools},
    )


def test_a_call_without_a_token_that_was_refused(database: Path) -> None:
    """A call without a token that Partner Center did not take is nobody's call, as an answer to it says nothing."""
    refused = [observe(ago(1), with_token=False, status=status) for status in (302, 401, 500)]
    record(database, good(1, 2), refused)
    assert (Answer.YES, 3) == ((found := report(database)).answer, found.totals.without_token)


def test_what_a_report_needs_is_not_deleted() -> None:
    """Totals cannot be kept for less time than a report looks back for calls without MFA."""
    addon = PartnerCenterMfa(opens=False)
    with taddons.context(addon) as context:
        context.configure(addon, mfa_audit_keep_calls=7, mfa_audit_keep_totals=60)
        with pytest.raises(exceptions.OptionsError, match="60"):
            context.configure(addon, mfa_audit_keep_totals=59)

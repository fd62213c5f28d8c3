"""What decisions come to: what is accepted still fails, a fix must show itself, the retired come back with a call."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from recordings import SCRIPT, ago, bad, good, only, record

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.decided import Fix
from mfa_audit.reports.decisions import parse
from mfa_audit.reports.model import Report
from mfa_audit.reports.periods import read_period
from mfa_audit.reports.settings import Settings
from mfa_audit.reports.summary import answer_of
from observed import observe

OTHER = Program("other.ps1", "svc", None)


def day(days: float) -> date:
    """The local day so many days ago."""
    return datetime.fromtimestamp(ago(days), UTC).astimezone().date()


def follow(database: Path, *keys: str, since: str = "35d", strict: bool = False) -> Report:
    """The report that follows one entry about the script, with these lines in it."""
    text = '[[tool]]\nmatch = { program = "sync.ps1" }\n' + "\n".join(keys) + "\n"
    settings = Settings(decisions=parse(text.encode(), "decisions.toml"), strict=strict)
    return report_on([database], read_period(since, None, datetime.now(UTC)), settings)


def test_an_accepted_tool_still_fails(tmp_path: Path) -> None:
    """Acceptance changes neither verdict nor answer; only the answer without accepted tools leaves it out."""
    database = tmp_path / "a.db"
    record(database, bad(1, 2, program=SCRIPT), good(1, 2, program=OTHER))
    found = follow(database, f'accept = {{ until = {day(-1)}, reason = "late" }}')
    [failing] = [row for row in found.tools if row.verdict is Verdict.NON_COMPLIANT]
    assert failing.decided is not None
    assert failing.decided.accepted
    assert (Answer.NO, Answer.YES) == (found.answer, answer_of(found, without_accepted=True))


@pytest.mark.parametrize(("until", "counts"), [(0, Answer.YES), (1, Answer.NO)])
def test_acceptance_ends_with_its_day(tmp_path: Path, until: float, counts: Answer) -> None:
    """The last day is part of it; from the next on the tool counts again, and the entry is remarked on."""
    database = tmp_path / "a.db"
    record(database, bad(3, program=SCRIPT), good(1, 2, program=OTHER))
    today = datetime.now(UTC).astimezone().date()
    found = follow(database, f'accept = {{ until = {today - timedelta(days=until)}, reason = "late" }}')
    assert counts is answer_of(found, without_accepted=True)
    assert found.decisions is not None
    assert (["over"] if until else []) == [one.kind for one in found.decisions.remarks]


def test_a_fix_with_a_good_token_is_confirmed(tmp_path: Path) -> None:
    """Evidence before the day of the fix counts no more once a good token was issued since, and no bad call came."""
    database = tmp_path / "a.db"
    record(database, bad(*range(3, 30), program=SCRIPT), good(1, program=SCRIPT))
    row = only(follow(database, f"fixed = {day(2)}"))
    assert (Verdict.COMPLIANT, Fix.CONFIRMED, 1) == (
        row.verdict,
        row.decided and row.decided.fix,
        row.decided and row.decided.good_tokens,
    )
    assert [Verdict.COMPLIANT] == [user.verdict for user in row.users]


def test_a_fix_without_a_good_token_proves_nothing(tmp_path: Path) -> None:
    """The word alone turns no failing tool into a passing one; neither does a token that was issued before."""
    database = tmp_path / "a.db"
    record(database, bad(5, 6, program=SCRIPT))
    row = only(follow(database, f"fixed = {day(2)}"))
    assert (Verdict.NON_COMPLIANT, Fix.UNPROVEN) == (row.verdict, row.decided and row.decided.fix)

    issued_before = tmp_path / "b.db"
    held = {"iat": int(ago(4)), "exp": int(ago(-1))}
    record(issued_before, bad(5, 6, program=SCRIPT), good(1, program=SCRIPT, claims=held))
    row = only(follow(issued_before, f"fixed = {day(2)}"))
    assert (True, Fix.UNPROVEN) == (
        row.verdict is not Verdict.COMPLIANT,
        row.decided and row.decided.fix,
    )


def test_a_bad_call_since_contradicts_the_fix(tmp_path: Path) -> None:
    """A call without MFA since takes the decision back, also where good ones came, and is told."""
    database = tmp_path / "a.db"
    record(database, bad(1, 5, 6, program=SCRIPT), good(0, 0.5, program=SCRIPT))
    found = follow(database, f"fixed = {day(2)}")
    row = only(found)
    assert (True, Fix.CONTRADICTED) == (
        row.verdict is not Verdict.COMPLIANT,
        row.decided and row.decided.fix,
    )
    assert found.decisions is not None
    assert ["contradicted"] == [one.kind for one in found.decisions.remarks]


def test_a_twin_does_not_prove_a_fix(tmp_path: Path) -> None:
    """Where good calls came between the bad ones all along, good ones since show nothing until the next bad was due."""
    database = tmp_path / "a.db"
    record(
        database,
        bad(24, 17, 10, 3, program=SCRIPT),
        good(*(number + 0.5 for number in range(25)), program=SCRIPT),
    )
    row = only(follow(database, f"fixed = {day(2)}"))
    assert (Verdict.NON_COMPLIANT, Fix.SIDE_BY_SIDE) == (row.verdict, row.decided and row.decided.fix)


def test_a_fix_to_come_forgives_nothing(tmp_path: Path) -> None:
    """A date that is to come is no fix yet, and is remarked on."""
    database = tmp_path / "a.db"
    record(database, bad(3, program=SCRIPT), good(1, 2, program=SCRIPT))
    plain, ahead = follow(database), follow(database, f"fixed = {day(-3)}")
    row = only(ahead)
    assert (only(plain).verdict, Fix.AHEAD) == (row.verdict, row.decided and row.decided.fix)
    assert ahead.decisions is not None
    assert ["fixed-ahead"] == [one.kind for one in ahead.decisions.remarks]


def test_a_fix_of_what_could_not_be_told(tmp_path: Path) -> None:
    """A tool whose tokens could not be read is with MFA once it was changed, by its good tokens since alone."""
    database = tmp_path / "a.db"
    opaque = [observe(ago(days), token="0.opaque-token", program=SCRIPT) for days in (6, 5)]
    record(database, opaque, good(6, 5, 2, 1, program=SCRIPT))
    assert Verdict.UNDETERMINED is only(follow(database)).verdict
    row = only(follow(database, f"fixed = {day(3)}"))
    assert (Verdict.COMPLIANT, 2) == (row.verdict, row.decided and row.decided.good_tokens)


def test_strict_forgives_no_fix(tmp_path: Path) -> None:
    """With --strict any call without MFA in the period counts, whatever was decided."""
    database = tmp_path / "a.db"
    record(database, bad(3, program=SCRIPT), good(0, 1, program=SCRIPT))
    assert Verdict.NON_COMPLIANT is only(follow(database, f"fixed = {day(2)}", strict=True)).verdict


def test_a_retired_tool_counts_for_nothing_until_it_calls(tmp_path: Path) -> None:
    """It is listed apart; with a call on that day or later it is a failing tool again."""
    database = tmp_path / "a.db"
    record(database, bad(5, 6, program=SCRIPT), good(1, 2, program=OTHER))
    found = follow(database, f"retired = {day(4)}")
    assert (Answer.YES, ["other.ps1"], ["sync.ps1"]) == (
        found.answer,
        [row.program for row in found.tools],
        [row.program for row in found.retired],
    )
    again = follow(database, f"retired = {day(5)}")
    assert (Answer.NO, ()) == (again.answer, again.retired)
    assert again.decisions is not None
    assert ["called-again"] == [one.kind for one in again.decisions.remarks]


def test_a_tool_that_went_quiet_is_retired(tmp_path: Path) -> None:
    """One that failed before the period makes the answer unclear, until a decision retires it."""
    database = tmp_path / "a.db"
    record(database, bad(40, program=SCRIPT), good(1, 2, program=OTHER))
    assert Answer.UNCLEAR is follow(database).answer
    assert Answer.YES is follow(database, f"retired = {day(39)}").answer


@pytest.mark.parametrize(
    ("rhythm", "last", "answer"),
    [
        ("daily", 2, Answer.YES),
        ("daily", 5, Answer.UNCLEAR),
        ("weekly", 7, Answer.YES),
        ("weekly", 10, Answer.UNCLEAR),
        ("monthly", 31, Answer.YES),
        ("monthly", 40, Answer.UNCLEAR),
    ],
)
def test_an_expected_tool_must_be_seen(tmp_path: Path, rhythm: str, last: float, answer: Answer) -> None:
    """One that was not seen within its rhythm makes the answer unclear, however short the period is."""
    database = tmp_path / "a.db"
    record(database, good(last, last + 1, program=SCRIPT), good(0, 1, program=OTHER))
    found = follow(database, f'expect = "{rhythm}"', since="3d")
    assert found.decisions is not None
    assert (answer, [answer is Answer.YES]) == (found.answer, [one.seen for one in found.decisions.expected])


def test_an_expected_tool_that_never_came_is_missed(tmp_path: Path) -> None:
    """An entry that fits nothing is remarked on, and what it expects is missed."""
    database = tmp_path / "a.db"
    record(database, good(0, 1, program=OTHER))
    found = follow(database, 'expect = "daily"')
    assert found.decisions is not None
    assert (Answer.UNCLEAR, ["unmatched"], 0) == (
        found.answer,
        [one.kind for one in found.decisions.remarks],
        found.decisions.rows,
    )
    assert [None] == [one.last_seen for one in found.decisions.missing]


def test_a_fix_is_overdue(tmp_path: Path) -> None:
    """A failing tool whose date is past is remarked on; one that passes is not."""
    database = tmp_path / "a.db"
    record(database, bad(3, program=SCRIPT))
    found = follow(database, f"due = {day(2)}", 'owner = "Dana"')
    assert found.decisions is not None
    assert ["overdue"] == [one.kind for one in found.decisions.remarks]


def test_what_was_true_then_is_judged_by_then(tmp_path: Path) -> None:
    """A report until a moment before the fix forgives nothing by it."""
    database = tmp_path / "a.db"
    record(database, bad(*range(6, 30), program=SCRIPT), good(0, 1, 2, program=SCRIPT))
    text = f'[[tool]]\nmatch = {{ program = "sync.ps1" }}\nfixed = {day(4)}\n'
    settings = Settings(decisions=parse(text.encode(), "d"))
    now = datetime.now(UTC)
    assert Verdict.COMPLIANT is only(report_on([database], read_period("35d", None, now), settings)).verdict
    assert (
        Verdict.NON_COMPLIANT is only(report_on([database], read_period("35d", "5d", now), settings)).verdict
    )


def test_a_week_forgives_nothing(tmp_path: Path) -> None:
    """A call without MFA makes its week a failing one, also where good ones came in the same week."""
    database = tmp_path / "a.db"
    monday = (
        7 + datetime.fromtimestamp(ago(0), UTC).astimezone().weekday()
    )  # so many days ago was last week's
    record(
        database, bad(monday - 1, program=SCRIPT), good(monday - 2, monday - 3, monday - 4, program=SCRIPT)
    )
    [week] = follow(database).weeks
    assert (1, 1, 0) == (week.tools, week.failing, week.unclear)


def test_weeks_are_judged_by_themselves(tmp_path: Path) -> None:
    """Each local week counts its own tools: a tool that is fixed now was failing in the weeks before."""
    database = tmp_path / "a.db"
    record(database, bad(21, 28, program=SCRIPT), good(0, 7, program=SCRIPT), good(0, 7, 21, program=OTHER))
    weeks = {
        week.monday: (week.tools, week.failing, week.blocked, week.unclear) for week in follow(database).weeks
    }

    def monday(days: float) -> date:
        return day(days) - timedelta(days=day(days).weekday())

    assert {
        monday(28): (1, 1, 0, 0),
        monday(21): (2, 1, 0, 0),
        monday(7): (2, 0, 0, 0),
        monday(0): (2, 0, 0, 0),
    } == weeks

"""How evidence adds up: what all that one row did comes to today."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import pytest

from mfa_audit.judging.counts import Counts
from mfa_audit.judging.evidence import (
    RULE,
    Credential,
    RowFacts,
    Standing,
    Stretch,
    Watched,
    depends_on_times,
    watched_days,
    weigh,
)
from mfa_audit.judging.reasons import REASONS, Verdict

DAY = 24 * 3600.0
BOB = Credential("app", "tenant", "bob")
EVE = Credential("app", "tenant", "eve")
APP = Credential("new app")
ALWAYS = (Watched(0.0, 1000 * DAY),)


def stretch(reason: str, day: float, calls: int = 10, issued: float | None = None, **counts: int) -> Stretch:
    """One token that made ten accepted calls within ten minutes from that day on, issued when it was first used."""
    at = day * DAY
    held = {"accepted": calls, **counts}
    return Stretch(reason, at if issued is None else issued * DAY, at, at + 600, Counts(calls, **held))


def bad(*days: float) -> list[Stretch]:
    return [stretch("amr-without-mfa", day) for day in days]


def good(*days: float) -> list[Stretch]:
    return [stretch("mfa", day) for day in days]


def standing(
    *stretches: Stretch, now: float = 100, watched: Iterable[Watched] = ALWAYS, **row: Any
) -> Standing:
    """The standing on that day of a row in which Bob alone did these."""
    return weigh(
        RowFacts({BOB: sorted(stretches, key=lambda one: one.first)}, **row), tuple(watched), now * DAY
    )


@pytest.mark.parametrize(
    ("one", "verdict", "reasons"),
    [
        (stretch("mfa", 1), "compliant", ("mfa",)),
        (stretch("app-only", 1), "exempt", ("app-only",)),
        (stretch("amr-without-mfa", 1), "non-compliant", ("amr-without-mfa",)),
        (stretch("opaque", 1), "undetermined", ("opaque",)),
        # Nobody forges a token that lacks MFA: what the answer was does not matter, if it had not expired.
        (stretch("amr-without-mfa", 1, accepted=0), "non-compliant", ("amr-without-mfa",)),
        (stretch("amr-without-mfa", 1, accepted=0, refused=10), "non-compliant", ("amr-without-mfa",)),
        (stretch("amr-without-mfa", 1, accepted=0, unanswered=10), "non-compliant", ("amr-without-mfa",)),
        (
            stretch("amr-without-mfa", 1, accepted=0, expired=10),
            "undetermined",
            ("expired", "amr-without-mfa"),
        ),
        (stretch("amr-without-mfa", 1, accepted=1, expired=10), "non-compliant", ("amr-without-mfa",)),
        (stretch("amr-without-mfa", 1, accepted=0, expired=9), "non-compliant", ("amr-without-mfa",)),
        # The server's refusal beats everything, with whatever token, and with none.
        (stretch("mfa", 1, blocked=1), "non-compliant", ("blocked",)),
        (stretch("app-only", 1, accepted=0, blocked=1), "non-compliant", ("blocked",)),
        (stretch("no-token", 1, accepted=0, blocked=10), "non-compliant", ("blocked",)),
        (
            stretch("opaque", 1, blocked=1, server_compliant=3),
            "non-compliant",
            ("blocked", "server-says-yes"),
        ),
        (stretch("mfa", 1, blocked_by_test=1), "non-compliant", ("blocked-by-test",)),
        (stretch("mfa", 1, server_non_compliant=1), "non-compliant", ("server-says-no", "mfa")),
        (stretch("mfa", 1, microsoft_non_compliant=1), "non-compliant", ("microsoft-says-no", "mfa")),
        # A yes decides where the token shows too little, and nowhere else.
        (stretch("opaque", 1, server_compliant=1), "compliant", ("opaque", "server-says-yes")),
        (
            stretch("caller-unknown", 1, server_compliant=1),
            "compliant",
            ("caller-unknown", "server-says-yes"),
        ),
        (
            stretch("amr-missing-v2", 1, server_compliant=1),
            "compliant",
            ("amr-missing-v2", "server-says-yes"),
        ),
        (stretch("opaque", 1, microsoft_compliant=1), "compliant", ("opaque", "microsoft-says-yes")),
        (
            stretch("amr-without-mfa", 1, server_compliant=1),
            "non-compliant",
            ("amr-without-mfa", "server-says-yes"),
        ),
        (
            stretch("wrong-audience", 1, server_compliant=1),
            "undetermined",
            ("wrong-audience", "server-says-yes"),
        ),
        # Nothing was taken: why, as far as known.
        (stretch("mfa", 1, accepted=0), "undetermined", ("never-accepted", "mfa")),
        (stretch("mfa", 1, accepted=0, unanswered=10), "undetermined", ("not-reached", "mfa")),
        (stretch("mfa", 1, accepted=0, refused=9), "undetermined", ("refused-unknown", "mfa")),
        (stretch("mfa", 1, accepted=0, expired=10, refused=10), "undetermined", ("expired", "mfa")),
    ],
)
def test_what_one_stretch_proves(one: Stretch, verdict: str, reasons: tuple[str, ...]) -> None:
    """The server's word, the token's own, and acceptance are weighed in that order."""
    found = standing(one)
    assert (verdict, reasons) == (found.verdict, found.reasons)


@pytest.mark.parametrize(
    ("bad_days", "wait"),
    [
        ([1], 40),
        ([1, 2], 40),
        ([1, 2, 3], 40),  # three days, but within a week: no rhythm can be told
        ([1, 2, 3, 4, 5, 6, 7, 8], 11),
        ([0, 7, 14], 17),
        ([0, 14, 28], 24),
        ([0, 30, 60], 40),
        ([0, 35, 70], 40),
    ],
)
def test_how_long_a_rhythm_is_waited_for(bad_days: list[int], wait: float) -> None:
    """The longest pause between bad days says how long; ten days more than it, never more than 40."""
    assert wait == RULE.wait_of(bad_days)


def test_one_job_that_was_fixed_is_confirmed_by_watching() -> None:
    """A daily job with MFA since day 20 turns compliant 11 watched days later, and not before."""
    days = [*bad(*range(1, 20)), *good(*range(20, 32))]
    assert Verdict.UNDETERMINED is standing(*days[:-2], now=30, specific=True).verdict
    fixed = standing(*days, now=31.5, specific=True)
    assert (Verdict.COMPLIANT, ("mfa",)) == (fixed.verdict, fixed.reasons)
    assert fixed.why is not None
    assert ("fixed", 20 * DAY, 19 * DAY + 600) == (fixed.why.kind, fixed.why.good_since, fixed.why.last_bad)


def test_a_job_that_fell_silent_is_not_confirmed() -> None:
    """Watched time counts as far as good tokens reach: a renamed job's old name says nothing of it."""
    days = [*bad(*range(1, 20)), *good(20, 21, 22)]
    assert Verdict.UNDETERMINED is standing(*days, now=90, specific=True).verdict


def test_what_may_be_several_jobs_waits_for_the_rarest() -> None:
    """A monthly job hides behind a daily one where both may have the same name, so the wait is 40 days."""
    days = [*bad(*range(1, 20)), *good(*range(20, 62))]
    early, late = ([one for one in days if one.first < end * DAY] for end in (59, 61))
    assert Verdict.UNDETERMINED is standing(*early, now=59).verdict
    assert Verdict.COMPLIANT is standing(*late, now=61).verdict


def test_people_keep_no_rhythm() -> None:
    """Bad calls at hours that seldom come again are waited for as long as a monthly job's."""
    hours = (8, 14, 10, 17, 12, 9, 15, 19)
    days = [
        *bad(*[day + hour / 24 for day, hour in enumerate(hours, 1)]),
        *good(*[day + 0.5 for day in range(9, 45)]),
    ]
    assert Verdict.UNDETERMINED is standing(*days, now=45, specific=True).verdict


def test_time_that_nobody_watched_does_not_count() -> None:
    """While the recorder is off, no bad call could be seen, so none was missed."""
    days = [*bad(*range(1, 20)), *good(*range(20, 32))]
    watched = [Watched(0, 20 * DAY), Watched(24 * DAY, 100 * DAY)]
    waiting = standing(*days, now=31.5, watched=watched, specific=True)
    assert (Verdict.UNDETERMINED, "recently-changed") == (waiting.verdict, waiting.reasons[0])
    later = good(*range(32, 37))
    assert Verdict.COMPLIANT is standing(*days, *later, now=36.5, watched=watched, specific=True).verdict
    assert 3.0 == watched_days([Watched(1 * DAY, 3 * DAY), Watched(5 * DAY, 9 * DAY)], 2 * DAY, 7 * DAY)


def test_a_scheduled_job_is_confirmed_by_its_next_two_runs() -> None:
    """Where it is known what starts the program, its own next runs are the proof; one is not enough."""
    days = [*bad(*range(1, 20)), *good(20)]
    assert Verdict.UNDETERMINED is standing(*days, now=20.5, starter_known=True).verdict
    assert Verdict.COMPLIANT is standing(*days, *good(21), now=21.5, starter_known=True).verdict
    assert Verdict.UNDETERMINED is standing(*days, *good(21), now=21.5).verdict


def test_when_a_row_can_turn_is_said() -> None:
    """The earliest moment at which the lines of the rule can hold, and not the longest wait."""
    daily_job = [*bad(*range(1, 20)), *good(20)]
    known = standing(*daily_job, now=20.5, starter_known=True, specific=True)
    assert 21.5 * DAY == known.waiting_until
    watched = standing(*daily_job, now=20.5, specific=True)
    assert watched.waiting_until is not None
    assert 30 * DAY < watched.waiting_until < 30.1 * DAY
    assert 59 * DAY < (standing(*daily_job, now=20.5).waiting_until or 0) < 59.1 * DAY


def test_another_account_does_not_answer_before_the_next_bad_call_is_due() -> None:
    """A daily job that begins with another account the day after a weekly one failed is not its fix."""
    weekly = {BOB: bad(1, 8, 15), EVE: good(16, 17, 18)}
    facts = RowFacts(weekly, starter_known=True, specific=True)
    assert Verdict.UNDETERMINED is weigh(facts, ALWAYS, 19 * DAY).verdict
    later = RowFacts({**weekly, EVE: good(*range(16, 25))}, starter_known=True, specific=True)
    assert Verdict.COMPLIANT is weigh(later, ALWAYS, 25 * DAY).verdict


def test_who_skips_mfa_in_the_office_only_is_not_confirmed() -> None:
    """Bad on Mondays and good on the other days: in the first week that looks like a fix, and is none."""
    found = standing(*bad(1), *good(2, 3, 4), now=4.5, starter_known=True, specific=True)
    assert Verdict.UNDETERMINED is found.verdict


def test_a_rare_job_beside_a_daily_one_is_never_hidden() -> None:
    """Daily good use of the same account does not answer for a weekly or monthly job without MFA."""
    for starter_known in (False, True):
        daily = good(*[day + 0.4 for day in range(1, 36)])
        weekly = standing(*daily, *bad(2, 9, 16, 23, 30), now=35.5, starter_known=starter_known)
        assert (Verdict.NON_COMPLIANT, True) == (weekly.verdict, weekly.side_by_side)
        monthly = standing(*daily, *bad(2, 32), now=35.5, starter_known=starter_known)
        assert (Verdict.NON_COMPLIANT, True) == (monthly.verdict, monthly.side_by_side)
        once = standing(*daily, *bad(2), now=35.5)
        assert Verdict.UNDETERMINED is once.verdict


def test_bad_calls_at_another_hour_are_waited_for_at_that_hour() -> None:
    """A daily job at 10:00 that was fixed does not answer for the one bad call at 03:00, whatever starts it."""
    morning = 10 / 24
    days = [*bad(*[day + morning for day in range(1, 20)]), *bad(5 + 3 / 24)]
    after = good(*[day + morning for day in range(20, 32)])
    for starter_known in (False, True):
        row = {"specific": True, "starter_known": starter_known}
        assert Verdict.UNDETERMINED is standing(*days, *after, now=32, **row).verdict
        assert Verdict.COMPLIANT is standing(*days[:-1], *after, now=32, **row).verdict


def test_a_credential_in_place_of_another_answers_for_it() -> None:
    """A fix that moves the job to an app's own token is seen, where the row always used one credential at a time."""
    row = RowFacts(
        {BOB: bad(*range(1, 20)), APP: [stretch("app-only", day) for day in (20, 21)]}, starter_known=True
    )
    fixed = weigh(row, ALWAYS, 22 * DAY)
    assert (Verdict.EXEMPT, ("app-only",)) == (fixed.verdict, fixed.reasons)
    both = RowFacts(
        {BOB: bad(*range(1, 20)), APP: [stretch("app-only", day) for day in (10, 20, 21)]}, starter_known=True
    )
    assert Verdict.NON_COMPLIANT is not weigh(row, ALWAYS, 22 * DAY).verdict
    assert Verdict.UNDETERMINED is weigh(both, ALWAYS, 22 * DAY).verdict
    once = RowFacts({BOB: bad(1), EVE: good(2, 3, 4)}, starter_known=True)
    assert Verdict.UNDETERMINED is weigh(once, ALWAYS, 5 * DAY).verdict
    other_user = RowFacts({BOB: bad(1, 19), EVE: good(2, 20, 21)}, starter_known=True)
    assert Verdict.UNDETERMINED is weigh(other_user, ALWAYS, 22 * DAY).verdict


def test_a_capture_never_shows_that_something_is_fixed() -> None:
    """A capture watches nothing: good tokens after bad ones in it are no more than a hint."""
    found = standing(*bad(1), *good(2, 3, 4), now=90, captured=True)
    assert (Verdict.UNDETERMINED, "fixed-in-capture") == (found.verdict, found.reasons[0])
    assert Verdict.NON_COMPLIANT is standing(*good(1), *bad(2), now=90, captured=True).verdict
    assert Verdict.COMPLIANT is standing(*good(1, 2), now=90, captured=True).verdict


def test_refusals_of_unknown_cause_at_the_end_are_not_good() -> None:
    """An MFA token that was taken and is refused now, nobody knows why, makes the row unclear."""
    refused = stretch("mfa", 5, accepted=0, refused=10)
    found = standing(*good(1, 2), refused, now=6)
    assert (Verdict.UNDETERMINED, ("refused-unknown", "mfa")) == (found.verdict, found.reasons)
    assert Verdict.COMPLIANT is standing(*good(1, 2), refused, *good(6), now=7).verdict


def test_validate_answers_for_other_tokens_of_one_program() -> None:
    """Asked once, Partner Center's yes decides a known program's tokens that show too little; not another's."""
    asked, unasked = stretch("amr-missing-v2", 1, server_compliant=3), stretch("amr-missing-v2", 2)
    assert Verdict.COMPLIANT is standing(asked, unasked, specific=True).verdict
    assert Verdict.UNDETERMINED is standing(asked, unasked).verdict


def test_strict_never_forgives() -> None:
    """With strict any call without MFA makes the row non-compliant."""
    row = RowFacts({BOB: [*bad(1, 8), *good(15, 22)]}, starter_known=True)
    assert Verdict.COMPLIANT is weigh(row, ALWAYS, 90 * DAY).verdict
    assert Verdict.NON_COMPLIANT is weigh(row, ALWAYS, 90 * DAY, strict=True).verdict


def test_the_order_of_facts_does_not_matter() -> None:
    """The same facts in any order give the same standing."""
    days = [*bad(1, 9), *good(5, 20)]
    found = {weigh(RowFacts({BOB: order}), ALWAYS, 30 * DAY).verdict for order in permutations(days)}
    assert 1 == len(found)


def test_no_evidence_is_no_verdict() -> None:
    """A row without evidence cannot be told, without a reason."""
    assert Standing(Verdict.UNDETERMINED, ()) == weigh(RowFacts({}), (), 0)


def test_when_times_matter() -> None:
    """Only rows with bad evidence beside other, or with refusals beside acceptance, need their times."""
    assert not depends_on_times([*good(1), stretch("opaque", 2)])
    assert not depends_on_times([*bad(1), stretch("mfa", 2, accepted=0)])
    assert depends_on_times([*bad(1), *good(2)])
    assert depends_on_times([*good(1), stretch("mfa", 2, accepted=0, refused=1)])


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_advice_of_its_own_or_needs_none(reason: str) -> None:
    """Whoever has something to do is told what; who has nothing to do is told nothing."""
    row = REASONS[reason]
    assert (row.advice is None) == (row.verdict in (Verdict.COMPLIANT, Verdict.EXEMPT))


@pytest.mark.parametrize(("hours", "kind"), [(22, "waiting"), (23.9, "waiting"), (24, "fixed")])
def test_a_lasting_change_takes_a_day(hours: float, kind: str) -> None:
    """Good tokens less than 24 hours apart may be two of one sign-in: a scheduled job is fixed from 24 hours on."""
    noon = 0.5
    second = 21 + noon + (hours - 24) / 24
    stretches = [*bad(*[day + noon for day in range(10, 20)]), *good(20 + noon, second)]
    # Two good days within the bad calls' hours, so that the time between the tokens alone decides.
    stretches.append(stretch("mfa", 21 + noon, issued=second))
    found = standing(*stretches, now=22, starter_known=True, specific=True)
    assert found.why is not None
    assert kind == found.why.kind

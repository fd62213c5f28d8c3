"""From all that one row of the report did to its verdict today: `weigh` alone has an opinion on a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Final

from mfa_audit.judging.evidence import Credential, RowFacts, Standing, Watched, Why
from mfa_audit.judging.fix_rule import (
    DAY,
    LINES,
    RULE,
    Case,
    Good,
    Rule,
    day_of,
    hour_of,
    longest_pause,
    watched_days,
)
from mfa_audit.judging.proofs import FINE, Kind, Proof, look
from mfa_audit.judging.reasons import DECIDED_BY_SERVER, NOT_TOLD_APART, Verdict, order, worst


def weigh(
    row: RowFacts,
    watched: Sequence[Watched],
    now: float,
    *,
    since: float | None = None,
    strict: bool = False,
    rule: Rule = RULE,
) -> Standing:
    """The standing of a row at the moment `now` (the period's end, or the present), by the tables above.

    `watched` are the times in which the row's recorders ran, without overlap. `since` is the period's start: it
    chooses which reasons are told of a credential without bad evidence, and never what counts as bad. With `strict`
    nothing clears. A row without evidence is undetermined, without reasons.
    """
    proofs = {
        credential: [Proof(one, *look(one)) for one in stretches]
        for credential, stretches in row.evidence.items()
        if stretches
    }
    fine = [one.stretch for owned in proofs.values() for one in owned if one.kind in FINE]
    anybody = Good(fine)
    row_last_bad = max(
        (one.stretch.last for owned in proofs.values() for one in owned if one.kind is Kind.BAD),
        default=None,
    )
    # Succession: the fix changed app id or account. In a row that always used one credential at a time, the good
    # calls after its last bad one are those of the credential that took the place of all before it.
    succeeds = row_last_bad is not None and (not rule.one_at_a_time or _is_one_at_a_time(row))
    after = Good(one for one in fine if succeeds and one.first > (row_last_bad or 0.0))
    found = {}
    for credential, owned in proofs.items():
        bad = [one for one in owned if one.kind is Kind.BAD]
        if not bad:
            found[credential] = _stand_without_bad(row, owned, since)
            continue
        first_bad = min(one.stretch.first for one in bad)
        last_bad = max(one.stretch.last for one in bad)
        good = Good(one.stretch for one in owned if one.kind in FINE)
        bad_days: dict[int, set[int]] = {}
        for one in bad:
            for moment in (one.stretch.first, one.stretch.last):
                bad_days.setdefault(hour_of(moment), set()).add(day_of(moment))
        own, taken_over = good.issued(last_bad), after.issued(last_bad)
        issued = own if taken_over is None else taken_over.plus(own)
        if last_bad == row_last_bad and taken_over is not None:
            issued = taken_over  # what came after the row's last bad call is in it already
        case = Case(
            bad_days,
            good.is_between(first_bad, last_bad),
            own,
            issued,
            anybody.issued(last_bad),
            (good.days(last_bad), after.days(row_last_bad or 0.0)),
            partial(watched_days, watched, last_bad),
            now,
            row.starter_known,
            row.specific,
        )
        found[credential] = _stand_with_bad(row, owned, case, rule, now, since=since, strict=strict)
    return fold(found)


def _is_one_at_a_time(row: RowFacts) -> bool:
    """Whether the row never used two credentials at a time."""
    spans = sorted(
        (min(one.first for one in stretches), max(one.last for one in stretches))
        for stretches in row.evidence.values()
        if stretches
    )
    return all(before[1] < after[0] for before, after in pairwise(spans))


def _stand_with_bad(
    row: RowFacts,
    owned: Sequence[Proof],
    case: Case,
    rule: Rule,
    now: float,
    *,
    since: float | None,
    strict: bool,
) -> Standing:
    bad = [one for one in owned if one.kind is Kind.BAD]
    reasons = {reason for one in bad for reason in one.reasons}
    issued = case.issued or case.anybody
    why = Why(
        "failing",
        min(one.stretch.first for one in bad),
        max(one.stretch.last for one in bad),
        sum(one.stretch.counts.calls for one in bad),
        issued.first if issued else None,
        issued.tokens if issued else 0,
    )
    waits = [wait for line in LINES if (wait := line(case, rule)) is not None]
    if strict or not (case.issued or waits):
        return Standing(Verdict.NON_COMPLIANT, order(reasons), why, case.between)
    if row.captured:
        why = why._replace(kind="captured")
        return Standing(Verdict.UNDETERMINED, order({"fixed-in-capture"} | reasons), why, case.between)
    # One good token: the second is a day away, and by then the lines say how long.
    wait = min(waits, default=max(1.0, rule.longest_wait - case.watched(now)))
    until = now + wait * DAY
    if wait <= 0.0:
        rest = [one for one in owned if one.kind is not Kind.BAD and one.stretch.last > why.last_bad]
        today = _stand_without_bad(row, rest, since)
        return replace(today, why=why._replace(kind="fixed", until=now))
    if not case.between:
        why = why._replace(kind="waiting", until=until)
        return Standing(Verdict.UNDETERMINED, order({"recently-changed"} | reasons), why, False, until)
    # Until the longest pause between two bad calls is over, the next one is not even due.
    due = case.watched(now) > longest_pause(case.all_bad_days)
    verdict = Verdict.UNDETERMINED if due else Verdict.NON_COMPLIANT
    why = why._replace(kind="side-by-side", until=until)
    return Standing(verdict, order({"side-by-side"} | reasons), why, True, until)


def _stand_without_bad(row: RowFacts, owned: Sequence[Proof], since: float | None) -> Standing:
    """The standing of a credential of which nothing is bad, or nothing any more."""
    listed = [one for one in owned if since is None or one.stretch.last >= since] or list(owned)
    if refused := _refused_last(listed):
        return Standing(Verdict.UNDETERMINED, order({"refused-unknown", *refused}))
    if row.specific:
        # One program, asked once with --validate, answers for its other tokens of that kind.
        decided = {
            one.stretch.reason
            for one in listed
            if one.kind is Kind.GOOD and one.stretch.reason in DECIDED_BY_SERVER - NOT_TOLD_APART
        }
        listed = [one for one in listed if one.kind is not Kind.UNKNOWN or one.stretch.reason not in decided]
    for kind, verdict in _VERDICTS:
        reasons = {reason for one in listed if one.kind is kind for reason in one.reasons}
        if reasons:
            return Standing(verdict, order(reasons))
    return _GONE


_VERDICTS: Final = (
    (Kind.UNKNOWN, Verdict.UNDETERMINED),
    (Kind.GOOD, Verdict.COMPLIANT),
    (Kind.EXEMPT, Verdict.EXEMPT),
    (Kind.NOTHING, Verdict.UNDETERMINED),
)
# A credential that was replaced: those that took its place decide.
_GONE: Final = Standing(Verdict.COMPLIANT, ())


def _refused_last(listed: Sequence[Proof]) -> set[str]:
    """The reasons of unexpired tokens that were refused for an unknown cause, if none was taken after them."""
    if not any(one.stretch.counts.refused for one in listed):
        return set()
    taken = max((one.stretch.last for one in listed if one.stretch.counts.accepted), default=None)
    return {
        one.stretch.reason
        for one in listed
        if taken is not None
        and one.stretch.first > taken
        and one.stretch.counts.refused > one.stretch.counts.expired
    }


def fold(found: Mapping[Credential, Standing]) -> Standing:
    """The standing of a row: the worst of its credentials' decides, with all reasons of that verdict."""
    standings = [one for one in found.values() if one.reasons]
    if not standings:
        return Standing(Verdict.UNDETERMINED, ())
    verdict = worst(one.verdict for one in standings)
    deciding = [one for one in standings if one.verdict is verdict]
    whys = [one.why for one in found.values() if one.why and (one.verdict is verdict or not one.reasons)]
    return Standing(
        verdict,
        order({reason for one in deciding for reason in one.reasons}),
        max(whys, key=lambda why: why.last_bad, default=None),
        any(one.side_by_side for one in deciding),
        max((one.waiting_until for one in deciding if one.waiting_until is not None), default=None),
        dict(found),
    )

"""How evidence adds up: from all that one row of the report did to its verdict today.

The store hands over Stretches, which are facts and no opinion; `weigh` alone weighs them. The rule stands in
`docs/verdicts.md`, "How evidence adds up"; each line of it is one row of a table below, and its numbers and conditions
are one `Rule`.

The property that outranks all others: a job that will call without MFA in its next run is never compliant
today merely because somebody else used its identity meanwhile.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, NamedTuple

from mfa_audit.judging.counts import Counts
from mfa_audit.judging.reasons import DECIDED_BY_SERVER, NOT_TOLD_APART, Verdict, order, verdict_of, worst


class Credential(NamedTuple):
    """What a job signs in with: its app id, and the user behind the token (None: an app's own token, or unreadable).

    `person` is the user's object id, or the name where there is none. User-Agents are no part of it: they change
    with every update and prove nothing.
    """

    app_id: str | None = None
    tenant: str | None = None
    person: str | None = None


class Stretch(NamedTuple):
    """What one token did: a run of calls of one credential, in one row of the report.

    Times in seconds since 1970 (UTC). `issued` is when the token was issued, else when it was first seen at all.
    `reason` is the token's own (an id in REASONS), and says its verdict. In a row whose verdict depends on times
    (`depends_on_times`), a Stretch is of one token and lies within one whole hour. In any other it may stand for
    many tokens of one kind over any time: `tokens` of them, issued from `issued` to `issued_last`.
    """

    reason: str
    issued: float
    first: float
    last: float
    counts: Counts
    tokens: int = 1
    issued_last: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What the token says by itself."""
        return verdict_of(self.reason)


@dataclass(frozen=True, slots=True)
class RowFacts:
    """All that is known of one row of the report: what each credential did, ever.

    `starter_known`: it is one known program, and a scheduler or a service starts it (a scheduled task, cron, a unit):
    runs by hand are rows of their own, and are none of these. `specific`: it is one known program, not what may be
    several jobs. `captured`: it comes from a capture, which watches nothing.
    """

    evidence: Mapping[Credential, Sequence[Stretch]]
    starter_known: bool = False
    specific: bool = False
    captured: bool = False


class Watched(NamedTuple):
    """A time in which the row's recorder ran and kept up, in seconds since 1970 (UTC)."""

    start: float
    end: float


class Why(NamedTuple):
    """The dates behind a standing, for one sentence.

    `kind`: failing, waiting, side-by-side, captured or fixed. `first_bad` and `last_bad` are calls without MFA;
    `good_since` the first good call after the last of them, `good_tokens` how many good tokens since.
    `until`: what waiting ends at, or what fixed was confirmed at. Seconds since 1970 (UTC).
    """

    kind: str
    first_bad: float
    last_bad: float
    bad_calls: int
    good_since: float | None = None
    good_tokens: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict on one row of the report, or on one credential in it; reasons most telling first.

    `side_by_side`: calls with MFA came between calls without it: probably two jobs. `waiting_until` is the earliest
    moment (seconds since 1970) at which the row can turn compliant by itself, if nothing bad comes.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    why: Why | None = None
    side_by_side: bool = False
    waiting_until: float | None = None
    credentials: Mapping[Credential, Standing] = field(default_factory=dict)


# -- what one Stretch proves --------------------------------------------------------------------------------

_DAY: Final = 24 * 3600.0
_HOUR: Final = 3600.0
_SHORTEST_MONTH: Final = 28  # days


class _Looks(NamedTuple):
    """All that the tables below look at, so that like Stretches are looked at once."""

    reason: str
    accepted: bool
    blocked: bool
    tested: bool
    no: bool
    microsoft_no: bool
    yes: bool
    microsoft_yes: bool
    unexpired: bool
    unanswered: bool  # all of them
    refused: bool
    unsaid: bool  # Partner Center took a call of which neither it nor Microsoft said anything


class _Kind(StrEnum):
    """What a Stretch proves."""

    BAD = "bad"
    UNKNOWN = "unknown"
    GOOD = "good"
    EXEMPT = "exempt"
    NOTHING = "nothing"


# Bad evidence, and its reason; None: the token's own. Any row suffices. It needs no acceptance: nobody forges a
# token that lacks MFA, and a refusal is the server's own word.
_BAD: Final[tuple[tuple[Callable[[_Looks], bool], str | None], ...]] = (
    (lambda one: one.blocked, "blocked"),
    (lambda one: one.tested, "blocked-by-test"),
    (lambda one: one.no, "server-says-no"),
    (lambda one: one.microsoft_no, "microsoft-says-no"),
    # An expired token may be one that nothing uses any more; but not where Partner Center took it all the same.
    (lambda one: _says(one, Verdict.NON_COMPLIANT) and (one.unexpired or one.accepted), None),
)
# What else a Stretch proves; the first row that applies decides. (holds, kind, reason beside the token's own)
_ELSE: Final[tuple[tuple[Callable[[_Looks], bool], _Kind, str | None], ...]] = (
    # Microsoft's word, and the server's, decide where the token cannot be judged. Both are of an answered call.
    (lambda one: one.microsoft_yes and _is_said(one), _Kind.GOOD, "microsoft-says-yes"),
    (lambda one: one.yes and one.accepted and _is_said(one), _Kind.GOOD, "server-says-yes"),
    (lambda one: one.accepted and _says(one, Verdict.COMPLIANT), _Kind.GOOD, None),
    (lambda one: one.accepted and _says(one, Verdict.EXEMPT), _Kind.EXEMPT, None),
    (lambda one: one.accepted and one.yes, _Kind.UNKNOWN, "server-says-yes"),
    (lambda one: one.accepted, _Kind.UNKNOWN, None),
    # Nobody took it. Why not is said, so that advice never blames a token that was not looked at.
    (lambda one: one.unanswered, _Kind.NOTHING, "not-reached"),
    (lambda one: not one.unexpired, _Kind.NOTHING, "expired"),
    # Of a token that shows nothing, the unknown cause may be MFA.
    (lambda one: one.refused and _undecided(one), _Kind.UNKNOWN, "refused-unknown"),
    (lambda one: one.refused, _Kind.NOTHING, "refused-unknown"),
    (lambda one: True, _Kind.NOTHING, "never-accepted"),
)
_FINE: Final = frozenset({_Kind.GOOD, _Kind.EXEMPT})


def _says(one: _Looks, verdict: Verdict) -> bool:
    return verdict_of(one.reason) is verdict


def _undecided(one: _Looks) -> bool:
    return one.reason in DECIDED_BY_SERVER


def _is_said(one: _Looks) -> bool:
    """Whether the word on some of these calls is one on all of them."""
    return _undecided(one) and not (one.unsaid and one.reason in NOT_TOLD_APART)


@lru_cache(maxsize=4096)
def _prove(one: _Looks) -> tuple[_Kind, frozenset[str]]:
    """What such a Stretch proves, and the reasons to tell."""
    bad = {name or one.reason for holds, name in _BAD if holds(one)}
    if bad:
        own = {one.reason} if _says(one, Verdict.NON_COMPLIANT) or one.no or one.microsoft_no else set()
        return _Kind.BAD, frozenset(bad | own | ({"server-says-yes"} if one.yes else set()))
    kind, name = next((kind, name) for holds, kind, name in _ELSE if holds(one))
    return kind, frozenset({one.reason} if name is None else {one.reason, name})


def _look(one: Stretch) -> tuple[_Kind, frozenset[str]]:
    counts = one.counts
    return _prove(
        _Looks(
            one.reason,
            counts.accepted > 0,
            counts.blocked > 0,
            counts.blocked_by_test > 0,
            counts.server_non_compliant > 0,
            counts.microsoft_non_compliant > 0,
            counts.server_compliant > 0,
            counts.microsoft_compliant > 0,
            counts.calls > counts.expired,
            counts.unanswered >= counts.calls,
            counts.refused > 0,
            counts.accepted > counts.server_compliant + counts.microsoft_compliant,
        )
    )


def depends_on_times(evidence: Iterable[Stretch]) -> bool:
    """Whether the verdict on a row with this evidence needs its Stretches token by token and hour by hour.

    It does where bad evidence stands beside other, and where refusals of unknown cause stand beside acceptance.
    """
    kinds = set()
    refused = False
    for one in evidence:
        kinds.add(_look(one)[0])
        refused = refused or one.counts.refused > 0
    fine = bool(kinds - {_Kind.BAD, _Kind.NOTHING})
    return fine and (_Kind.BAD in kinds or refused)


# -- the rule -----------------------------------------------------------------------------------------------


class _Issued(NamedTuple):
    """When good tokens were issued: the first, the last, and how many."""

    first: float
    last: float
    tokens: int

    @property
    def lasts(self) -> float:
        """Seconds from the first to the last."""
        return self.last - self.first

    def plus(self, other: _Issued | None) -> _Issued:
        """Both together."""
        if other is None:
            return self
        return _Issued(min(self.first, other.first), max(self.last, other.last), self.tokens + other.tokens)


class _Good:
    """Good Stretches, as the rule asks for them."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._stretches = list(stretches)
        self._issued = sorted(
            {moment for one in self._stretches for moment in (one.issued, one.issued_last or one.issued)}
        )
        self._days: dict[float, dict[int, set[int]]] = {}

    def issued(self, after: float) -> _Issued | None:
        """When tokens were issued after that moment; None: none was."""
        at = bisect_right(self._issued, after)
        left = len(self._issued) - at
        return _Issued(self._issued[at], self._issued[-1], left) if left else None

    def days(self, after: float) -> Mapping[int, set[int]]:
        """Hour of the day to the days with good calls in it, by tokens issued after that moment."""
        known = self._days.get(after)
        if known is None:
            known = self._days[after] = {}
            for one in self._stretches:
                if one.issued > after:
                    known.setdefault(_hour(one.last), set()).add(_day(one.last))
        return known

    def is_between(self, first: float, last: float) -> bool:
        """Whether a good call came between these two moments."""
        return any(one.last > first and one.first < last for one in self._stretches)


@dataclass(frozen=True, slots=True)
class _Case:
    """What the lines of the rule look at: one credential's bad calls, and what came after them."""

    bad_days: Mapping[int, set[int]]  # hour of the day -> days with bad calls in it
    between: bool  # whether a good call of this credential came between the first and the last bad one
    own: _Issued | None  # good tokens of this credential after its last bad call
    issued: _Issued | None  # the same, of this credential or one in its place
    anybody: _Issued | None  # the same, of any credential of the row
    good_days: Sequence[Mapping[int, set[int]]]  # hour of the day -> days with good calls since
    watched: Callable[[float], float]  # days from the last bad call to a moment in which a recorder ran
    now: float
    starter_known: bool
    specific: bool

    def bad_near(self, hour: int) -> set[int]:
        """The days with bad calls in that hour of the day, or the one before or after it (clocks change)."""
        return {day for close in _near(hour) for day in self.bad_days.get(close, ())}

    def good_near(self, hour: int) -> set[int]:
        """The same for good calls since."""
        return {day for good in self.good_days for close in _near(hour) for day in good.get(close, ())}

    @property
    def all_bad_days(self) -> Sequence[int]:
        """The days with bad calls, in order."""
        return sorted({day for days in self.bad_days.values() for day in days})


def _near(hour: int) -> tuple[int, int, int]:
    return (hour - 1) % 24, hour, (hour + 1) % 24


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers of the rule, and the conditions of its first two lines.

    The laboratory of months (`tests/months`) weakens each, and then finds a job that fails and is said to be fixed.
    """

    # Seconds between the issue of two good tokens that show a lasting change. A refresh token may be kept for
    # months, so one good token does not show that the stored one was replaced.
    lasting: float = _DAY
    # The longest wait, in watched days. A job that runs more rarely than this cannot be told from one that is fixed.
    longest_wait: float = 40.0
    # On that many days, over at least that many days, bad calls make a rhythm. People keep none.
    fewest_bad_days: int = 3
    shortest_span: int = 7
    # How many days longer than the longest pause is waited: jobs are switched off for a week.
    margin: float = 10.0
    # On that many days good calls must have come in each hour of the day in which bad ones came: another run of
    # the same program has an hour of its own.
    days_in_hour: int = 2
    # Waiting ends with a good token: a program that fell silent was renamed, moved or switched off, and not fixed.
    alive: bool = True
    # Good tokens of another credential count only where the row never used two at the same time.
    one_at_a_time: bool = True
    by_schedule: tuple[Callable[[_Case, Rule], bool], ...] = ()
    by_rhythm: tuple[Callable[[_Case, Rule], bool], ...] = ()

    def wait_of(self, bad_days: Iterable[int]) -> float:
        """How many watched days without a bad call it takes, by the days (numbers) with bad calls.

        A job with a rhythm is waited for somewhat longer than its longest pause; without a rhythm, as long as a monthly
        job may take.
        """
        days = sorted(set(bad_days))
        if len(days) < self.fewest_bad_days or days[-1] - days[0] < self.shortest_span:
            return self.longest_wait
        return min(self.longest_wait, longest_pause(days) + self.margin)


def _is_lasting(issued: _Issued | None, rule: Rule) -> bool:
    return issued is not None and issued.lasts >= rule.lasting


def longest_pause(days: Sequence[int]) -> int:
    """The most days from one of these (in order) to the next; 0 where there are none."""
    return max((after - before for before, after in pairwise(days)), default=0)


def _is_started_by_something_known(case: _Case, rule: Rule) -> bool:
    """By hand and by schedule are two rows, so that nobody's test by hand stands for the next run."""
    return case.starter_known


def _none_was_between(case: _Case, rule: Rule) -> bool:
    """No good call came between the bad ones: there is one job, which does not change from run to run."""
    return not case.between


def _came_at_their_hours(case: _Case, rule: Rule) -> bool:
    """In each hour with bad calls good ones came since, on several days: what runs then was seen, and used MFA."""
    return all(len(case.good_near(hour)) >= rule.days_in_hour for hour in case.bad_days)


def _was_a_habit(case: _Case, rule: Rule) -> bool:
    """The bad calls went on for a week: who signs in without MFA in the office only does not keep that up.

    Where another credential took the place of the bad one, that was used on several days.
    """
    days = case.all_bad_days
    if days[-1] - days[0] < rule.shortest_span:
        return False
    return _is_lasting(case.own, rule) or len(days) >= rule.fewest_bad_days


def _was_due(case: _Case, rule: Rule) -> bool:
    """The longest pause between two bad calls is over: a daily job with another account answers for no weekly one."""
    return case.issued is not None and case.watched(case.issued.last) >= _days_until_due(case, rule)


def _days_until_due(case: _Case, rule: Rule) -> float:
    """The longest pause between two bad calls; that of a month may be longer the next time.

    Months differ by three days, first Mondays by a week.
    """
    pause = longest_pause(case.all_bad_days)
    return pause + (rule.margin if pause >= _SHORTEST_MONTH else 0.0)


def _is_one_job(case: _Case, rule: Rule) -> bool:
    """A rarer job hides behind a frequent one of the same name, so what may be several jobs has no rhythm."""
    return case.specific


RULE: Final = Rule(
    by_schedule=(
        _is_started_by_something_known,
        _none_was_between,
        _came_at_their_hours,
        _was_a_habit,
        _was_due,
    ),
    by_rhythm=(_is_one_job, _came_at_their_hours),
)


def _wait_for_schedule(case: _Case, rule: Rule) -> float | None:
    """a. The row knows what starts the program: its next runs used MFA, and no run between the bad ones did."""
    if _is_lasting(case.issued, rule) and all(holds(case, rule) for holds in rule.by_schedule):
        return 0.0
    # What is missing may be time.
    if case.issued is None or not case.starter_known or case.between or not _was_a_habit(case, rule):
        return None
    return max(1.0, _days_until_due(case, rule) - case.watched(case.now))


def _wait_for_rhythm(case: _Case, rule: Rule) -> float | None:
    """b. In watched time the bad calls have not come back, when by their rhythm at each hour of the day they would."""
    if case.issued is None:
        return None
    wait = max(rule.wait_of(case.bad_near(hour)) for hour in case.bad_days)
    if _is_lasting(case.issued, rule) and all(holds(case, rule) for holds in rule.by_rhythm):
        return _still(case, rule, wait, case.issued.last)
    return max(1.0, wait - case.watched(case.now)) if case.specific else None


def _wait_for_silence(case: _Case, rule: Rule) -> float | None:
    """c. The bad calls are gone for as long as a monthly job may take, while the row lives on."""
    issued = case.anybody
    if issued is None or issued.lasts < rule.lasting:
        return None
    return _still(case, rule, rule.longest_wait, issued.last)


def _still(case: _Case, rule: Rule, wait: float, last_good: float) -> float:
    """How many watched days of a wait are left; at least until tomorrow where only the next good token is missing."""
    if case.watched(last_good if rule.alive else case.now) >= wait:
        return 0.0
    return max(1.0, wait - case.watched(case.now))


# Each line says how many watched days there are still to wait (0: fixed), or None where it does not apply. Any
# line suffices. Good tokens of another credential count (succession) where `weigh` lets them into the case.
_LINES: Final[tuple[Callable[[_Case, Rule], float | None], ...]] = (
    _wait_for_schedule,
    _wait_for_rhythm,
    _wait_for_silence,
)


def _day(moment: float) -> int:
    return int(moment // _DAY)


def _hour(moment: float) -> int:
    return int(moment // _HOUR) % 24


def watched_days(watched: Iterable[Watched], since: float, until: float) -> float:
    """How many days of these times lie between two moments; the times do not overlap."""
    return sum(max(0.0, min(one.end, until) - max(one.start, since)) for one in watched) / _DAY


# -- weighing -----------------------------------------------------------------------------------------------


class _Proof(NamedTuple):
    """A Stretch, what it proves, and why."""

    stretch: Stretch
    kind: _Kind
    reasons: frozenset[str]


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
    nothing mends. A row without evidence is undetermined, without reasons.
    """
    proofs = {
        credential: [_Proof(one, *_look(one)) for one in stretches]
        for credential, stretches in row.evidence.items()
        if stretches
    }
    fine = [one.stretch for owned in proofs.values() for one in owned if one.kind in _FINE]
    anybody = _Good(fine)
    row_last_bad = max(
        (one.stretch.last for owned in proofs.values() for one in owned if one.kind is _Kind.BAD),
        default=None,
    )
    # Succession: the fix changed app id or account. In a row that always used one credential at a time, the good
    # calls after its last bad one are those of the credential that took the place of all before it.
    succeeds = row_last_bad is not None and (not rule.one_at_a_time or _is_one_at_a_time(row))
    after = _Good(one for one in fine if succeeds and one.first > (row_last_bad or 0.0))
    found = {}
    for credential, owned in proofs.items():
        bad = [one for one in owned if one.kind is _Kind.BAD]
        if not bad:
            found[credential] = _stand_without_bad(row, owned, since)
            continue
        first_bad = min(one.stretch.first for one in bad)
        last_bad = max(one.stretch.last for one in bad)
        good = _Good(one.stretch for one in owned if one.kind in _FINE)
        bad_days: dict[int, set[int]] = {}
        for one in bad:
            for moment in (one.stretch.first, one.stretch.last):
                bad_days.setdefault(_hour(moment), set()).add(_day(moment))
        own, taken_over = good.issued(last_bad), after.issued(last_bad)
        issued = own if taken_over is None else taken_over.plus(own)
        if last_bad == row_last_bad and taken_over is not None:
            issued = taken_over  # what came after the row's last bad call is in it already
        case = _Case(
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
    owned: Sequence[_Proof],
    case: _Case,
    rule: Rule,
    now: float,
    *,
    since: float | None,
    strict: bool,
) -> Standing:
    bad = [one for one in owned if one.kind is _Kind.BAD]
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
    waits = [wait for line in _LINES if (wait := line(case, rule)) is not None]
    if strict or not (case.issued or waits):
        return Standing(Verdict.NON_COMPLIANT, order(reasons), why, case.between)
    if row.captured:
        why = why._replace(kind="captured")
        return Standing(Verdict.UNDETERMINED, order({"fixed-in-capture"} | reasons), why, case.between)
    # One good token: the second is a day away, and by then the lines say how long.
    wait = min(waits, default=max(1.0, rule.longest_wait - case.watched(now)))
    until = now + wait * _DAY
    if wait <= 0.0:
        rest = [one for one in owned if one.kind is not _Kind.BAD and one.stretch.last > why.last_bad]
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


def _stand_without_bad(row: RowFacts, owned: Sequence[_Proof], since: float | None) -> Standing:
    """The standing of a credential of which nothing is bad, or nothing any more."""
    listed = [one for one in owned if since is None or one.stretch.last >= since] or list(owned)
    if refused := _refused_last(listed):
        return Standing(Verdict.UNDETERMINED, order({"refused-unknown", *refused}))
    if row.specific:
        # One program, asked once with --validate, answers for its other tokens of that kind.
        decided = {
            one.stretch.reason
            for one in listed
            if one.kind is _Kind.GOOD and one.stretch.reason in DECIDED_BY_SERVER - NOT_TOLD_APART
        }
        listed = [one for one in listed if one.kind is not _Kind.UNKNOWN or one.stretch.reason not in decided]
    for kind, verdict in _VERDICTS:
        reasons = {reason for one in listed if one.kind is kind for reason in one.reasons}
        if reasons:
            return Standing(verdict, order(reasons))
    return _GONE


_VERDICTS: Final = (
    (_Kind.UNKNOWN, Verdict.UNDETERMINED),
    (_Kind.GOOD, Verdict.COMPLIANT),
    (_Kind.EXEMPT, Verdict.EXEMPT),
    (_Kind.NOTHING, Verdict.UNDETERMINED),
)
# A credential that was replaced: those that took its place decide.
_GONE: Final = Standing(Verdict.COMPLIANT, ())


def _refused_last(listed: Sequence[_Proof]) -> set[str]:
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

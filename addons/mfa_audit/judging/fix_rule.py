"""When a fix is confirmed: the numbers and conditions of the rule, and its lines, of which any suffices.

The property that outranks all others: a job that will call without MFA in its next run is never compliant today merely
because somebody else used its identity meanwhile. `docs/verdicts.md`, "How evidence adds up", tells the rule to users;
`tests/months` measures it, and weakens each line in turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from mfa_audit.judging.evidence import Stretch, Watched

DAY: Final = 24 * 3600.0
HOUR: Final = 3600.0
_SHORTEST_MONTH: Final = 28  # days


class Issued(NamedTuple):
    """When good tokens were issued: the first, the last, and how many."""

    first: float
    last: float
    tokens: int

    @property
    def lasts(self) -> float:
        """Seconds from the first to the last."""
        return self.last - self.first

    def plus(self, other: Issued | None) -> Issued:
        """Both together."""
        if other is None:
            return self
        return Issued(min(self.first, other.first), max(self.last, other.last), self.tokens + other.tokens)


class Good:
    """Good Stretches, as the rule asks for them."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._stretches = list(stretches)
        self._issued = sorted(
            {moment for one in self._stretches for moment in (one.issued, one.issued_last or one.issued)}
        )
        self._days: dict[float, dict[int, set[int]]] = {}

    def issued(self, after: float) -> Issued | None:
        """When tokens were issued after that moment; None: none was."""
        at = bisect_right(self._issued, after)
        left = len(self._issued) - at
        return Issued(self._issued[at], self._issued[-1], left) if left else None

    def days(self, after: float) -> Mapping[int, set[int]]:
        """Hour of the day to the days with good calls in it, by tokens issued after that moment."""
        known = self._days.get(after)
        if known is None:
            known = self._days[after] = {}
            for one in self._stretches:
                if one.issued > after:
                    known.setdefault(hour_of(one.last), set()).add(day_of(one.last))
        return known

    def is_between(self, first: float, last: float) -> bool:
        """Whether a good call came between these two moments."""
        return any(one.last > first and one.first < last for one in self._stretches)


@dataclass(frozen=True, slots=True)
class Case:
    """What the lines of the rule look at: one credential's bad calls, and what came after them."""

    bad_days: Mapping[int, set[int]]  # hour of the day -> days with bad calls in it
    between: bool  # whether a good call of this credential came between the first and the last bad one
    own: Issued | None  # good tokens of this credential after its last bad call
    issued: Issued | None  # the same, of this credential or one in its place
    anybody: Issued | None  # the same, of any credential of the row
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
    lasting: float = DAY
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
    by_schedule: tuple[Callable[[Case, Rule], bool], ...] = ()
    by_rhythm: tuple[Callable[[Case, Rule], bool], ...] = ()

    def wait_of(self, bad_days: Iterable[int]) -> float:
        """How many watched days without a bad call it takes, by the days (numbers) with bad calls.

        A job with a rhythm is waited for somewhat longer than its longest pause; without a rhythm, as long as a monthly
        job may take.
        """
        days = sorted(set(bad_days))
        if len(days) < self.fewest_bad_days or days[-1] - days[0] < self.shortest_span:
            return self.longest_wait
        return min(self.longest_wait, longest_pause(days) + self.margin)


def is_lasting(issued: Issued | None, rule: Rule) -> bool:
    """Whether good tokens were issued long enough apart to show a lasting change."""
    return issued is not None and issued.lasts >= rule.lasting


def longest_pause(days: Sequence[int]) -> int:
    """The most days from one of these (in order) to the next; 0 where there are none."""
    return max((after - before for before, after in pairwise(days)), default=0)


def _is_started_by_something_known(case: Case, rule: Rule) -> bool:
    """By hand and by schedule are two rows, so that nobody's test by hand stands for the next run."""
    return case.starter_known


def _none_was_between(case: Case, rule: Rule) -> bool:
    """No good call came between the bad ones: there is one job, which does not change from run to run."""
    return not case.between


def _came_at_their_hours(case: Case, rule: Rule) -> bool:
    """In each hour with bad calls good ones came since, on several days: what runs then was seen, and used MFA."""
    return all(len(case.good_near(hour)) >= rule.days_in_hour for hour in case.bad_days)


def _was_a_habit(case: Case, rule: Rule) -> bool:
    """The bad calls went on for a week: who signs in without MFA in the office only does not keep that up.

    Where another credential took the place of the bad one, that was used on several days.
    """
    days = case.all_bad_days
    if days[-1] - days[0] < rule.shortest_span:
        return False
    return is_lasting(case.own, rule) or len(days) >= rule.fewest_bad_days


def _was_due(case: Case, rule: Rule) -> bool:
    """The longest pause between two bad calls is over: a daily job with another account answers for no weekly one."""
    return case.issued is not None and case.watched(case.issued.last) >= _days_until_due(case, rule)


def _days_until_due(case: Case, rule: Rule) -> float:
    """The longest pause between two bad calls; that of a month may be longer the next time.

    Months differ by three days, first Mondays by a week.
    """
    pause = longest_pause(case.all_bad_days)
    return pause + (rule.margin if pause >= _SHORTEST_MONTH else 0.0)


def _is_one_job(case: Case, rule: Rule) -> bool:
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


def _wait_for_schedule(case: Case, rule: Rule) -> float | None:
    """a. The row knows what starts the program: its next runs used MFA, and no run between the bad ones did."""
    if is_lasting(case.issued, rule) and all(holds(case, rule) for holds in rule.by_schedule):
        return 0.0
    # What is missing may be time.
    if case.issued is None or not case.starter_known or case.between or not _was_a_habit(case, rule):
        return None
    return max(1.0, _days_until_due(case, rule) - case.watched(case.now))


def _wait_for_rhythm(case: Case, rule: Rule) -> float | None:
    """b. In watched time the bad calls have not come back, when by their rhythm at each hour of the day they would."""
    if case.issued is None:
        return None
    wait = max(rule.wait_of(case.bad_near(hour)) for hour in case.bad_days)
    if is_lasting(case.issued, rule) and all(holds(case, rule) for holds in rule.by_rhythm):
        return _still(case, rule, wait, case.issued.last)
    return max(1.0, wait - case.watched(case.now)) if case.specific else None


def _wait_for_silence(case: Case, rule: Rule) -> float | None:
    """c. The bad calls are gone for as long as a monthly job may take, while the row lives on."""
    issued = case.anybody
    if issued is None or issued.lasts < rule.lasting:
        return None
    return _still(case, rule, rule.longest_wait, issued.last)


def _still(case: Case, rule: Rule, wait: float, last_good: float) -> float:
    """How many watched days of a wait are left; at least until tomorrow where only the next good token is missing."""
    if case.watched(last_good if rule.alive else case.now) >= wait:
        return 0.0
    return max(1.0, wait - case.watched(case.now))


# Each line says how many watched days there are still to wait (0: fixed), or None where it does not apply. Any
# line suffices. Good tokens of another credential count (succession) where `weigh` lets them into the case.
LINES: Final[tuple[Callable[[Case, Rule], float | None], ...]] = (
    _wait_for_schedule,
    _wait_for_rhythm,
    _wait_for_silence,
)


def day_of(moment: float) -> int:
    """The number of the day (UTC) since 1970."""
    return int(moment // DAY)


def hour_of(moment: float) -> int:
    """The hour of the day (UTC), 0 to 23."""
    return int(moment // HOUR) % 24


def watched_days(watched: Iterable[Watched], since: float, until: float) -> float:
    """How many days of these times lie between two moments; the times do not overlap."""
    return sum(max(0.0, min(one.end, until) - max(one.start, since)) for one in watched) / DAY

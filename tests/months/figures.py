"""Measures rules against the oracle, day by day, and says the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from months.calendars import DAY, HOUR
from months.oracle import wrong_yes
from months.partners import Call
from months.rows import Contender, Row
from months.scenes import World

REPORT_AT: Final = 7 * HOUR
# A report lists what called in its period.
LISTED: Final = 35 * DAY
# A fix counts where the reports went on for that long after it.
FOLLOWED: Final = 45 * DAY
YES: Final = frozenset({"compliant", "exempt"})


class WrongYes(NamedTuple):
    """A YES that was wrong: enough to play it again."""

    seed: str
    row: str
    day: int
    kind: str


class Waited(NamedTuple):
    """A fix: its kind, how often the job runs, the sort of row; days to YES (None: not within the recording)."""

    kind: str
    often: str
    sort: str
    days: int | None


@dataclass(slots=True)
class Figures:
    """What one rule did over many worlds. Row-days: one row in one daily report."""

    months: float = 0.0
    bad_months: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    yes_after_bad: int = 0
    false_yes: int = 0
    wrong: list[WrongYes] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Takes in the figures of further worlds."""
        self.months += other.months
        self.bad_months += other.bad_months
        self.verdicts += other.verdicts
        self.yes_after_bad += other.yes_after_bad
        self.false_yes += other.false_yes
        self.wrong += other.wrong
        self.waited += other.waited


def rows_of(world: World, contender: Contender) -> list[Row]:
    """The rows that a rule makes of all that was recorded."""
    calls: dict[Hashable, list[Call]] = {}
    for call in world.recorded:
        calls.setdefault(contender.row(call), []).append(call)
    return [Row(found, world.recorders[found[0].place.machine]) for found in calls.values()]


def measure(world: World, seed: str, contender: Contender) -> Figures:
    """One rule's daily reports over one world."""
    figures = Figures(months=world.calendar.days / 30)
    bad_months: set[int] = set()
    for row in rows_of(world, contender):
        days_of_yes = _follow(world, seed, contender, row, figures, bad_months)
        figures.waited += _waits(world, row, days_of_yes)
    figures.bad_months = len(bad_months)
    return figures


def _follow(
    world: World,
    seed: str,
    contender: Contender,
    row: Row,
    figures: Figures,
    bad_months: set[int],
) -> list[int]:
    """The days on which a row was YES."""
    found = []
    told: set[str] = set()
    for day in range(1, world.calendar.days + 1):
        now = day * DAY + REPORT_AT
        if row.last(now) < now - LISTED:
            continue
        after_bad = row.has_bad(now)
        if not after_bad and day % 7:
            continue  # nothing can be false: a day a week tells the shares
        verdict = contender.judge(row, now)
        figures.verdicts[verdict] += 1 if after_bad else 7
        if verdict not in YES:
            continue
        found.append(day)
        if after_bad:
            kind = wrong_yes(row.between(float("-inf"), now), world.partner.jobs, now)
            figures.yes_after_bad += 1
            if kind == "false":
                figures.false_yes += 1
                bad_months.add(day // 30)
            if kind is not None and kind not in told:
                told.add(kind)
                figures.wrong.append(WrongYes(seed, repr(contender.row(row.calls[0])), day, kind))
    return found


def _waits(world: World, row: Row, days_of_yes: Sequence[int]) -> Iterable[Waited]:
    """For each real fix of a job whose bad calls the row shows, and beside which nothing in it fails: days to YES."""
    jobs = world.partner.jobs
    end = world.calendar.days * DAY
    bad: dict[int, float] = {}
    for call in row.calls:
        if call.is_bad:
            bad[call.job] = call.at
    for number in bad:
        for fix in jobs[number].fixes:
            if fix.at > end - FOLLOWED or not fix.at - LISTED < _last_bad_before(row, number, fix.at):
                continue
            runs = [missing for at, missing in jobs[number].runs if fix.at <= at < end]
            others = (run for other in bad if other != number for run in jobs[other].runs)
            if any(runs) or not runs or any(missing and fix.at - LISTED < at < end for at, missing in others):
                continue  # it broke again, never ran again, or is not the only one that failed
            day = next((day for day in days_of_yes if day * DAY + REPORT_AT >= fix.at), None)
            waited = None if day is None else round((day * DAY + REPORT_AT - fix.at) / DAY)
            yield Waited(fix.kind, jobs[number].often, row.sort, waited)


def _last_bad_before(row: Row, job: int, at: float) -> float:
    return max(
        (call.at for call in row.calls if call.job == job and call.is_bad and call.at < at), default=-LISTED
    )

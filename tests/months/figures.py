"""Measures rules against the oracle, day by day, and says the figures."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from months.calendars import DAY, HOUR
from months.older_rules import YES, is_specific
from months.oracle import wrong_yes
from months.partners import Call, Place
from months.recorders import Recorder
from months.scenes import World

REPORT_AT: Final = 7 * HOUR
# Calls that a report looks at: as many days as the present rule weighs, and some for the time when the recorder was off.
LOOKS_BACK: Final = 80 * DAY


class Contender(NamedTuple):
    """A rule to be measured: how calls make rows, and what it says of a row."""

    name: str
    row: Callable[[Call], Hashable]
    judge: Callable[[Sequence[Call], Recorder, float], str]


class WrongYes(NamedTuple):
    """A YES that was wrong: enough to play it again."""

    seed: str
    row: str
    day: int
    kind: str


class Waited(NamedTuple):
    """A fix: of which kind, of a job that runs how often, in what sort of row; days to YES (None: never)."""

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


def sort_of(place: Place) -> str:
    """What is known of a row: what starts its program, the program only, or not even that."""
    if not is_specific(place.program):
        return "may be several jobs"
    return "starter known" if place.started_by not in (None, "session") else "program known"


def measure(world: World, seed: str, contender: Contender) -> Figures:
    """One rule's daily reports over one world."""
    figures = Figures(months=world.calendar.days / 30)
    rows: dict[Hashable, list[Call]] = {}
    for call in world.recorded:
        rows.setdefault(contender.row(call), []).append(call)
    days_of_yes: dict[Hashable, list[int]] = {}
    for row, calls in rows.items():
        days_of_yes[row] = _follow(world, seed, contender, row, calls, figures)
    figures.bad_months = len({one.day // 30 for one in figures.wrong if one.kind == "false"})
    figures.waited = list(_waits(world, rows, days_of_yes))
    return figures


def _follow(
    world: World, seed: str, contender: Contender, row: Hashable, calls: Sequence[Call], figures: Figures
) -> list[int]:
    """The days on which a row was YES."""
    times = [call.at for call in calls]
    bad = [call.at for call in calls if call.is_bad]
    recorder = world.recorders[calls[0].place.machine]
    found = []
    told: set[str] = set()
    for day in range(1, world.calendar.days + 1):
        now = day * DAY + REPORT_AT
        end = bisect_right(times, now)
        begin = bisect_left(times, now - LOOKS_BACK)
        if begin == end or times[end - 1] < now - 35 * DAY:
            continue  # not in the report's list
        after_bad = bisect_right(bad, now) > bisect_left(bad, now - LOOKS_BACK)
        if not after_bad and day % 7:
            continue  # nothing can be false: a day a week tells the shares
        seen = calls[begin:end]
        verdict = contender.judge(seen, recorder, now)
        word = verdict.partition(":")[0]
        figures.verdicts[verdict] += 1 if after_bad else 7
        if word not in YES:
            continue
        found.append(day)
        if after_bad:
            figures.yes_after_bad += 1
            kind = wrong_yes(seen, world.partner.jobs, now)
            figures.false_yes += kind == "false"
            if kind is not None and kind not in told:
                told.add(kind)
                figures.wrong.append(WrongYes(seed, repr(row), day, kind))
    return found


def _waits(
    world: World, rows: dict[Hashable, list[Call]], days_of_yes: dict[Hashable, list[int]]
) -> Iterable[Waited]:
    """For each real fix of a job whose bad calls were seen, and beside which nothing in its row fails: days to YES."""
    for job in world.partner.jobs:
        for fix in job.fixes:
            after = [missing for at, missing in job.runs if at >= fix.at and at < (world.calendar.days + 1) * DAY]
            if any(after) or not after:
                continue  # it broke again, or never ran again
            for row, calls in rows.items():
                mine = [call for call in calls if call.job == job.number and call.is_bad and call.source is None]
                if not mine or mine[-1].at < fix.at - 35 * DAY:
                    continue
                others = {call.job for call in calls if call.is_bad} - {job.number}
                if any(
                    missing for other in others for at, missing in world.partner.jobs[other].runs if at > fix.at - 35 * DAY
                ):
                    continue
                fixed = fix.at / DAY
                days = [day for day in days_of_yes[row] if day + REPORT_AT / DAY > fixed]
                yield Waited(
                    fix.kind,
                    job.often,
                    sort_of(calls[0].place),
                    max(0, round(days[0] + REPORT_AT / DAY - fixed)) if days else None,
                )

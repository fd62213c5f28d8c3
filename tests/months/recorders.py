"""What recorders see of a partner's calls: they stop, crash and lose rows, and captures are imported beside them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from months.calendars import DAY, HOUR, Calendar
from months.partners import Call


@dataclass(slots=True)
class Recorder:
    """A machine's recorder: when it was `on` (from, to), in order; `lost` are times in which rows were lost."""

    on: list[tuple[float, float]]
    lost: list[tuple[float, float]] = field(default_factory=list)
    _watched: list[tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        self._watched = self.on
        for start, end in self.lost:
            self._watched = _without(self._watched, start, end)

    def saw(self, at: float) -> bool:
        """Whether a call at that time was recorded."""
        return _within(self.on, at) and not _within(self.lost, at)

    @property
    def watched(self) -> Sequence[tuple[float, float]]:
        """The times in which it ran and kept up."""
        return self._watched

    def days(self, since: float, until: float) -> float:
        """How many days of the time between two moments it watched."""
        return sum(max(0.0, min(end, until) - max(start, since)) for start, end in self._watched) / DAY

    def start_of_days(self, days: float, until: float) -> float:
        """From when on that many days were watched until a moment; before all time where fewer were."""
        left = days * DAY
        for start, end in reversed(self._watched):
            length = max(0.0, min(end, until) - start)
            if length >= left:
                return min(end, until) - left
            left -= length
        return float("-inf")


def _within(spans: Sequence[tuple[float, float]], at: float) -> bool:
    place = bisect_right(spans, (at, float("inf")))
    return place > 0 and spans[place - 1][0] <= at < spans[place - 1][1]


def make_recorder(calendar: Calendar, chance: Random, *, only_working_hours: bool = False) -> Recorder:
    """A recorder that mostly runs: a laptop's in working hours only, and any may stop or crash for hours or days."""
    if only_working_hours:
        on = [
            (calendar.at(day, 7), calendar.at(day, 19.5))
            for day in range(calendar.days)
            if calendar.is_working(day)
        ]
    else:
        first = chance.choice((0, 0, 0, chance.randrange(20)))
        on = [(first * DAY + chance.uniform(0, DAY), calendar.days * DAY)]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        start = chance.uniform(0, calendar.days * DAY)
        on = _without(on, start, start + chance.choice((0.2, 3, 14, 48, 96, 240)) * HOUR)
    lost = []
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        start = chance.uniform(0, calendar.days * DAY)
        lost.append((start, start + chance.choice((10.0, 600.0, 7200.0))))
    return Recorder(on, sorted(lost))


def pause_daily(recorder: Recorder, calendar: Calendar, first: int, hour: float) -> Recorder:
    """The same recorder, off each day from `first` on for an hour before and after that hour (UTC), as for a backup."""
    on = recorder.on
    for day in range(first, calendar.days):
        on = _without(on, day * DAY + (hour - 1) * HOUR, day * DAY + (hour + 1) * HOUR)
    return Recorder(on, recorder.lost)


def _without(spans: list[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    cut = [part for first, last in spans for part in ((first, min(last, start)), (max(first, end), last))]
    return sorted({(first, last) for first, last in cut if first < last})


def record(calls: Sequence[Call], recorders: dict[str, Recorder], chance: Random) -> list[Call]:
    """The calls that are in the databases: seen live, with one in 5,000 lost unnoticed; and captured ones.

    Captures are of somebody's test by hand: an hour of one machine's calls, seen by no recorder's program lookup.
    """
    seen = [call for call in calls if recorders[call.place.machine].saw(call.at) and chance.random() > 0.0002]
    recorded = [call for call in calls if call.at >= 0]
    for number in range(chance.choice((0, 0, 1, 2)) if recorded else 0):
        middle = chance.choice(recorded)
        seen += [
            call._replace(
                source=f"capture-{number}", place=call.place._replace(program=None, started_by=None)
            )
            for call in recorded
            if call.place.machine == middle.place.machine and abs(call.at - middle.at) < HOUR
        ]
    return sorted(seen, key=lambda call: call.at)

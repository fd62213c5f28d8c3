"""When jobs run and when people work: weekends, holidays, vacations, daylight saving.

Times are seconds since the recording's first day began, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
# Worlds begin before the recording and go on after it: tokens are older than it, and the oracle looks ahead.
BEFORE: Final = 45
AFTER: Final = 75


@dataclass(frozen=True, slots=True)
class Calendar:
    """A partner's days. `monday` is the number of the first Monday from day 0 on; months begin `month` days after it.

    `zone`: hours that local time is ahead of UTC. `summer` is the day on which clocks go one hour forward (or back,
    where `shift` is negative).
    """

    days: int
    monday: int
    month: int
    holidays: frozenset[int]
    summer: int
    shift: int
    zone: float

    def weekday(self, day: int) -> int:
        """0 for Monday to 6 for Sunday."""
        return (day - self.monday) % 7

    def is_working(self, day: int) -> bool:
        """Neither a weekend nor a holiday."""
        return self.weekday(day) < 5 and day not in self.holidays

    def at(self, day: int, hour: float) -> float:
        """The moment of a local hour, in seconds."""
        return day * DAY + (hour - self.zone - (self.shift if day >= self.summer else 0)) * HOUR

    def all_days(self) -> range:
        """All simulated days, also those before and after the recording."""
        return range(-BEFORE, self.days + AFTER)


def make_calendar(chance: Random) -> Calendar:
    """60 to 120 recorded days beginning on any day of a week and a month; some with a company shutdown."""
    days = chance.choice((60, 75, 90, 105, 120))
    span = range(-BEFORE, days + AFTER)
    holidays = {chance.choice(span) for _ in range(chance.randint(1, 6))}
    if chance.random() < 0.2:
        first = chance.choice(span)
        holidays |= set(range(first, first + chance.randint(5, 16)))
    return Calendar(
        days,
        chance.randrange(7),
        chance.randrange(30),
        frozenset(holidays),
        chance.choice(span),
        chance.choice((1, -1)),
        chance.choice((-8, -5, 0, 0, 1, 1, 2, 5.5, 10)),
    )


def take_vacations(calendar: Calendar, chance: Random) -> frozenset[int]:
    """Days on which one person is away: mostly none, else one to three weeks, seldom a day of illness or two more."""
    away: set[int] = set()
    for _ in range(chance.choice((0, 1, 1, 2))):
        first = chance.choice(calendar.all_days())
        away |= set(range(first, first + chance.choice((2, 5, 7, 9, 9, 16, 16, 23))))
    return frozenset(away)


def on_schedule(calendar: Calendar, chance: Random, often: str) -> list[float]:
    """The starts of a job that a scheduler runs: `often` names one of the schedules below."""
    hour = chance.choice((0.5, 1, 2, 2.25, 3, 4.5, 6, 7, 12, 18, 22, 23.5))
    return [calendar.at(day, at) for day, at in _schedule(calendar, chance, often, hour)]


def _schedule(calendar: Calendar, chance: Random, often: str, hour: float) -> Iterator[tuple[int, float]]:
    weekday, day_of_month = chance.randrange(7), chance.randrange(28)
    fortnight = chance.randrange(14)
    for day in calendar.all_days():
        in_month = (day - calendar.month) % 30
        match often:
            case "every few hours":
                yield from ((day, (hour + 6 * part) % 24) for part in range(4))
            case "daily":
                yield day, hour
            case "on working days":
                if calendar.weekday(day) < 5:  # schedulers know no holidays
                    yield day, hour
            case "twice a week":
                if calendar.weekday(day) in (weekday, (weekday + 3) % 7):
                    yield day, hour
            case "weekly":
                if calendar.weekday(day) == weekday:
                    yield day, hour
            case "every two weeks":
                if (day - calendar.monday) % 14 == fortnight:
                    yield day, hour
            case "monthly":
                if in_month == day_of_month:
                    yield day, hour
            case "first weekday of the month":
                if in_month < 7 and calendar.weekday(day) == weekday:
                    yield day, hour
            case "quarterly":
                if (day - calendar.month) % 91 == day_of_month:
                    yield day, hour
            case _:
                raise ValueError(often)


def by_hand(calendar: Calendar, chance: Random, share: float, away: frozenset[int]) -> list[float]:
    """When a person uses a tool: on this share of the working days, at hours that vary."""
    usual = chance.uniform(8, 16)
    return [
        calendar.at(day, min(19.0, max(7.0, chance.gauss(usual, 2.5))))
        for day in calendar.all_days()
        if calendar.is_working(day) and day not in away and chance.random() < share
    ]

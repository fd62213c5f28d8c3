"""The usual traps, one world each: a job goes on failing, and something beside it looks like a fix.

Where nothing else is said, worlds are recorded for 90 days, in UTC, by a recorder that always runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, Final

from months.calendars import DAY, HOUR, Calendar
from months.partners import OFFICE, WITH, WITHOUT, Blocking, Job, Partner, Phase, Place
from months.recorders import Recorder, pause_daily
from months.scenes import World

DAYS: Final = 90
NEVER: Final = float("inf")
CRON: Final = Place("server", "svc", "sync.ps1", "cron")
TERMINAL: Final = Place("server", "svc", "sync.ps1", "terminal")
PROGRAM: Final = Place("server", "recorder", "sync.ps1", None)
SHELL: Final = Place("server", "recorder", "powershell.exe", None)


def plain_world(*machines: str) -> World:
    """A partner without jobs, whose recorders always run."""
    calendar = Calendar(DAYS, 0, 0, frozenset(), 10 * DAYS, 1, 0.0)
    world = World(Partner(calendar, Blocking(NEVER, NEVER, 0.0, told=True)), Random(1))
    for machine in machines or ("server",):
        world.recorders[machine] = Recorder([(0.0, DAYS * DAY)])
    return world


def add(
    world: World, place: Place, signs_in: str, days: Iterable[float], hour: float = 3.0, **parts: Any
) -> Job:
    """A job that runs at that hour on these days."""
    phase = Phase(
        float("-inf"), place, parts.pop("app", "own-app"), parts.pop("user", "svc-pc"), "sync/1", signs_in,
        parts.pop("readable", True),
    )  # fmt: skip
    return world.partner.add("job", "daily", [day * DAY + hour * HOUR for day in days], phase, **parts)


def play(world: World) -> World:
    """The same world, with what its recorders saw."""
    calls = world.partner.play(Random(1))
    world.recorded = [call for call in calls if world.recorders[call.place.machine].saw(call.at)]
    return world


def daily(first: int = 0, end: int = 2 * DAYS) -> range:
    """Each day from `first` on."""
    return range(first, end)


def weekly(first: int = 0) -> range:
    """Each seventh day."""
    return range(first, 2 * DAYS, 7)


def a_token_in_the_cache() -> World:
    """Somebody's MFA token lies in the job's cache for a day; the stored refresh token is the old one."""
    world = plain_world()
    add(world, CRON, WITHOUT, [day for day in daily() if day not in (20, 21)])
    add(world, CRON, WITH, (20, 21), hour=3.5, lifetime=26 * HOUR, caches=True)
    return world


def in_the_office_without() -> World:
    """A scheduled script of somebody's laptop signs in without MFA on Mondays, in the office."""
    world = plain_world()
    add(world, CRON, OFFICE, daily(), hour=9, office=frozenset(weekly()))
    return world


def seldom_in_the_office() -> World:
    """The same, and once they stay away from the office for longer than ever."""
    world = plain_world()
    add(world, CRON, OFFICE, daily(), hour=9, office=frozenset((0, 7, 14, 24, 31, 38)))
    return world


def monthly_tried_by_hand() -> World:
    """A monthly script fails, and is run by hand with MFA in the weeks after."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, range(5, 2 * DAYS, 30))
    add(world, PROGRAM, WITH, daily(6, 32))
    return world


def on_leave() -> World:
    """Somebody without MFA is away for two weeks; a colleague uses the same script and account with MFA."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, (0, 1, 2, 20, 21, 22, 40), hour=10)
    add(world, PROGRAM, WITH, daily(3, 20), hour=10)
    return world


def switched_off_for_a_week() -> World:
    """A weekly job without MFA is left out once, while the script is run by hand."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, (0, 7, 14, 21, 35, 42))
    add(world, PROGRAM, WITH, daily(22, 35))
    return world


def off_when_the_job_runs() -> World:
    """From some day on the recorder is off whenever the job runs; the same script runs with MFA at another hour."""
    world = plain_world()
    world.recorders["server"] = pause_daily(world.recorders["server"], world.calendar, 20, 3.0)
    add(world, CRON, WITHOUT, daily())
    add(world, CRON, WITH, daily(20), hour=14)
    return world


def off_when_the_program_runs() -> World:
    """The same, where it is not known what starts the script."""
    world = plain_world()
    world.recorders["server"] = pause_daily(world.recorders["server"], world.calendar, 20, 3.0)
    add(world, PROGRAM, WITHOUT, daily())
    add(world, PROGRAM, WITH, daily(20), hour=14)
    return world


def crashed_for_two_weeks() -> World:
    """The recorder crashes for two weeks in which a weekly job goes on failing."""
    world = plain_world()
    world.recorders["server"] = Recorder([(0.0, 20 * DAY), (33.9 * DAY, DAYS * DAY)])
    add(world, PROGRAM, WITHOUT, weekly())
    add(world, PROGRAM, WITH, (15, 16, 34))
    return world


def renamed() -> World:
    """A script is renamed, and its old name run by hand three times."""
    world = plain_world()
    job = add(world, PROGRAM, WITHOUT, daily())
    job.change(20 * DAY, place=PROGRAM._replace(program="sync-new.ps1"))
    add(world, PROGRAM, WITH, (20, 21, 22))
    return world


def monthly_behind_daily() -> World:
    """Two inline jobs: the daily one is fixed, the monthly one is not."""
    world = plain_world()
    add(world, SHELL, WITHOUT, range(25, 2 * DAYS, 30))
    add(world, SHELL, WITHOUT, daily()).fix(30 * DAY, "consent")
    return world


def switched_off_at_a_terminal() -> World:
    """Two people at a terminal: the one without MFA leaves out a week, the other does not."""
    world = plain_world()
    add(world, TERMINAL, WITHOUT, (0, 7, 14, 21, 35, 42))
    add(world, TERMINAL, WITH, daily(22, 35))
    return world


def tested_from_a_terminal() -> World:
    """A scheduled weekly job is left out once, while somebody tries it at a terminal."""
    world = plain_world()
    add(world, CRON, WITHOUT, (0, 7, 14, 21, 35, 42))
    add(world, TERMINAL._replace(account="admin"), WITH, daily(22, 35))
    return world


def another_account() -> World:
    """A weekly job without MFA, and a daily one with another account, of one program, begun a day later."""
    world = plain_world()
    add(world, CRON, WITHOUT, weekly())
    add(world, CRON, WITH, daily(15), user="svc-other")
    return world


def an_account_that_paused() -> World:
    """One program with two accounts: the one with MFA rests while the other, without, is used."""
    world = plain_world()
    add(world, CRON, WITHOUT, (1, 4, 8, 17, 30))
    add(world, CRON, WITH, [day for day in daily() if not 1 <= day <= 8], user="svc-other")
    return world


def other_accounts_all_along() -> World:
    """One program with two accounts: one with MFA each day, the other without on some days."""
    world = plain_world()
    add(world, CRON, WITHOUT, (0, 3, 7, 16, 30))
    add(world, CRON, WITH, daily(), user="svc-other")
    return world


def twins() -> World:
    """One script on two machines, fixed on the one where it runs each day."""
    world = plain_world("server", "server-2")
    add(world, CRON._replace(machine="server-2"), WITHOUT, weekly(2))
    add(world, CRON, WITHOUT, daily()).fix(20 * DAY, "consent")
    return world


def refused_in_unknown_words() -> World:
    """All calls without MFA are refused in words that nobody published; another run has MFA."""
    world = plain_world()
    world.partner.blocking = Blocking(0.0, 0.0, 1.0, told=False)
    add(world, CRON, WITHOUT, daily())
    add(world, CRON, WITH, daily())
    return world


def in_a_capture() -> World:
    """A capture shows a script fail, and then run by hand with MFA; the job goes on failing after it."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, [day for day in daily() if not 11 <= day < 25])
    add(world, PROGRAM, WITH, daily(11, 25))
    world = play(world)
    world.recorded = [call._replace(source="fiddler") for call in world.recorded if call.at < 25 * DAY]
    return world


def sealed(**partner: Any) -> Callable[[], World]:
    """Tokens that nobody can read, with and without MFA: only Partner Center's or Microsoft's word tells them apart."""

    def make() -> World:
        world = plain_world()
        for name, value in partner.items():
            setattr(world.partner, name, value)
        place = CRON._replace(program="sealed.exe")
        add(world, place, WITHOUT, daily(), readable=False)
        add(world, place, WITH, daily(), readable=False)
        return world

    return make


ALWAYS: Final = (0.0, NEVER)
REFUSED: Final = Blocking(0.0, 0.0, 1.0, told=True)
# Each trap, and what a rule that falls into it overlooks (a name in WEAKENINGS).
TRAPS: Final[Mapping[str, tuple[Callable[[], World], tuple[str, ...]]]] = {
    "a token in the cache": (a_token_in_the_cache, ("one good token suffices",)),
    "in the office without": (in_the_office_without, ("one bad call is a habit",)),
    "seldom in the office": (seldom_in_the_office, ("good calls between bad ones",)),
    "a monthly job tried by hand": (
        monthly_tried_by_hand, ("20 days are the longest wait", "one bad day makes a rhythm"),
    ),
    "on leave": (on_leave, ("three bad days in a row make a rhythm",)),
    "switched off for a week": (
        switched_off_for_a_week, ("no longer than the longest pause", "any program is started by something known"),
    ),
    "off when the job runs": (off_when_the_job_runs, ("a schedule without hours", "good calls at any hour")),
    "off when the program runs": (off_when_the_program_runs, ("a rhythm without hours",)),
    "crashed for two weeks": (crashed_for_two_weeks, ("all time is watched",)),
    "renamed": (renamed, ("a silent program is fixed",)),
    "a monthly job behind a daily one": (monthly_behind_daily, ("what may be several jobs has a rhythm",)),
    "switched off at a terminal": (switched_off_at_a_terminal, ("people at a terminal are schedules",)),
    "tested from a terminal": (tested_from_a_terminal, ("by hand and by schedule are one",)),
    "another account": (another_account, ("before the next bad call is due",)),
    "an account that paused": (an_account_that_paused, ("one credential for all",)),
    "other accounts all along": (other_accounts_all_along, ("credentials side by side succeed each other",)),
    "a twin on another machine": (twins, ("machines are one",)),
    "refused in unknown words": (
        refused_in_unknown_words, ("bad tokens need to be accepted", "tokens without MFA are nothing"),
    ),
    "in a capture": (in_a_capture, ("a capture shows that something is fixed",)),
    "sealed and refused": (sealed(validates=ALWAYS, blocking=REFUSED), ("refusals are nothing",)),
    "sealed and tested": (sealed(validates=ALWAYS, enforces=ALWAYS), ("refusals by test are nothing",)),
    "sealed and asked": (sealed(validates=ALWAYS), ("Partner Center's no is nothing",)),
    "sealed and listed": (sealed(lists=True), ("Microsoft's no is nothing",)),
}  # fmt: skip


def make_trap(name: str) -> World:
    """The world of that trap, played."""
    world = TRAPS[name][0]()
    return world if world.recorded else play(world)

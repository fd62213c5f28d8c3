"""The oracle knows what comes."""

from __future__ import annotations

import pytest

from months.calendars import DAY
from months.oracle import fails_next, was_fixed, wrong_yes
from months.partners import WITH, WITHOUT
from months.traps import PROGRAM, add, daily, plain_world, play, weekly

FIXED = 30 * DAY


def test_a_job_fails_next_until_it_is_fixed() -> None:
    """What counts is the next run after the moment, not the last one."""
    world = plain_world()
    job = add(world, PROGRAM, WITHOUT, weekly())
    job.fix(FIXED, "consent")
    play(world)
    assert fails_next(job, 27 * DAY)
    assert not fails_next(job, 29 * DAY)  # the run of day 28 is over, and the next one comes after the fix
    assert not was_fixed(job, 20 * DAY, 29 * DAY)
    assert was_fixed(job, 20 * DAY, 31 * DAY)


@pytest.mark.parametrize(
    ("breaks", "every", "day", "kind"),
    [
        (None, 7, 31, None),  # fixed
        (40, 7, 39, "breaks again"),
        (40, 7, 20, "false"),  # not fixed yet
        (40, 7, 50, "false"),  # broken, and seen to be
        (None, 40, 20, "false"),
    ],
)
def test_what_is_wrong_with_a_yes(breaks: int | None, every: int, day: int, kind: str | None) -> None:
    """A YES is false where a job failed when last seen, was not fixed since, and fails next."""
    world = plain_world()
    job = add(world, PROGRAM, WITHOUT, range(0, 200, every))
    if every == 7:
        job.fix(FIXED, "consent")
    if breaks:
        job.change(breaks * DAY, signs_in=WITHOUT)
    calls = [call for call in play(world).recorded if call.at < day * DAY]
    assert kind == wrong_yes(calls, world.partner.jobs, day * DAY)


def test_a_rarer_job_is_counted_apart() -> None:
    """A bad call of more than 35 days ago is none that the period shows."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, (0, 60))
    add(world, PROGRAM, WITH, daily())
    calls = [call for call in play(world).recorded if call.at < 50 * DAY]
    assert "rarer" == wrong_yes(calls, world.partner.jobs, 50 * DAY)
    early = [call for call in calls if call.at < 30 * DAY]
    assert "false" == wrong_yes(early, world.partner.jobs, 30 * DAY)

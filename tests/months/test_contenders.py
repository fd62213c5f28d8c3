"""What the rule in use does with fixes, and with jobs that nobody thought of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from months.contenders import PRESENT
from months.figures import measure
from months.partners import APP, WITH, WITHOUT, Place
from months.scenes import World
from months.traps import CRON, DAYS, PROGRAM, SHELL, add, daily, plain_world, play, weekly

FIXED = 30 * 86_400.0
FIXES: dict[str, dict[str, Any]] = {
    "consent": {},
    "app-only": {"signs_in": APP},
    "new app registration": {"app": "new-app"},
    "new account": {"user": "svc-new"},
    "powershell 7": {"agent": "PowerShell/7.5"},
}
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("fix", FIXES)
@pytest.mark.parametrize(
    ("place", "days", "most"),
    [(CRON, daily(), 4), (CRON, weekly(), 14), (PROGRAM, daily(), 26), (PROGRAM, weekly(), 26)],
    ids=["daily, starter known", "weekly, starter known", "daily", "weekly"],
)
def test_each_advised_fix_is_seen(place: Place, days: range, most: int, fix: str) -> None:
    """A row turns YES by itself within days of a fix: 4 and 14 where it is known what starts it, elsewhere 26."""
    world = plain_world()
    add(world, place, WITHOUT, days).fix(FIXED, fix, **FIXES[fix])
    found = measure(play(world), fix, PRESENT)
    assert [] == found.wrong
    (wait,) = found.waited
    assert wait.days is not None
    assert wait.days <= most


def test_what_may_be_several_jobs_is_confirmed_after_the_longest_wait() -> None:
    """Where a rarer job may hide behind the one that was fixed, the row waits 40 days."""
    world = plain_world()
    add(world, SHELL, WITHOUT, daily()).fix(FIXED, "consent")
    (wait,) = measure(play(world), "shell", PRESENT).waited
    assert wait.days in (39, 40)  # after the last bad call, which came a day before the fix


def falsely_fixed(world: World) -> list[str]:
    """The rows that are YES although a job in them will fail, and when."""
    found = measure(play(world), "made up", PRESENT)
    return [f"{wrong.row} on day {wrong.day}" for wrong in found.wrong if wrong.kind == "false"]


@FEW
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30), st.integers(1, 35), st.integers(0, 23), st.sampled_from((WITH, WITHOUT)),
            st.none() | st.integers(5, 70),
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
def test_no_jobs_of_one_name_hide_each_other(
    jobs: list[tuple[int, int, int, str, int | None]],
) -> None:
    """Whatever jobs share a shell, an app and an account, and whichever are fixed: the others are not called so."""
    world = plain_world()
    for first, period, hour, signs_in, fixed in jobs:
        job = add(world, SHELL, signs_in, range(first, 2 * DAYS, period), hour)
        if fixed is not None and signs_in == WITHOUT:
            job.fix(fixed * 86_400.0, "consent")
    assert [] == falsely_fixed(world)


@FEW
@given(
    st.integers(1, 31),
    st.integers(0, 23),
    st.lists(st.tuples(st.integers(0, 89), st.integers(0, 23)), max_size=40),
)
def test_no_tests_by_hand_hide_a_job(period: int, hour: int, tests: list[tuple[int, int]]) -> None:
    """A job that fails at each run is not called fixed, whenever somebody runs its script by hand with MFA."""
    world = plain_world()
    add(world, PROGRAM, WITHOUT, range(0, 2 * DAYS, period), hour)
    for day, at in tests:
        add(world, PROGRAM, WITH, (day,), at + 0.5)
    assert [] == falsely_fixed(world)

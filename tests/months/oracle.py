"""Knows what no rule can: which job will call without MFA in its next run, and why."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from months.calendars import DAY
from months.partners import APP, WITH, Call, Job

# A job's bad call must be that young for a YES to be held against the rule.
SEEN_WITHIN: Final = 35 * DAY


def fails_next(job: Job, now: float) -> bool:
    """Whether the job's next run after `now` is without MFA."""
    place = bisect_right(job.runs, (now, True))
    return place < len(job.runs) and job.runs[place][1]


def was_fixed(job: Job, since: float, until: float) -> bool:
    """Whether between two moments the job was, for a time, in order, and not only seemed so."""
    ends = [phase.begins for phase in job.phases[1:]] + [float("inf")]
    return any(
        phase.signs_in in (WITH, APP) and phase.begins <= until and end > since
        for phase, end in zip(job.phases, ends, strict=True)
    )


def wrong_yes(calls: Sequence[Call], jobs: Sequence[Job], now: float) -> str | None:
    """What is wrong with a YES for a row of these recorded calls: the worst of "false", "rarer" and "breaks again".

    `false`: a job made a bad call that was recorded in the 35 days, and makes one in its next run. `rarer`: its bad
    call is older. `breaks again`: it really is fixed now, and something new will break it. None: nothing is wrong.
    """
    last_bad: dict[int, float] = {}
    for call in calls:
        if call.is_bad:
            last_bad[call.job] = call.at
    found = set()
    for number, at in last_bad.items():
        job = jobs[number]
        if not fails_next(job, now):
            continue
        if was_fixed(job, at, now):
            found.add("breaks again")
        else:
            found.add("false" if at > now - SEEN_WITHIN else "rarer")
    return next((kind for kind in ("false", "rarer", "breaks again") if kind in found), None)

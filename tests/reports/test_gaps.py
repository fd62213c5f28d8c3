"""How much was recorded, and the gaps: by tables of sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mfa_audit.reports.gaps import cover
from mfa_audit.reports.model import Period
from mfa_audit.store.ledger import GapFacts, SessionFacts

NOW = 1_000_000.0


def session(
    started: float, last: float, how: str | None = "stopped", kind: str = "proxy", lost: int = 0
) -> SessionFacts:
    """A session, its times in seconds before now; `how` None: no end was written."""
    values: dict[str, Any] = dict.fromkeys(SessionFacts.__dataclass_fields__, None)
    values |= {"uuid": f"{started}", "kind": kind, "started": NOW - started, "last_beat": NOW - last}
    values |= {"ended": None if how is None else NOW - last, "ended_how": how, "lost": lost}
    return SessionFacts(**values)


HOURLY = Period(datetime.fromtimestamp(NOW - 3600, UTC), None)
CASES: dict[str, tuple[list[SessionFacts], int, list[tuple[str, int]]]] = {
    "nothing": ([], 0, []),
    "running": ([session(600, 5, None)], 600, []),
    "stopped": ([session(600, 300)], 300, [("stopped", 300)]),
    "crashed": ([session(600, 300, None)], 300, [("crashed", 300)]),
    "unloaded": ([session(600, 300, "unloaded")], 300, [("unloaded", 300)]),
    "crashed and started again": ([session(600, 300, None), session(100, 0, None)], 400, [("crashed", 200)]),
    "started again within two beats": ([session(600, 300, None), session(281, 0, None)], 581, []),
    "two at once": ([session(600, 100), session(500, 5, None)], 600, []),
    "a crash beside another": ([session(600, 400, None), session(601, 5, None)], 601, [("crashed", 400)]),
    "a crash that another took over": (
        [session(600, 400, None), session(602, 5, None), session(390, 200)],
        602,
        [],
    ),
    "only runs": ([session(600, 300, "stopped", "run")], 0, []),
    "a run that was killed": ([session(600, 300, None, "run")], 0, [("crashed", 10)]),
    "an import": ([session(600, 300, "stopped", "import")], 0, []),
    "begun before the period": ([session(9_000, 5, None)], 3600, []),
    "over before the period": ([session(9_000, 8_000, None)], 0, [("crashed", 3600)]),
    "a clock set back": ([session(100, 400, "stopped")], 0, [("stopped", 100)]),
}


@pytest.mark.parametrize(("sessions", "recorded", "gaps"), CASES.values(), ids=CASES)
def test_cover(sessions: list[SessionFacts], recorded: int, gaps: list[tuple[str, int]]) -> None:
    """Recorded seconds are the union of the lasting sessions in the period; what lies between has its reason."""
    found = cover(sessions, [], HOURLY, NOW)
    assert recorded == found.recorded_seconds
    assert gaps == [(gap.reason, round((gap.end - gap.start).total_seconds())) for gap in found.gaps]


def test_sleep_is_not_recorded_time() -> None:
    """What was slept is a gap and no recorded time."""
    slept = GapFacts("600", NOW - 500, NOW - 200, "slept", 0)
    found = cover([session(600, 5, None)], [slept], HOURLY, NOW)
    assert (300, ["slept"]) == (found.recorded_seconds, [gap.reason for gap in found.gaps])


def test_losses_add_up() -> None:
    """Lost calls of the period's sessions and those that never reached the disk are one number."""
    found = cover([session(600, 5, None, lost=3), session(9_000, 8_000, lost=5)], [], HOURLY, NOW, unsaved=4)
    assert 7 == found.lost

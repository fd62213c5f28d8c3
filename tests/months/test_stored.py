"""The laboratory's short way to a verdict is the way of the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfa_audit.judging.standings import weigh
from months.calendars import DAY
from months.contenders import PRESENT
from months.figures import LISTED, REPORT_AT, rows_of
from months.scenes import make_world
from months.stored import name_of_row, name_of_tool_row, report_of, store


# Chosen so that every verdict, waiting, side by side, unreadable tokens and captures are among their rows.
@pytest.mark.parametrize("seed", [f"stored-{number}" for number in (10, 14, 15, 17, 18, 19, 24, 28)])
def test_the_report_says_what_the_laboratory_says(seed: str, tmp_path: Path) -> None:
    """Real Exchanges, judged, stored, read and reported, come to the verdicts of the simulated rows."""
    world = make_world(seed)
    now = 50 * DAY + REPORT_AT
    path = tmp_path / "audit.db"
    store(world, path, now)
    report = report_of(path, now)
    expected = {
        name_of_row(row): str(weigh(row.facts(now), row.watched(now), now, since=now - LISTED).verdict)
        for row in rows_of(world, PRESENT)
        if row.last(now) >= now - LISTED
    }
    assert expected == {name_of_tool_row(row): str(row.verdict) for row in report.tools}
    assert expected

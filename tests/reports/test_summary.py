"""From a ledger to the answer: what a tool that is not seen any more does to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.verdicts import Answer

sys.path.insert(0, str(Path(__file__).parent))
from recordings import bad, good, record, report


@pytest.mark.parametrize("days", [36, 89, 300])
def test_a_tool_that_failed_long_ago_is_not_forgotten(database: Path, days: int) -> None:
    """A tool without MFA when last seen is named as quiet, however long ago that was, and forbids a yes."""
    record(
        database,
        bad(days, days + 1, program=Program("quarterly.ps1", "svc")),
        good(1, 2, program=Program("sync.ps1", "svc")),
        since=400,
    )
    found = report(database)
    assert (Answer.UNCLEAR, ["quarterly.ps1"]) == (found.answer, [row.program for row in found.quiet])


def test_a_tool_that_was_fine_when_last_seen_is_no_matter(database: Path) -> None:
    """Only failing tools are looked for in the time before the period."""
    gone = good(36, 37, program=Program("quarterly.ps1", "svc"))
    record(database, gone, good(1, 2, program=Program("sync.ps1", "svc")))
    found = report(database)
    assert (Answer.YES, ()) == (found.answer, found.quiet)

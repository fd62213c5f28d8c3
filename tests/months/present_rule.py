"""The rule of `judging/evidence.py`, as a contender."""

from __future__ import annotations

from mfa_audit.judging.evidence import weigh
from months.rows import Contender, Row, row_now


def judge_now(row: Row, now: float) -> str:
    """The verdict, and for "cannot tell" the reason that is most telling."""
    standing = weigh(row.facts(now), row.watched(now), now)
    verdict = str(standing.verdict)
    return f"{verdict}: {standing.reasons[0]}" if verdict == "undetermined" else verdict


PRESENT = Contender("present", row_now, judge_now)

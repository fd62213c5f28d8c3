"""How much of a period was recorded, and the gaps in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.reports.model import Gap, Period, Recording
from mfa_audit.store.ledger import GapFacts, SessionFacts, is_running
from mfa_audit.store.sessions import BEAT

# Recordings that are meant to go on. A `run` is a moment, an import is somebody else's recording.
_LASTING: Final = ("proxy", "addon")


def cover(
    sessions: Sequence[SessionFacts],
    gaps: Sequence[GapFacts],
    period: Period,
    now: float,
    *,
    own: bool = False,
    unsaved: int = 0,
) -> Recording:
    """The union of the lasting sessions within the period, and what lies between and inside them.

    `own`: one recording of any kind reports on itself. `unsaved` rows of it never reached the disk. The time
    before the first recording is no gap: nobody promised to record then.
    """
    start = period.start.timestamp() if period.start else min((one.started for one in sessions), default=now)
    end = min(now, period.end.timestamp()) if period.end else now
    spans = sorted(
        (one.started, _last(one, now), _how(one, now))
        for one in sessions
        if (own and one.kind != "import") or one.kind in _LASTING
    )
    recorded = 0.0
    found: list[Gap] = []
    covered_to: float | None = None
    how = "stopped"
    for began, last, ended_how in spans:
        if covered_to is None or began > covered_to:
            if covered_to is not None:
                found += _between(covered_to, began, how, start, end)
            recorded += _length(began, last, start, end)
            covered_to, how = last, ended_how
        elif last > covered_to:
            recorded += _length(covered_to, last, start, end)
            covered_to, how = last, ended_how
    if covered_to is not None and not own:
        found += _between(covered_to, end, how, start, end)
    found += [
        Gap(_time(gap.started), _time(gap.ended), gap.reason, gap.lost)
        for gap in gaps
        if gap.ended >= start and gap.started <= end
    ]
    inside = sum(_length(gap.started, gap.ended, start, end) for gap in gaps if gap.reason == "slept")
    lost = unsaved + sum(one.lost for one in sessions if _last(one, now) >= start and one.started <= end)
    return Recording(
        recorded_seconds=round(max(0.0, recorded - inside)),
        period_seconds=round(max(0.0, end - start)),
        lost=lost,
        gaps=tuple(sorted(found, key=lambda gap: gap.start)),
    )


def _last(session: SessionFacts, now: float) -> float:
    """The end of what a session surely recorded; never before its start, should the clock have been set back."""
    if is_running(session, now):
        return now
    return max(session.started, session.last_beat if session.ended is None else session.ended)


def _how(session: SessionFacts, now: float) -> str:
    if session.ended is None and not is_running(session, now):
        return "crashed"
    return session.ended_how or "stopped"


def _between(began: float, ended: float, how: str, start: float, end: float) -> list[Gap]:
    """A gap of more than two beats, as far as it lies within the period."""
    began, ended = max(began, start), min(ended, end)
    return [Gap(_time(began), _time(ended), how)] if ended - began > 2 * BEAT else []


def _length(began: float, ended: float, start: float, end: float) -> float:
    return max(0.0, min(ended, end) - max(began, start))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

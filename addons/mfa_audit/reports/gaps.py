"""How much of a period was recorded on each machine, the gaps in it, and when each recorder watched. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.judging.evidence import Watched
from mfa_audit.reports.model import Gap, MachineCoverage, Period, Recording
from mfa_audit.reports.tool_rows import union
from mfa_audit.store.ledger import GapFacts, SessionFacts, is_running
from mfa_audit.store.sessions import BEAT

# Recordings that are meant to go on. A `run` is a moment, an import is somebody else's recording.
_LASTING: Final = ("proxy", "addon")
# Stored gaps in which calls may have been missed.
_UNWATCHED: Final = ("slept", "behind")


def watched_by(
    sessions: Sequence[SessionFacts], gaps: Sequence[GapFacts], now: float
) -> Mapping[tuple[str, str], Sequence[Watched]]:
    """When the recorders of each account on each machine recorded, without what they slept or lost."""
    holes: dict[str, list[Watched]] = {}
    for gap in gaps:
        if gap.reason in _UNWATCHED:
            holes.setdefault(gap.session, []).append(Watched(gap.started, gap.ended))
    found: dict[tuple[str, str], list[Watched]] = {}
    for one in sessions:
        if one.kind != "import":
            times = _without(Watched(one.started, _last(one, now)), holes.get(one.uuid, ()))
            found.setdefault((one.machine, one.account), []).extend(times)
    return {who: union(times) for who, times in found.items()}


def _without(whole: Watched, holes: Sequence[Watched]) -> list[Watched]:
    found = []
    at = whole.start
    for hole in union(holes):
        if hole.start > at:
            found.append(Watched(at, min(hole.start, whole.end)))
        at = max(at, hole.end)
    if at < whole.end:
        found.append(Watched(at, whole.end))
    return [one for one in found if one.end > one.start]


def cover(
    sessions: Sequence[SessionFacts],
    gaps: Sequence[GapFacts],
    period: Period,
    now: float,
    *,
    own: bool = False,
    unsaved: int = 0,
) -> Recording:
    """What each machine recorded of the period, and the gaps in it; no machine's uptime covers another's.

    `own`: one recording of any kind reports on itself. `unsaved` rows of it never reached the disk. The time before
    the first recording of a machine is no gap: nobody promised to record then.
    """
    live = [one for one in sessions if one.kind != "import"]
    start = period.start.timestamp() if period.start else min((one.started for one in sessions), default=now)
    end = min(now, period.end.timestamp()) if period.end else now
    found: list[Gap] = []
    machines: list[MachineCoverage] = []
    for machine in sorted({one.machine for one in live}):
        here = [one for one in live if one.machine == machine]
        uuids = {one.uuid for one in here}
        stored = [gap for gap in gaps if gap.session in uuids and gap.ended >= start and gap.started <= end]
        lasting = [one for one in here if own or one.kind in _LASTING]
        recorded, between = _cover_machine(lasting, stored, start, end, now, own=own)
        lost = sum(_lost(one, gaps, start, end, now) for one in here)
        runs = [one for one in here if one not in lasting]
        found += [
            Gap(_time(max(gap.started, start)), _time(min(gap.ended, end)), gap.reason, gap.lost, machine)
            for gap in stored
        ]
        found += [Gap(_time(max(low, start)), _time(high), how, 0, machine) for low, high, how in between]
        found += _killed_runs(runs, start, end, now)
        if lasting or lost:
            machines.append(MachineCoverage(machine, round(recorded), lost))
    return Recording(
        recorded_seconds=min((one.recorded_seconds for one in machines), default=0),
        period_seconds=round(max(0.0, end - start)),
        lost=unsaved + sum(one.lost for one in machines),
        gaps=tuple(sorted(found, key=lambda gap: (gap.start - gap.end, gap.start, gap.machine))),
        machines=tuple(machines),
    )


def _cover_machine(
    lasting: Sequence[SessionFacts],
    stored: Sequence[GapFacts],
    start: float,
    end: float,
    now: float,
    *,
    own: bool,
) -> tuple[float, list[tuple[float, float, str]]]:
    """Recorded seconds, and the times between and after the recordings: (from, to, how the one before ended)."""
    between: list[tuple[float, float, str]] = []
    covered_to, how = None, "stopped"
    for one in sorted(lasting, key=lambda one: (one.started, _last(one, now))):
        last = _last(one, now)
        if covered_to is not None and one.started > covered_to:
            between.append((covered_to, one.started, how))
        if covered_to is None or last > covered_to:
            covered_to, how = last, _how(one, now)
    if covered_to is not None and not own:
        between.append((covered_to, end, how))
    # Another recorder that ran already has a port and callers of its own: only one that starts later takes the place
    # of one that crashed.
    for one in lasting:
        last = _last(one, now)
        if not own and _how(one, now) == "crashed":
            later = min((other.started for other in lasting if other.started >= last), default=end)
            if (last, later, "crashed") not in between:
                between.append((last, later, "crashed"))
    spans = union(Watched(one.started, _last(one, now)) for one in lasting)
    slept = union(Watched(gap.started, gap.ended) for gap in stored if gap.reason == "slept")
    recorded = sum(_length(one, start, end) for span in spans for one in _without(span, slept))
    clipped = [(max(low, start), min(high, end), why) for low, high, why in between]
    return recorded, [gap for gap in clipped if gap[1] - gap[0] > 2 * BEAT]


def _killed_runs(runs: Sequence[SessionFacts], start: float, end: float, now: float) -> list[Gap]:
    """Where `mfa-audit run` was killed: what its command did from then on nobody saw."""
    return [
        Gap(_time(last), _time(last + BEAT), "crashed", 0, one.machine)
        for one in runs
        if _how(one, now) == "crashed" and start <= (last := _last(one, now)) <= end
    ]


def _lost(one: SessionFacts, gaps: Sequence[GapFacts], start: float, end: float, now: float) -> int:
    """Lost calls in the period: those whose time is known to lie in it, and those of a session in it without a time."""
    own = [gap for gap in gaps if gap.session == one.uuid]
    placed = sum(gap.lost for gap in own if gap.ended >= start and gap.started <= end)
    unplaced = max(0, one.lost - sum(gap.lost for gap in own))
    return placed + (unplaced if one.started <= end and _last(one, now) >= start else 0)


def _last(session: SessionFacts, now: float) -> float:
    """The end of what a session surely recorded; never before its start, should the clock have been set back.

    Where it died with its clock in the future, nobody knows when that was.
    """
    if is_running(session, now):
        return now
    if session.ended is None and session.last_beat > now:
        return session.started
    return max(session.started, session.last_beat if session.ended is None else session.ended)


def _how(session: SessionFacts, now: float) -> str:
    if session.ended is None and not is_running(session, now):
        return "crashed"
    return session.ended_how or "stopped"


def _length(one: Watched, start: float, end: float) -> float:
    return max(0.0, min(one.end, end) - max(one.start, start))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

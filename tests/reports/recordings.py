"""Recordings of many days, written as a recorder would have, and what a report says of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period, Report, ToolRow
from mfa_audit.reports.periods import read_period
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session
from observed import observe

DAY = 86_400.0
NOW = time.time()
# Well inside an hour, so that a few minutes stay in it.
HOUR_START = NOW - NOW % 3600 + 600 - 2 * 3600
SCRIPT = Program("sync.ps1", "svc", None)


def ago(days: float) -> float:
    """A moment so many days before now, at the same time of the day."""
    return HOUR_START - days * DAY


def calls(
    amr: Sequence[str],
    days: Iterable[float],
    *,
    each: int = 1,
    program: Program | None = None,
    claims: dict[str, Any] | None = None,
    **parts: Any,
) -> list[Observation]:
    """On each of these days ago a new token, and so many calls with it."""
    found = []
    for day in days:
        at = ago(day)
        held = {"iat": int(at) - 60, "exp": int(at) + 3900, "uti": f"{amr}{day}{claims}", **(claims or {})}
        found += [
            observe(at + number, amr=amr, claims=held, program=program, **parts) for number in range(each)
        ]
    return found


def good(*days: float, **parts: Any) -> list[Observation]:
    """Calls with MFA."""
    return calls(("pwd", "mfa"), days, **parts)


def bad(*days: float, **parts: Any) -> list[Observation]:
    """Calls without MFA."""
    return calls(("pwd",), days, **parts)


def record(
    database: Path,
    *several: Sequence[Observation],
    machine: str = "PC1",
    kind: str = "proxy",
    since: float = 60,
    until: float = 0,
    crashed: bool = False,
    account: str = "ada",
    machine_id: str | None = None,
) -> None:
    """One session that recorded from so many days ago to so many days ago, with these calls in it."""
    session = Session(kind, ago(since), machine=machine, account=account, machine_id=machine_id)
    recording = Recording(database, session, "NORMAL")
    recording.transact(sorted((one for some in several for one in some), key=lambda one: one.at), [])
    recording.sign(None if crashed else "stopped", lost=0, late=0, programs_denied=0)
    end = round((NOW if until == 0 else ago(until)) * 1000)
    recording.connection.execute(
        "UPDATE sessions SET last_beat = ?, ended = iif(ended IS NULL, NULL, ?) WHERE uuid = ?",
        [end, end, session.uuid],
    )
    recording.close()


def report(*databases: Path, since: str | None = "35d") -> Report:
    """The report on these databases."""
    period = Period(None, None) if since is None else read_period(since, None, datetime.now(UTC))
    return report_on(databases, period)


def only(found: Report) -> ToolRow:
    """The report's only row."""
    [row] = found.tools
    return row

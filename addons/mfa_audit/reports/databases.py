"""The audit of databases: read them, and report over all of them as one."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mfa_audit.errors import AuditError
from mfa_audit.reports.model import Period, Report
from mfa_audit.reports.summary import Settings, summarise
from mfa_audit.store.ledger import Ledger
from mfa_audit.store.reading import read_ledger, read_sessions
from mfa_audit.store.sessions import this_account

if TYPE_CHECKING:  # a report alone starts faster without the event loop
    from mfa_audit.store.recorder import Recorder

# How far before the period tools are looked for that failed and went quiet.
_QUIET_SECONDS: Final = 90 * 24 * 3600


def report_on(databases: Sequence[Path], period: Period, settings: Settings | None = None) -> Report:
    """The report over these databases as one, changing none of them. Raises AuditError."""
    now = time.time()
    without = _doubles(databases)
    start, end = _seconds(period.start), _seconds(period.end)
    ledgers = [
        read_ledger(path, start=start, end=end, without=without[path]) for path in dict.fromkeys(databases)
    ]
    before = (
        []
        if start is None
        else [
            read_ledger(path, start=start - _QUIET_SECONDS, end=start, without=without[path], uses_only=True)
            for path in dict.fromkeys(databases)
        ]
    )
    return _signed(summarise(ledgers, _used(period, ledgers), now=now, before=before, settings=settings))


def report_on_recording(recorder: Recorder, settings: Settings | None = None) -> Report:
    """What one recording saw itself, while it runs or after its end. Raises AuditError."""
    recorder.catch_up()
    ledgers, calls_out_of_reach = [], 0
    *left, last = recorder.recordings
    for one in left:
        try:
            ledgers.append(read_ledger(one.path, sessions=[one.uuid]))
        except AuditError:  # it was left because it is damaged
            calls_out_of_reach += one.calls
    ledgers.append(read_ledger(last.path, sessions=[last.uuid]))
    stored = sum(session.lost for ledger in ledgers for session in ledger.sessions)
    return _signed(
        summarise(
            ledgers,
            Period(datetime.fromtimestamp(recorder.session.started, UTC), None),
            now=time.time(),
            own=True,
            unsaved=max(0, recorder.lost - stored) + calls_out_of_reach,
            settings=settings,
        )
    )


def _signed(report: Report) -> Report:
    """The report with where and as whom it is made."""
    return replace(report, machine=platform.node(), account=this_account())


def _doubles(databases: Sequence[Path]) -> dict[Path, list[str]]:
    """For each database the sessions to leave out, because another one (a later copy) has more of them."""
    latest: dict[str, tuple[float, Path]] = {}
    left_out: dict[Path, list[str]] = {path: [] for path in databases}
    for path in dict.fromkeys(databases) if len(left_out) > 1 else ():
        for uuid, beat in read_sessions(path).items():
            known = latest.get(uuid)
            if known is None:
                latest[uuid] = (beat, path)
            elif beat > known[0]:
                left_out[known[1]].append(uuid)
                latest[uuid] = (beat, path)
            else:
                left_out[path].append(uuid)
    return left_out


def _used(period: Period, ledgers: Sequence[Ledger]) -> Period:
    """The period with the bounds that the ledgers really used."""
    if not any(ledger.rounded for ledger in ledgers):
        return period
    return replace(
        period,
        start=_earliest(period.start, [ledger.start for ledger in ledgers]),
        end=_latest(period.end, [ledger.end for ledger in ledgers]),
        rounded=True,
    )


def _earliest(wanted: datetime | None, used: Sequence[float | None]) -> datetime | None:
    times = [datetime.fromtimestamp(one, UTC) for one in used if one is not None]
    return wanted if wanted is None else min([wanted, *times])


def _latest(wanted: datetime | None, used: Sequence[float | None]) -> datetime | None:
    times = [datetime.fromtimestamp(one, UTC) for one in used if one is not None]
    return wanted if wanted is None else max([wanted, *times])


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()

"""The audit of databases: read them as one, and report on what they say."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mfa_audit.errors import AuditError
from mfa_audit.reports.model import Period, Report
from mfa_audit.reports.rulings import is_said_to_be_fixed
from mfa_audit.reports.settings import Settings
from mfa_audit.reports.summary import summarise
from mfa_audit.reports.tool_rows import key_of, needs_times, parties_of
from mfa_audit.store.failing_calls import FailingCall
from mfa_audit.store.ledger import Ledger
from mfa_audit.store.reading import Choose, Wanted, read_failures, read_ledger
from mfa_audit.store.sessions import this_account

if TYPE_CHECKING:  # a report alone starts faster without the event loop
    from mfa_audit.store.recorder import Recorder


def report_on(databases: Sequence[Path], period: Period, settings: Settings | None = None) -> Report:
    """The report over these databases as one, changing none of them. Raises AuditError."""
    wanted = Wanted(_seconds(period.start), _seconds(period.end), weeks=True)
    paths = list(dict.fromkeys(databases))
    ledger = read_ledger(paths, wanted, _with_times(settings or Settings()))
    names = [str(path) for path in paths]
    return _signed(summarise(ledger, _used(period, ledger), names, now=time.time(), settings=settings))


def report_on_recording(recorder: Recorder, settings: Settings | None = None) -> Report:
    """What one recording saw itself, while it runs or after its end. Raises AuditError."""
    recorder.catch_up()
    *left, last = recorder.recordings
    recordings, calls_out_of_reach = [], 0
    for one in left:
        try:
            read_ledger(one.path, Wanted(sessions=(one.uuid,)))
        except AuditError:  # it was left because it is damaged
            calls_out_of_reach += one.calls
        else:
            recordings.append(one)
    recordings.append(last)
    paths = list(dict.fromkeys(one.path for one in recordings))
    ledger = read_ledger(
        paths,
        Wanted(sessions=tuple(one.uuid for one in recordings), since=recorder.earliest),
        _with_times(settings or Settings()),
    )
    stored = sum(session.lost for session in ledger.sessions)
    return _signed(
        summarise(
            ledger,
            Period(datetime.fromtimestamp(recorder.session.started, UTC), None),
            [str(path) for path in paths],
            now=time.time(),
            own=True,
            unsaved=max(0, recorder.lost - stored) + calls_out_of_reach,
            settings=settings,
        )
    )


def failing_calls(
    databases: Sequence[Path], period: Period, keys: Iterable[str], settings: Settings
) -> tuple[FailingCall, ...]:
    """The last calls without MFA of the rows with these keys, newest first. Raises AuditError."""
    wanted = set(keys)
    choose = parties_of(settings, lambda group: key_of(group.identity, settings.people) in wanted)
    return read_failures(databases, Wanted(_seconds(period.start), _seconds(period.end)), choose)


def _with_times(settings: Settings) -> Choose:
    """What chooses the parties of which times are needed."""
    is_fixed = is_said_to_be_fixed(settings)
    return parties_of(settings, lambda group: needs_times(group) or is_fixed(group))


def _signed(report: Report) -> Report:
    """The report with where and as whom it is made."""
    return replace(report, machine=platform.node(), account=this_account())


def _used(period: Period, ledger: Ledger) -> Period:
    """The period with the bounds that the ledger really used."""
    if not ledger.rounded:
        return period
    return replace(period, start=_moment(ledger.start), end=_moment(ledger.end), rounded=True)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()

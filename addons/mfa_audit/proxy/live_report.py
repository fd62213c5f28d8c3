"""The report on a recording that still runs, computed beside the event loop and kept for a moment."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from mfa_audit.machine.heap import give_back
from mfa_audit.reports.databases import report_on_recording
from mfa_audit.reports.model import Report
from mfa_audit.reports.settings import Settings
from mfa_audit.store.recorder import Recorder

_LASTS: Final = 1.0  # seconds that a report is good for, at least
_LARGE: Final = 0.03  # seconds; giving memory back takes some milliseconds, which a small report is not worth
_SHARE: Final = 0.02  # of a processor may go into computing reports, however many ask


class LatestReport:
    """All who ask within a second get the same value, so that a page and a terminal cost one computation."""

    def __init__(self, recorder: Recorder, settings: Settings | None = None) -> None:
        self._recorder = recorder
        self._settings = settings
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._until = 0.0

    async def read(self) -> Report:
        """A report that is about a second old at most, or older where it takes long to compute.

        Raises AuditError while the database cannot be read.
        """
        async with self._lock:
            if self._report is not None and time.monotonic() < self._until:
                return self._report
            report, cost = await asyncio.to_thread(self._compute)
            self._report, self._until = report, time.monotonic() + max(_LASTS, cost / _SHARE)
            return report

    def _compute(self) -> tuple[Report, float]:
        """The report and the seconds of this thread that it took, which other load does not lengthen."""
        started = time.thread_time()
        report = report_on_recording(self._recorder, self._settings)
        cost = time.thread_time() - started
        if cost > _LARGE:
            give_back()
        return report, cost

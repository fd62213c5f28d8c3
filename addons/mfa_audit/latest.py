"""The report on a recording that still runs, computed beside the event loop and kept for a moment."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from mfa_audit.audit import report_on_recording
from mfa_audit.reports import Report
from mfa_audit.store.recorder import Recorder
from mfa_audit.summary import Settings

_LASTS: Final = 1.0  # seconds that a report is good for, at least
_SHARE: Final = 0.05  # of the time may go into computing reports, however many ask


class LatestReport:
    """All who ask within a second get the same value, so that a page and a terminal cost one computation."""

    def __init__(self, recorder: Recorder, settings: Settings | None = None) -> None:
        self._recorder = recorder
        self._settings = settings
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._until = 0.0

    async def read(self) -> Report:
        """A report that is about a second old at most. Raises AuditError while the database cannot be read."""
        async with self._lock:
            if self._report is None or time.monotonic() >= self._until:
                started = time.monotonic()
                self._report = await asyncio.to_thread(report_on_recording, self._recorder, self._settings)
                ended = time.monotonic()
                self._until = ended + max(_LASTS, (ended - started) / _SHARE)
            return self._report

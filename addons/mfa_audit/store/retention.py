"""How long rows are kept: calls 90 days, totals 400, unless told otherwise."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Final

from mfa_audit.store.totals import DAY_MS, HOUR_MS

_PAUSE: Final = 3600.0  # seconds between two rounds
_RETRY: Final = 10.0  # seconds
# A step takes a few milliseconds and is a transaction of its own, and the writer looks for calls between two of
# them: no call waits for a round.
_STEP: Final = 300

# What to delete, and with which unit of time (ms) each table counts.
_DELETE_CALLS: Final = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at < ? ORDER BY at LIMIT ?)"
_DELETE_TOTALS: Final = (
    (
        "DELETE FROM totals WHERE (hour, session_id, client_id, token_id, program_id) IN"
        " (SELECT hour, session_id, client_id, token_id, program_id FROM totals WHERE hour < ? LIMIT ?)",
        HOUR_MS,
    ),
    (
        "DELETE FROM operation_totals WHERE (day, session_id, client_id, program_id, operation_id) IN"
        " (SELECT day, session_id, client_id, program_id, operation_id FROM operation_totals"
        " WHERE day < ? LIMIT ?)",
        DAY_MS,
    ),
    (
        "DELETE FROM not_audited WHERE id IN (SELECT id FROM not_audited WHERE hour < ? LIMIT ?)",
        HOUR_MS,
    ),
)


@dataclass(slots=True)
class Retention:
    """Deletes what is older than it should be, a little at a time. Days of 24 hours."""

    calls_days: int = 90
    totals_days: int = 400
    _next_round: float = 0.0

    def is_due(self) -> bool:
        """Whether `step` has something to do now."""
        return time.monotonic() >= self._next_round

    def step(self, connection: sqlite3.Connection) -> None:
        """Delete a few rows if a round is due; once nothing is left, an hour passes. Raises sqlite3.Error."""
        if not self.is_due():
            return
        self._next_round = time.monotonic() + _RETRY  # should the database refuse
        now = round(time.time() * 1000)
        deleted = connection.execute(_DELETE_CALLS, [now - self.calls_days * DAY_MS, _STEP]).rowcount
        for statement, unit in _DELETE_TOTALS:
            deleted += connection.execute(
                statement, [(now - self.totals_days * DAY_MS) // unit, _STEP]
            ).rowcount
        self._next_round = 0.0 if deleted else time.monotonic() + _PAUSE

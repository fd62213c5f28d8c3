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

# Imported calls are kept as long as their totals: a capture that is imported again finds each by its import key,
# and adds it to the totals a second time where it does not. A step looks at so many calls, also where it deletes none.
_LOOK_AT_CALLS: Final = (
    "SELECT at, id, import_key IS NULL FROM calls WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"
)
_DELETE_CALL: Final = "DELETE FROM calls WHERE id = ?"
_DELETE_IMPORTED: Final = (
    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at < ? ORDER BY at LIMIT ?)"
)
# What to delete, and with which unit of time (ms) each table counts.
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
    _looked_at: int = -(1 << 60)

    def is_due(self) -> bool:
        """Whether `step` has something to do now."""
        return time.monotonic() >= self._next_round

    def step(self, connection: sqlite3.Connection) -> None:
        """Delete a few rows if a round is due; once nothing is left, an hour passes. Raises sqlite3.Error."""
        if not self.is_due():
            return
        self._next_round = time.monotonic() + _RETRY  # should the database refuse
        now = round(time.time() * 1000)
        deleted = self._delete_calls(connection, now)
        for statement, unit in _DELETE_TOTALS:
            deleted += connection.execute(
                statement, [(now - self.totals_days * DAY_MS) // unit, _STEP]
            ).rowcount
        self._next_round = 0.0 if deleted else time.monotonic() + _PAUSE

    def _delete_calls(self, connection: sqlite3.Connection, now: int) -> int:
        """Delete a few old calls; returns how many were looked at, 0 at the end of a round."""
        deleted = connection.execute(_DELETE_IMPORTED, [now - self.totals_days * DAY_MS, _STEP]).rowcount
        oldest_kept = now - self.calls_days * DAY_MS
        old = connection.execute(_LOOK_AT_CALLS, [self._looked_at, oldest_kept, _STEP]).fetchall()
        connection.executemany(_DELETE_CALL, [(identifier,) for _, identifier, live in old if live])
        # Calls of the same millisecond may go on behind the step; as they all may, the step after a full one that
        # did not get any further passes them.
        last = old[-1][0] if old else 0
        self._looked_at = last + (last == self._looked_at) if len(old) == _STEP else -(1 << 60)
        return deleted + (len(old) if len(old) == _STEP else 0)

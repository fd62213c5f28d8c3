"""How long rows are kept: calls 90 days, totals 400, unless told otherwise; and what only they referred to, as long."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from typing import Final

from mfa_audit.store.orphans import delete_orphans
from mfa_audit.store.sleep import read_clocks
from mfa_audit.store.totals import DAY_MS, HOUR_MS
from mfa_audit.store.transactions import writing

# A job that failed is waited for up to 40 days (judging/fix_rule.py) in which a recorder ran. Whoever forgets sooner
# that it failed takes it for one that never did.
FEWEST_TOTALS_DAYS: Final = 60

_PAUSE: Final = 3600.0  # seconds between two rounds
_RETRY: Final = 10.0  # seconds
_CLOCK_TRUST: Final = 86_400.0  # seconds that the clock may be set ahead while we run
# Rows a step, which is a transaction of its own: others who write to the file wait for a millisecond.
_STEP: Final = 300

# Imported calls are kept as long as their totals: a capture that is imported again finds each by its import key,
# and adds it to the totals a second time where it does not. A step looks at so many calls, also where it deletes none.
# The call with the highest id stays (orphans.py).
_LOOK_AT_CALLS: Final = (
    "SELECT at, id, import_key IS NULL FROM calls WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"
)
_DELETE_CALL: Final = "DELETE FROM calls WHERE id = ? AND id < (SELECT max(id) FROM calls)"
_DELETE_IMPORTED: Final = (
    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at < ? ORDER BY at LIMIT ?)"
    " AND id < (SELECT max(id) FROM calls)"
)


def _by_id(table: str, column: str) -> str:
    return (
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {column} < ? LIMIT ?)"  # noqa: S608
        f" AND id < (SELECT max(id) FROM {table})"
    )


# What to delete besides calls, and in which unit of time (ms) each table counts.
_DELETE_ALSO: Final = (
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
    (_by_id("not_audited", "hour"), HOUR_MS),
    (_by_id("gaps", "ended"), 1),
    (_by_id("microsoft_principals", "at"), 1),
    (_by_id("microsoft_adoption", "day"), DAY_MS),
    (_by_id("microsoft_requests", "at"), 1),
    (_by_id("sign_ins", "at"), 1),
    (_by_id("fetches", "covered_to"), 1),
)


@dataclass(slots=True)
class Retention:
    """Deletes what is older than it should be, a little at a time. Days of 24 hours."""

    calls_days: int = 90
    totals_days: int = 400
    _began: tuple[float, float] = field(default_factory=read_clocks)
    _next_round: float = 0.0
    _looked_at: int = -(1 << 60)
    _leaves_some: bool = False  # rows were deleted, so that others may have lost their last reference

    def is_due(self) -> bool:
        """Whether `step` has something to do now."""
        return time.monotonic() >= self._next_round

    def step(self, connection: sqlite3.Connection) -> bool:
        """Delete a few rows if a round is due; once nothing is left, an hour passes. Raises sqlite3.Error.

        Returns whether ids that the caller may remember are gone.
        """
        if not self.is_due():
            return False
        self._next_round = time.monotonic() + _RETRY  # should the database refuse
        now = self._now()
        with writing(connection):
            deleted = self._delete_old(connection, now)
        orphans = not deleted and self._leaves_some and delete_orphans(connection, self._oldest_kept(now))
        self._leaves_some = self._leaves_some and (deleted or orphans)
        self._next_round = 0.0 if deleted or orphans else time.monotonic() + _PAUSE
        return orphans

    def _delete_old(self, connection: sqlite3.Connection, now: int) -> bool:
        """Delete a few rows of one table; False at the end of a round."""
        if self._delete_calls(connection, now):
            return True
        for statement, unit in _DELETE_ALSO:
            if connection.execute(statement, [self._oldest_kept(now) // unit, _STEP]).rowcount:
                self._leaves_some = True
                return True
        return False

    def _now(self) -> int:
        """The present time (ms since 1970, UTC), but no clock that was set years ahead for a moment: that would
        make everything old."""
        wall, steady = read_clocks()
        return round(min(wall, self._began[0] + steady - self._began[1] + _CLOCK_TRUST) * 1000)

    def _oldest_kept(self, now: int) -> int:
        return now - self.totals_days * DAY_MS

    def _delete_calls(self, connection: sqlite3.Connection, now: int) -> int:
        """Delete a few old calls; returns how many were looked at, 0 at the end of a round."""
        deleted = connection.execute(_DELETE_IMPORTED, [self._oldest_kept(now), _STEP]).rowcount
        oldest_kept = now - self.calls_days * DAY_MS
        old = connection.execute(_LOOK_AT_CALLS, [self._looked_at, oldest_kept, _STEP]).fetchall()
        connection.executemany(_DELETE_CALL, [(identifier,) for _, identifier, live in old if live])
        # Calls of the same millisecond may go on behind the step; as they all may, the step after a full one that
        # did not get any further passes them.
        last = old[-1][0] if old else 0
        self._looked_at = last + (last == self._looked_at) if len(old) == _STEP else -(1 << 60)
        return deleted + (len(old) if len(old) == _STEP else 0)

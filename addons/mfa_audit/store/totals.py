"""Running totals: what makes a report over millions of calls quick."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from mfa_audit.judging.counts import STORED
from mfa_audit.store.inserts import insert

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

# What becomes of two rows of totals with the same key.
ADD_UP: Final = (
    "".join(f"{name} = {name} + excluded.{name}, " for name in ("calls", *STORED))
    + "first = min(first, excluded.first), last = max(last, excluded.last)"
)
_ADD: Final = f"ON CONFLICT (hour, session_id, client_id, token_id, program_id) DO UPDATE SET {ADD_UP}"
_ADD_OPERATION: Final = (
    "ON CONFLICT (day, session_id, client_id, program_id, operation_id)"
    " DO UPDATE SET calls = calls + excluded.calls"
)
_FLAGS: Final = len(STORED)
_COLUMNS: Final = (
    f"hour, session_id, client_id, token_id, program_id, calls, {', '.join(STORED)}, first, last"
)


class Call(NamedTuple):
    """A call by its ids; `at` in ms since 1970 (UTC), `flags` as in calls.flags."""

    at: int
    client: int
    token: int
    program: int
    operation: int
    flags: int


class Totals:
    """What the calls of one transaction add to the totals of a session, one row for many calls."""

    def __init__(self, session_id: int) -> None:
        self._session_id = session_id
        # (hour, session, client, token, program) -> calls, a count for each flag, first, last
        self._totals: dict[tuple[int, ...], list[int]] = {}
        # (day, session, client, program, operation) -> calls
        self._operations: dict[tuple[int, ...], int] = {}
        self._taken: set[tuple[int, ...]] = set()

    def add(self, call: Call, count: int = 1) -> None:
        """Add a call, or take it back with a `count` of -1."""
        at, client, token, program, operation, flags = call
        key = (at // HOUR_MS, self._session_id, client, token, program)
        sums = self._totals.get(key)
        if sums is None:
            sums = self._totals[key] = [0] * (1 + _FLAGS) + [at, at]
        sums[0] += count
        if flags:
            for bit in range(_FLAGS):
                if flags >> bit & 1:
                    sums[bit + 1] += count
        sums[-2] = min(sums[-2], at)
        sums[-1] = max(sums[-1], at)
        use = (at // DAY_MS, self._session_id, client, program, operation)
        self._operations[use] = self._operations.get(use, 0) + count
        if count < 0:
            self._taken.update((key, use))

    def write(self, connection: sqlite3.Connection) -> None:
        """Add all that was added. Raises sqlite3.Error."""
        totals = [(*key, *sums) for key, sums in self._totals.items()]
        operations = [(*use, count) for use, count in self._operations.items()]
        insert(connection, f"INSERT INTO totals ({_COLUMNS})", totals, _ADD)
        insert(connection, "INSERT INTO operation_totals", operations, _ADD_OPERATION)
        for key in self._taken & self._totals.keys():
            connection.execute(
                "DELETE FROM totals WHERE calls = 0 AND hour = ? AND session_id = ? AND client_id = ?"
                " AND token_id = ? AND program_id = ?",
                key,
            )
        for use in self._taken & self._operations.keys():
            connection.execute(
                "DELETE FROM operation_totals WHERE calls = 0 AND day = ? AND session_id = ? AND client_id = ?"
                " AND program_id = ? AND operation_id = ?",
                use,
            )

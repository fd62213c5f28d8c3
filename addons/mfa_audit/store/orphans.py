"""Rows that nothing refers to any more: the tokens, clients, users and so on of calls that were deleted.

Which ones they are takes a pass over the totals, so that is found out on a connection of its own, apart from the
thread that writes. When they are deleted, a moment later, only what was written meanwhile is looked at again; SQLite's
own check of foreign keys would read all calls for each row.

It rests on two facts of the tables: every call is in the totals, but for those of which the totals are deleted already;
and the highest id of a table is never deleted, so that no id is given twice and what came later has a higher one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mfa_audit.store import schema

# What refers to another goes before that.
_TABLES: Final = ("tokens", "clients", "tools", "users", "programs", "operations", "sessions")
_TOTALS: Final = ("totals", "operation_totals")
# Row ids found at once.
_MOST: Final = 20_000
# Rows of a table that are looked at again though they were there before: a call's program may become known, or a
# client's tool change, a moment after the row was written.
RECENT: Final = 10_000
# Calls that may have lost their totals: mostly none.
_WITHOUT_TOTALS: Final = (
    "at < 3600000 * (SELECT ifnull(min(hour) + 1, 1 << 40) FROM totals)"
    " OR at < 86400000 * (SELECT ifnull(min(day) + 1, 1 << 35) FROM operation_totals)"
)


@dataclass(slots=True)
class Leftovers:
    """Rows of one table that nothing referred to when they were looked for."""

    table: str
    ids: list[int]
    unless: str  # the condition that one is in use again

    def delete_some(self, connection: sqlite3.Connection, most: int) -> None:
        """Delete at most so many in a transaction of its own; what is in use again stays. Raises sqlite3.Error."""
        some = self.ids[-most:]
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            connection.execute(
                f"DELETE FROM {self.table} WHERE id IN (SELECT value FROM json_each(?)){self.unless}",  # noqa: S608
                [json.dumps(some)],
            )
        finally:
            connection.execute("PRAGMA foreign_keys = ON")
        del self.ids[-most:]


def find_leftovers(connection: sqlite3.Connection, oldest_kept: int) -> Leftovers | None:
    """The first table's that has any; sessions only if they gave no sign of life since `oldest_kept` (ms since 1970).

    Reads for some tenths of a second in a large database. Raises sqlite3.Error.
    """
    also_kept = {
        "programs": f" AND id <> {schema.UNKNOWN_PROGRAM_ID}",
        "sessions": f" AND last_beat < {oldest_kept}",
    }
    for table in _TABLES:
        children = _children(connection, table)
        # No new row of totals comes without a call, and the calls themselves are in the totals.
        unless = also_kept.get(table, "") + "".join(
            _free_of(child, column, _recent(connection, child))
            for child, column in children
            if child not in _TOTALS
        )
        unused = "".join(
            _free_of(child, column, _WITHOUT_TOTALS if child == "calls" else "TRUE")
            for child, column in children
        )
        # All at once, as one value: each row fetched would be a turn at Python's interpreter lock.
        (found,) = connection.execute(
            f"SELECT json_group_array(id) FROM (SELECT id FROM {table}"  # noqa: S608
            f" WHERE id < (SELECT max(id) FROM {table})"
            f"{unless}{unused} LIMIT {_MOST})",
        ).fetchone()
        if ids := json.loads(found):
            return Leftovers(table, ids, unless)
    return None


def _children(connection: sqlite3.Connection, table: str) -> Sequence[tuple[str, str]]:
    """The tables and columns that refer to this one."""
    return connection.execute(
        'SELECT child.name, reference."from" FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS'
        " reference WHERE child.type = 'table' AND reference.\"table\" = ?",
        [table],
    ).fetchall()


def _free_of(child: str, column: str, which: str = "TRUE") -> str:
    """The condition that no row of `child`, or none of these, refers to `id`."""
    return f" AND id NOT IN (SELECT {column} FROM {child} WHERE {column} IS NOT NULL AND ({which}))"  # noqa: S608


def _recent(connection: sqlite3.Connection, table: str) -> str:
    (highest,) = connection.execute(f"SELECT ifnull(max(id), 0) FROM {table}").fetchone()  # noqa: S608
    return f"id > {highest - RECENT}"

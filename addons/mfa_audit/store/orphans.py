"""Rows that nothing refers to any more: the tokens, clients, users and so on of calls that were deleted.

That none refers to them rests on a fact of the tables: every call is in the totals, but for those of which the totals
are deleted already. SQLite's own check of foreign keys would read all calls for each row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from mfa_audit.store import schema
from mfa_audit.store.transactions import writing

# What refers to another goes before that.
_TABLES: Final = ("tokens", "clients", "tools", "users", "programs", "operations", "sessions")
# Rows deleted in a transaction: some tenths of a second, in which others who write to the file have to wait.
_MOST: Final = 5_000
# Calls that may have lost their totals: mostly none.
_WITHOUT_TOTALS: Final = (
    "at < 3600000 * (SELECT ifnull(min(hour) + 1, 1 << 40) FROM totals)"
    " OR at < 86400000 * (SELECT ifnull(min(day) + 1, 1 << 35) FROM operation_totals)"
)


def delete_orphans(connection: sqlite3.Connection, oldest_kept: int) -> bool:
    """Delete some in a transaction of its own; False where there are none any more.

    The row with a table's highest id stays, so that no id is given twice, and so do sessions with a sign of life since
    `oldest_kept` (ms since 1970, UTC). Raises sqlite3.Error.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        with writing(connection):
            return any(
                connection.execute(_statement(connection, table, oldest_kept)).rowcount for table in _TABLES
            )
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def _statement(connection: sqlite3.Connection, table: str, oldest_kept: int) -> str:
    also_kept = {
        "programs": f" AND id <> {schema.UNKNOWN_PROGRAM_ID}",
        "sessions": f" AND last_beat < {oldest_kept}",
    }
    unused = "".join(
        f" AND id NOT IN (SELECT {column} FROM {child} WHERE {column} IS NOT NULL"  # noqa: S608
        f"{f' AND ({_WITHOUT_TOTALS})' if child == 'calls' else ''})"
        for child, column in _children(connection, table)
    )
    return (
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table}"  # noqa: S608
        f" WHERE id < (SELECT max(id) FROM {table}){also_kept.get(table, '')}{unused} LIMIT {_MOST})"
    )


def _children(connection: sqlite3.Connection, table: str) -> Sequence[tuple[str, str]]:
    """The tables and columns that refer to this one."""
    return connection.execute(
        'SELECT child.name, reference."from" FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS'
        " reference WHERE child.type = 'table' AND reference.\"table\" = ?",
        [table],
    ).fetchall()

"""What the code must know of the tables, and how an audit database is told from any other file."""

from __future__ import annotations

import sqlite3
from typing import Final

# "mfaa" in the file's header (PRAGMA application_id): tells our file from any other SQLite file.
APPLICATION_ID: Final = 0x6D666161

# How many migrations there are in `migrations.py`; a report that finds this number never loads them.
VERSION: Final = 8
# Where sqlite-utils keeps the names of the migrations that a file has seen, and what ours are called there.
MIGRATIONS_TABLE: Final = "_sqlite_migrations"
MIGRATION_SET: Final = "mfa-audit"

# The program of a call whose process is not known; a row, because NULL in a key is equal to nothing.
UNKNOWN_PROGRAM_ID: Final = 1


def version(db: sqlite3.Connection) -> int:
    """The number of migrations that the file has seen, also those of a newer mfa-audit."""
    table = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [MIGRATIONS_TABLE]).fetchone()
    if table is None:
        return 0
    (count,) = db.execute(
        f"SELECT count(*) FROM {MIGRATIONS_TABLE} WHERE migration_set = ?",  # noqa: S608
        [MIGRATION_SET],
    ).fetchone()
    return int(count)

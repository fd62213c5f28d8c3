"""One transaction, and what an error of SQLite in it means."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction of a connection in autocommit mode; whatever is raised in it, nothing of it stays."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk or an I/O error may have ended it already
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def is_refusal(error: BaseException) -> bool:
    """Whether the database refuses everything now (locked, full, damaged), rather than one row."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is broken or no database at all, so that trying again is useless."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def cause(error: Exception) -> str:
    """What went wrong, in the system's or SQLite's words."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_IOERR_SHM"):
        # The index of SQLite's write-ahead log (sqlite.org/wal.html, "Implementation Of Shared-Memory").
        return "its file system lets programs share no memory, as some network and container folders; use a local disk"
    return str(error)

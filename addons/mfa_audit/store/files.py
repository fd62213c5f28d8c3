"""Opening an audit database: created private, recognised as ours, migrated with a backup beside it.

No file of a database is ever opened here but by SQLite: on POSIX, closing any descriptor of a file drops every
lock that the process holds on it. Another process then takes itself for the last user of the database, removes
the write-ahead log, and what is recorded afterwards goes into a file without a name (tried; "How To Corrupt An
SQLite Database File", 2.2, at sqlite.org).
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

from mfa_audit.errors import AuditError
from mfa_audit.store import schema, transactions
from mfa_audit.store.pending import MovedError, fold_into, lay_over
from mfa_audit.store.sessions import this_account

Synchronous = Literal["NORMAL", "FULL"]
Result = TypeVar("Result")
Identity = tuple[int, int]  # what tells a file from another at the same path: device, file number

_SMALLEST: Final = 512  # bytes of an SQLite database: one page
# What SQLite says of a write-ahead log whose index it can neither find nor make (sqlite.org/wal.html, "Read-Only
# Databases").
_NO_ROOM: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
# Seconds that a writer waits for others.
_PATIENCE: Final = 5
# How often a report begins anew because a journal was moved into the database meanwhile.
_MOVES: Final = 5

# The files that connections of this process are open to for writing.
_written_here: Final[Counter[Identity]] = Counter()


class _WritingConnection(sqlite3.Connection):
    """Tells `read` for as long as it is open that this process writes to the file."""

    written: Identity | None = None

    def close(self) -> None:
        super().close()
        if self.written is not None:
            _written_here[self.written] -= 1
            self.written = None


def create_private(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives -wal and -shm the file's own mode.

    Raises FileExistsError, OSError.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def open_for_writing(path: Path, *, synchronous: Synchronous = "NORMAL") -> sqlite3.Connection:
    """Open the database, creating or migrating it.

    The connection is in autocommit mode, in WAL, with foreign keys on, may be handed to another thread, and
    never checkpoints by itself. Raises AuditError where the file cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            create_private(path)
        _refuse_stub(path)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE, factory=_WritingConnection
        )
        connection.written = identity(path)
        if connection.written is not None:
            _written_here[connection.written] += 1
        try:
            _prepare_patiently(connection, path, synchronous)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from None
    return connection


def unusable(path: Path, error: Exception) -> AuditError:
    """The sentence for a database that cannot be written."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return _foreign(path)
    return AuditError(
        f"cannot write the database {path}: {transactions.cause(error)}. Name another with --db."
    )


def _prepare_patiently(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    """Prepare again when SQLite says "busy" at once, as it does where recorders start or end at the same moment.

    It waits for most locks itself, but not for all of a change to WAL or of the last connection's end
    (sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY In WAL Mode").
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _prepare(connection, path, synchronous)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    version = _require_ours(connection, path, empty_is_ours=True)
    if version < schema.VERSION:
        from mfa_audit.store.migrations import migrate

        if version > 0:
            backup(connection, path.with_name(f"{path.name}.before-v{schema.VERSION}"))
        # Two recorders may start at once: the second waits here for the first, and finds nothing left to do.
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise AuditError(
            f"cannot write the database {path}: SQLite keeps no write-ahead log there. Name another with --db."
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA trusted_schema = OFF")


def read(path: Path, query: Callable[[sqlite3.Connection], Result], *, attach: str | None = None) -> Result:
    """What `query` returns from a read-only connection to the database, which stays as it is on disk.

    Works while recorders write and on read-only media, and leaves no file behind. A file of an older
    mfa-audit is migrated in memory. `query` may make temporary tables and may be called twice. It names tables
    without a schema, so that it sees what journals hold too. `attach`: the URI of another database that it sees as
    `target`. Raises AuditError where the file is missing, foreign, damaged or of a newer mfa-audit.
    """
    if not path.exists():
        raise AuditError(
            f"there is no database {path}, looked at as {this_account()} on {platform.node()}. Record something "
            "first (mfa-audit run -- COMMAND); what another account recorded is in a database of its own, to be "
            "named with --db."
        )
    try:
        _refuse_stub(path)
        if _is_quiet(path) and not _is_written_here(path):
            # Nobody writes, so the file alone is the whole truth. `immutable` keeps SQLite from leaving -wal and
            # -shm behind, which a mere reader of a WAL database otherwise does, and needs no right to write. But
            # it opens the file without SQLite's own care for the locks of this process.
            before = _state(path)
            try:
                result = _query(path, "&immutable=1", query, attach)
            except sqlite3.DatabaseError:
                if _is_quiet(path) and _state(path) == before:
                    raise
            else:
                if _is_quiet(path) and _state(path) == before:
                    return result
        try:
            return _query(path, "", query, attach)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM or _is_quiet(path) or _is_written_here(path):
                raise
            return _query_copy(path, query, attach)
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise _foreign(path) from None
        raise AuditError(f"cannot read the database {path}: {transactions.cause(error)}.") from None


def _query_copy(path: Path, query: Callable[[sqlite3.Connection], Result], attach: str | None) -> Result:
    """The same from a private copy, where SQLite cannot make the index that a write-ahead log is read with."""
    with tempfile.TemporaryDirectory(prefix="mfa-audit-") as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        return _query(path, "", query, attach, file=copy)


def _query(
    path: Path,
    parameters: str,
    query: Callable[[sqlite3.Connection], Result],
    attach: str | None,
    *,
    file: Path | None = None,
) -> Result:
    uri = f"{(file or path).absolute().as_uri()}?mode=ro{parameters}"
    for _ in range(_MOVES):
        with suppress(MovedError):
            return _query_once(path, uri, query, attach)
    raise AuditError(f"{path} changes too quickly to be read. Try again in a moment.")


def _query_once(
    path: Path, uri: str, query: Callable[[sqlite3.Connection], Result], attach: str | None
) -> Result:
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)) as connection:
        version = _require_ours(connection, path, empty_is_ours=False)
        if version == schema.VERSION:
            connection.execute("PRAGMA temp_store = MEMORY")
            if not _is_written_here(path):  # a recorder lives long: SQLite's own 2 MB are enough
                connection.execute("PRAGMA cache_size = -65536")
            if attach is not None:
                connection.execute("ATTACH ? AS target", [attach])
            connection.execute("BEGIN")  # all that is read is of one moment
            lay_over(connection, path)
            return query(connection)
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            connection.backup(copy)
            from mfa_audit.store.migrations import migrate

            migrate(copy)
            fold_into(copy, path)
            if attach is not None:
                copy.execute("ATTACH ? AS target", [attach])
            return query(copy)


def _is_written_here(path: Path) -> bool:
    file = identity(path)
    return file is not None and _written_here[file] > 0


def _is_quiet(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return not (log.exists() and log.stat().st_size)


def _state(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def backup(
    source: sqlite3.Connection, target: Path, complete: Callable[[sqlite3.Connection], None] = lambda _: None
) -> None:
    """Copy the whole database into one new private file, also while others write to it.

    An existing `target` is replaced only when the copy is whole, and `complete` has done with it. Raises OSError,
    sqlite3.Error.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    create_private(part)
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            source.backup(copy)
            complete(copy)
            # One file that any reader can open, also from a read-only place.
            copy.execute("PRAGMA journal_mode = DELETE")
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _foreign(path: Path) -> AuditError:
    return AuditError(f"{path} is not an audit database. Nothing was changed; name another with --db.")


def _refuse_stub(path: Path) -> None:
    """SQLite would take a file of a byte or two for an empty database, and write over it."""
    if 0 < path.stat().st_size < _SMALLEST:
        raise _foreign(path)


def _require_ours(connection: sqlite3.Connection, path: Path, *, empty_is_ours: bool) -> int:
    """The file's schema version. Raises AuditError for a foreign, empty or newer database."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != schema.APPLICATION_ID and (tables or not empty_is_ours):
        raise _foreign(path)
    version = schema.version(connection)
    if version > schema.VERSION:
        raise AuditError(
            f"{path} was written by a newer mfa-audit. Upgrade this one (pip install --upgrade mfa-audit), "
            "or name another database with --db."
        )
    return version


def identity(path: Path) -> Identity | None:
    """The identity of the file at `path`, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def warn_if_shared(path: Path, warn: Callable[[str], None], platform: str = sys.platform) -> None:
    """On Windows a new file takes its folder's permissions: say so where that is not the user's own folder."""
    if platform == "win32" and Path.home() not in path.absolute().parents:
        warn(f"{path} lies outside your profile folder: check who can read that folder.")


def stamp() -> str:
    """The present time (UTC) for a file's name."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")

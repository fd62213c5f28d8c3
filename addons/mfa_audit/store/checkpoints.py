"""Moving a write-ahead log into its file, apart from the thread that writes, since it waits for the disk."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.store import files

# Bytes of a log that is worth the trouble, and of one that has to be ended.
_LONG: Final = 4_000_000
_TOO_LONG: Final = 16_000_000
# Pages that may be left to move when a log is ended, while writers wait; and seconds that readers are waited for.
_FEW: Final = 1_000
_PATIENCE: Final = 0.02


class Checkpointer:
    """A connection to one file for this alone.

    It is never opened anew by its path: SQLite takes the log that lies beside a file for that file's own, and would
    move our log into a file that has taken the place of ours.
    """

    def __init__(self, path: Path, file: files.Identity | None) -> None:
        """Connect to `path` if it is still this file. Raises AuditError, sqlite3.Error."""
        self.file = file
        self._log = path.with_name(path.name + "-wal")
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)
        try:
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
            if file is None or files.identity(path) != file:
                raise AuditError(f"{path} is another file by now.")
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Move a log of more than 4 MB into the file.

        That waits for nobody, but as long as others write it may never come to the log's end, and the log grows. So one
        of more than 16 MB is then ended, for which writers wait some milliseconds. Raises OSError, sqlite3.Error.
        """
        size = self._log.stat().st_size
        if size > _LONG:
            _, pages, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # More are left where a long reader was in the way: then another time.
            if size > _TOO_LONG and pages - moved < _FEW:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

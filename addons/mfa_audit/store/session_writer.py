"""One session's rows in one database file, and where they go on when that file is taken away.

SQLite goes on writing into a file that no longer has a name, without a word, and the open connection can still
read all of it. So a deleted file comes back whole, and what was in a replaced one is saved beside it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mfa_audit.errors import AuditError
from mfa_audit.judging.observations import Observation
from mfa_audit.store import files
from mfa_audit.store.folding import Folding
from mfa_audit.store.retention import Retention
from mfa_audit.store.rows import Rows, rejudge
from mfa_audit.store.sessions import Session
from mfa_audit.store.transactions import writing

Note = Callable[[Rows], None]

_BUSY_MS = 250  # a lock is waited for in the keeper's thread, and not for longer than a stop may take


class Recording:
    """An open database file with the session's row in it. Belongs to one thread at a time."""

    def __init__(
        self,
        path: Path,
        session: Session,
        synchronous: files.Synchronous,
        *,
        home: Path | None = None,
    ) -> None:
        """Open `path` (made when missing) and insert the session. Raises AuditError.

        `home`: the database beside which the session's journal lies, if that is another one.
        """
        self.path = path
        self.home = home or path
        self.session = session
        self.lost = 0  # as last signed
        self._synchronous = synchronous
        self._written = 0
        connection = files.open_for_writing(path, synchronous=synchronous)
        try:
            with writing(connection):
                rejudge(connection)
                self._session_id = session.insert(connection)
        except sqlite3.Error as error:
            connection.close()
            raise files.unusable(path, error) from None
        self.folding = Folding(connection, self.home, session.uuid)
        self._use(connection)

    def _use(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA wal_autocheckpoint = 1000")
        self.connection = connection
        self.rows = Rows(connection, self._session_id)
        self.folding.use(connection)
        self.file = files.identity(self.path)  # what is written to
        self._log = files.identity(self._beside("-wal"))

    @property
    def calls(self) -> int:
        """How many calls of the session are in the file."""
        return self._written + self.folding.calls

    def transact(self, observations: Sequence[Observation], notes: Sequence[Note]) -> None:
        """Write these in one transaction. Raises whatever went wrong, with nothing written."""
        try:
            with writing(self.connection):
                if observations:
                    self.rows.add(observations)
                for note in notes:
                    note(self.rows)
        except BaseException:
            self.rows.forget()
            raise
        self._written += len(observations)

    def sign(self, how: str | None, *, lost: int, late: int, programs_denied: int) -> None:
        """Give a sign of life; or, with `how`, end the session. Raises sqlite3.Error."""
        now = round(time.time() * 1000)
        self.connection.execute(
            "UPDATE sessions SET last_beat = ?, ended = ?, ended_how = ?, lost = max(lost, ?), late = ?,"
            " programs_denied = ?, folded = folded + ? WHERE id = ?",
            [
                now,
                None if how is None else now,
                how,
                lost,
                late,
                programs_denied,
                self.rows.folded,
                self._session_id,
            ],
        )
        self.rows.folded = 0
        self.lost = lost

    def delete_old(self, retention: Retention) -> None:
        """Take the next step of retention, if one is due. Raises sqlite3.Error."""
        if retention.step(self.connection):
            self.forget()

    def forget(self) -> None:
        """Forget remembered ids, whose rows may be gone."""
        self.rows.forget()
        if self.folding.rows is not None:
            self.folding.rows.forget()

    def close(self) -> None:
        """Leave one file without a log behind, unless others still use it."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    # -- when the file is taken away --------------------------------------------------------------------------

    def is_in_place(self) -> bool:
        """Whether the path still names the file that is written to."""
        if files.identity(self.path) != self.file:
            return False
        self._log = files.identity(self._beside("-wal"))
        return True

    def is_deleted(self) -> bool:
        """Whether nothing is at the path any more."""
        return files.identity(self.path) is None

    def restore(self) -> None:
        """Write a deleted file anew from the open connection, and go on in it.

        Raises OSError, sqlite3.Error, AuditError; the open connection then stays.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A write-ahead log left behind by the deleted file would be taken for the new one's.
        for suffix in ("-wal", "-shm"):
            self._beside(suffix).unlink(missing_ok=True)
        old = self.connection
        files.backup(old, self.path)
        self._use(files.open_for_writing(self.path, synchronous=self._synchronous))
        old.close()

    def leave(self, session: Session) -> Recording:
        """Leave the path to the file that took our place, with all that we wrote saved beside it.

        Returns where to go on as `session`: in that file if it is an audit database, else in the saved one. In that
        file our present session is entered with what of it is missing there. Raises OSError, sqlite3.Error.
        """
        saved = self._name_beside()
        now = round(time.time() * 1000)
        self.connection.execute(
            "UPDATE sessions SET last_beat = ?, ended = ?, ended_how = 'stopped' WHERE id = ?",
            [now, now, self._session_id],
        )
        files.backup(self.connection, saved)
        if self._log is not None and files.identity(self._beside("-wal")) == self._log:
            # SQLite would take our log, which lies where the new file's belongs, for the new file's.
            for suffix in ("-wal", "-shm"):
                self._beside(suffix).unlink(missing_ok=True)
        path, self.path = self.path, saved
        self.folding.close()
        try:
            successor = Recording(path, session, self._synchronous)
        except AuditError:
            successor = Recording(saved, session, self._synchronous, home=path)
        else:
            successor.enter_missing(self.session, self.calls)
        self.connection.close()
        return successor

    def begin_anew(self) -> Recording:
        """A new file beside one that is damaged, which stays as it is. Raises AuditError.

        What of the session is still in its journal is in the new file too.
        """
        successor = Recording(self._name_beside(), self.session, self._synchronous, home=self.home)
        self.folding.close()
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
        return successor

    def enter_missing(self, session: Session, calls: int) -> None:
        """Say in this file that `session`, of which `calls` were written elsewhere, is not or not wholly here."""
        connection = self.connection
        now = round(time.time() * 1000)
        with writing(connection):
            found = connection.execute("SELECT id FROM sessions WHERE uuid = ?", [session.uuid]).fetchone()
            identifier = found[0] if found else session.insert(connection)
            (here,) = connection.execute(
                "SELECT ifnull(sum(calls), 0) FROM totals WHERE session_id = ?", [identifier]
            ).fetchone()
            connection.execute(
                "UPDATE sessions SET ended = ?, ended_how = 'stopped', lost = lost + ? WHERE id = ?",
                [now, max(0, calls - here), identifier],
            )

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _name_beside(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.recovered-{files.stamp()}{self.path.suffix}")


def insert_gap(rows: Rows, *, started: float, ended: float, reason: str, lost: int) -> None:
    """A Note: a time in which the recorder slept or lost rows. Times in seconds since 1970 (UTC)."""
    rows.connection.execute(
        "INSERT INTO gaps (session_id, started, ended, reason, lost) VALUES (?, ?, ?, ?, ?)",
        [rows.session_id, round(started * 1000), round(ended * 1000), reason, lost],
    )

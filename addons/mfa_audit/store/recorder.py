"""Recording without ever holding up a call: an answered call is on disk, or it is counted as lost.

`record` hands an Observation to a writer thread and returns something to await. The thread writes all that has
come in since its last commit in one transaction, so at load one commit serves many calls. A call waits for its
commit for at most 20 ms. One miss means that the recorder is *behind* (a locked database, a full disk, a slow
one): from then on nobody waits, rows queue in bounded memory and are tried again until they are written; only
what the queue cannot hold is lost, and that is counted, logged once, and stored as a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from mfa_audit.judging.observations import Observation
from mfa_audit.store import files
from mfa_audit.store.retention import Retention
from mfa_audit.store.rows import Rows, rejudge
from mfa_audit.store.sessions import BEAT, Session
from mfa_audit.store.sleep import find_sleep, read_clocks

logger = logging.getLogger("mfa_audit")

PATIENCE: Final = 0.020  # seconds that a call waits for its commit
QUEUE_LIMIT: Final = 100_000  # rows; an Observation of a known client and token takes some 600 bytes
_RETRY: Final = 0.25  # seconds between tries while the database refuses
_CHUNK: Final = 1_000  # rows a transaction, so that catching up does not lock others out
# A commit costs as much as eight rows. Where calls come several at a time, the next ones are given this many
# seconds to join; a lone call is never kept waiting for company.
_GATHER: Final = 0.002
_CHECKPOINT: Final = 1.0  # seconds between looks at the write-ahead log

Row = Callable[[Rows], None]


class _Batch:
    """Rows that came in since the last commit, and the event their calls wait for."""

    __slots__ = ("observations", "patience", "saved")

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.saved: asyncio.Event | None = None
        self.patience: asyncio.TimerHandle | None = None


class Recorder:
    """Writes one session. Made and closed anywhere; `record` and `note` belong to one event loop's thread."""

    def __init__(
        self,
        path: Path,
        session: Session,
        *,
        synchronous: files.Synchronous = "NORMAL",
        retention: Retention | None = None,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        """Open `path` (made when missing) and start the session. Raises AuditError."""
        self.path = path
        self.session = session
        self.late = 0
        self.programs_denied = 0
        self._synchronous = synchronous
        self._retention = retention or Retention()
        self._queue_limit = queue_limit
        self._batch = _Batch()
        self._notes: deque[Row] = deque()
        self._pending: deque[Observation] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing: str | None = None
        self._overflowed = 0  # lost by the loop's thread
        self._unstorable = 0  # lost by the writer's thread
        self._behind_since: float | None = None
        self._lost_before = 0
        self._company = False
        self._trouble: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open()
        self._deadline = float("inf")
        self._writer = threading.Thread(target=self._write_until_closed, name="mfa-audit-writer", daemon=True)
        self._writer.start()
        self._keeper = threading.Thread(
            target=self._checkpoint_until_closed, name="mfa-audit-keeper", daemon=True
        )
        self._closed = threading.Event()
        self._keeper.start()

    # -- on the event loop ------------------------------------------------------------------------------------

    @property
    def lost(self) -> int:
        """How many calls and notes could not be kept."""
        return self._overflowed + self._unstorable

    @property
    def behind(self) -> bool:
        """Whether rows wait in memory because the database does not take them."""
        return self._behind_since is not None

    def record(self, observation: Observation) -> asyncio.Event | None:
        """Take one call. The event is set once the call is on disk, or after 20 ms; None: do not wait."""
        with self._lock:
            batch = self._batch
            waiting = len(self._pending) + len(batch.observations)
            if waiting >= self._queue_limit:
                self._overflowed += 1
                return None
            batch.observations.append(observation)
        if len(batch.observations) == 1:
            self._wake.set()
        if self._behind_since is not None:
            return None
        if batch.saved is None:
            loop = self._loop = asyncio.get_running_loop()
            batch.saved = asyncio.Event()
            batch.patience = loop.call_later(PATIENCE, self._fall_behind, batch.saved)
        return batch.saved

    def note_not_audited(
        self, at: float, host: str, user_agent: str | None, program: str | None, reason: str
    ) -> None:
        """Take one connection that could not be read. `at` in seconds since 1970 (UTC)."""
        self._note(
            partial(
                Rows.add_not_audited, at=at, host=host, user_agent=user_agent, program=program, reason=reason
            )
        )

    def name_program(self, observation: Observation, program: str) -> None:
        """Say which program made a call that was recorded before that was known."""
        self._note(partial(Rows.name_program, seen=observation, name=program))

    def _note(self, row: Row) -> None:
        if len(self._notes) < self._queue_limit:
            self._notes.append(row)
            self._wake.set()
        else:
            self._overflowed += 1

    def count_failure(self) -> None:
        """Count a call that never became a row, for a bug of ours."""
        self._overflowed += 1

    def close(self, how: str = "stopped", *, patience: float = 5.0) -> None:
        """Write what is left, end the session with `how` (stopped or unloaded), and close the file.

        Blocks for `patience` seconds at most; what cannot be written by then is added to `lost`.
        """
        if self._closing is not None:
            return
        self._deadline = time.monotonic() + patience
        self._closing = how
        self._closed.set()
        self._wake.set()
        self._writer.join(patience + 1)
        self._keeper.join(1)

    def _fall_behind(self, saved: asyncio.Event) -> None:
        if saved.is_set():
            return
        saved.set()
        if self._behind_since is None:
            self._behind_since = time.time()
            self._lost_before = self.lost
            self._wake.set()  # the commit may have ended in this very moment: let the writer look

    def _release(self, batch: _Batch) -> None:
        if batch.patience is not None:
            batch.patience.cancel()
        if batch.saved is not None:
            batch.saved.set()

    def _catch_up(self) -> None:
        since, self._behind_since = self._behind_since, None
        if since is not None and self.lost > self._lost_before:
            lost = self.lost - self._lost_before
            self._notes.append(
                partial(_insert_gap, started=since, ended=time.time(), reason="behind", lost=lost)
            )
            self._wake.set()

    # -- in the writer thread ---------------------------------------------------------------------------------

    def _open(self) -> None:
        self._connection = files.open_for_writing(self.path, synchronous=self._synchronous)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            rejudge(self._connection)
            self._session_id = self.session.insert(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._connection.close()
            raise files.unusable(self.path, error) from None
        # A lock is waited for here, in the writer's thread, and never on the event loop.
        self._connection.execute("PRAGMA busy_timeout = 250")
        self._rows = Rows(self._connection, self._session_id)
        self._file = files.identity(self.path)

    def _write_until_closed(self) -> None:
        self._next_beat = time.monotonic() + BEAT
        while self._closing is None or not (self._is_empty() or time.monotonic() > self._deadline):
            try:
                self._turn()
            except Exception as error:  # whatever it is, the thread must live: rows wait in memory meanwhile
                self._say(f"recording met an unexpected {type(error).__name__} and tries again")
                time.sleep(_RETRY)
        self._end()

    def _turn(self) -> None:
        """Wait for rows, write them, and see to the session's sign of life and to old rows."""
        if self._pending:
            timeout = _RETRY
        elif self._retention.is_due():
            timeout = 0.0
        else:
            timeout = max(0.0, self._next_beat - time.monotonic())
        before = read_clocks()
        self._wake.wait(timeout)
        self._wake.clear()
        slept = find_sleep(before, timeout)
        if slept is not None:
            self._notes.append(partial(_insert_gap, started=slept[0], ended=slept[1], reason="slept", lost=0))
        try:
            self._write()
            if slept is not None or time.monotonic() >= self._next_beat:
                self._next_beat = time.monotonic() + BEAT
                self._follow_file()
                self._update_session(None)
            if not self._pending:
                self._retention.step(self._connection)
        except (OSError, sqlite3.Error) as error:
            self._say(f"the database {self.path} takes no rows ({error}); calls go on and wait in memory")

    def _is_empty(self) -> bool:
        with self._lock:
            return not (self._pending or self._notes or self._batch.observations)

    def _write(self) -> None:
        """Write all that has come in. Raises sqlite3.Error; the rows then stay pending, in order."""
        if self._company and self._closing is None:
            time.sleep(_GATHER)
        with self._lock:
            batch, self._batch = self._batch, _Batch()
            self._company = len(batch.observations) > 1
            self._pending.extend(batch.observations)
        while self._pending or self._notes:
            self._write_chunk()
        self._took_all(batch)

    def _write_chunk(self) -> None:
        chunk = [self._pending[number] for number in range(min(_CHUNK, len(self._pending)))]
        notes = list(self._notes)
        try:
            self._transact(chunk, notes)
        except Exception as error:
            if _is_refusal(error):
                raise
            # A value that SQLite or we cannot take must not stop all that come after it.
            self._write_one_by_one(chunk, notes)
        for _ in notes:
            self._notes.popleft()
        with self._lock:
            for _ in chunk:
                self._pending.popleft()
        if self.behind:
            self.late += len(chunk)

    def _write_one_by_one(self, chunk: list[Observation], notes: list[Row]) -> None:
        for observations, some_notes in [([one], []) for one in chunk] + [([], [one]) for one in notes]:
            try:
                self._transact(observations, some_notes)
            except Exception as error:
                if _is_refusal(error):
                    raise
                self._unstorable += 1
                self._say(f"a call could not be stored ({type(error).__name__}); it is counted as lost")

    def _transact(self, observations: list[Observation], notes: list[Row]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            if observations:
                self._rows.add(observations)
            for note in notes:
                note(self._rows)
            connection.execute("COMMIT")
        except BaseException:
            self._rows.forget()
            # A full disk or an I/O error may have ended the transaction already.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _took_all(self, batch: _Batch) -> None:
        if self._trouble is not None:
            self._trouble = None
            logger.warning("mfa-audit: recording goes on; %d rows were late, %d lost.", self.late, self.lost)
        if self._loop is not None and (batch.saved is not None or self.behind):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._release, batch)
                if self.behind:
                    self._loop.call_soon_threadsafe(self._catch_up)

    def _say(self, trouble: str) -> None:
        """Log a trouble once, until it is over."""
        if self._trouble is None:
            logger.warning("mfa-audit: %s.", trouble)
        self._trouble = trouble

    def _update_session(self, how: str | None) -> None:
        now = round(time.time() * 1000)
        self._connection.execute(
            "UPDATE sessions SET last_beat = ?, ended = ?, ended_how = ?, lost = ?, late = ?,"
            " programs_denied = ?, folded = ? WHERE id = ?",
            [
                now,
                None if how is None else now,
                how,
                self.lost,
                self.late,
                self.programs_denied,
                self._rows.folded,
                self._session_id,
            ],
        )

    def _follow_file(self) -> None:
        """Notice that the file was deleted or replaced under us, and carry on.

        SQLite goes on writing into the file that no longer has a name, without a word; the open connection can
        still read all of it. A deleted file comes back whole. Beside a foreign file that took its place our rows
        are saved under another name, and recording goes on in the new file if it is an audit database.
        """
        found = files.identity(self.path)
        if found == self._file:
            return
        old = self._connection
        if found is None:
            self._remove_log()
            files.backup(old, self.path)
            self._say(f"the database {self.path} was deleted; it was written anew from memory")
            saved = self.path
        else:
            saved = self.path.with_name(f"{self.path.stem}.recovered-{files.stamp()}{self.path.suffix}")
            files.backup(old, saved)
            self._say(f"the database {self.path} was replaced; what was recorded before is in {saved}")
        self._file = found
        connection = files.open_for_writing(self.path, synchronous=self._synchronous)
        connection.execute("PRAGMA busy_timeout = 250")
        if found is not None:
            self._session_id = self._continue_session(connection)
        self._connection = connection
        self._rows = Rows(connection, self._session_id)
        self._file = files.identity(self.path)
        old.close()

    def _continue_session(self, connection: sqlite3.Connection) -> int:
        known = connection.execute("SELECT id FROM sessions WHERE uuid = ?", [self.session.uuid]).fetchone()
        return int(known[0]) if known else self.session.insert(connection)

    def _remove_log(self) -> None:
        """A write-ahead log left behind by a deleted file would be taken for the new file's."""
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _end(self) -> None:
        self._unstorable += len(self._pending) + len(self._batch.observations)
        try:
            if self._pending:
                _insert_gap(
                    self._rows,
                    started=self._behind_since or time.time(),
                    ended=time.time(),
                    reason="behind",
                    lost=len(self._pending),
                )
            self._update_session(self._closing)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._say(f"the database {self.path} takes no rows ({error}); {self.lost} calls are lost")
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    # -- in the keeper thread ---------------------------------------------------------------------------------

    def _checkpoint_until_closed(self) -> None:
        """Move the write-ahead log into the file, apart from the writer, since that waits for the disk."""
        log = self.path.with_name(self.path.name + "-wal")
        uri = f"{self.path.absolute().as_uri()}?mode=rw"  # never makes a file
        while not self._closed.wait(_CHECKPOINT):
            try:
                if log.stat().st_size > 4_000_000:
                    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
                        connection.execute("PRAGMA wal_autocheckpoint = 0")
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except (OSError, sqlite3.Error):
                continue  # the writer meets the same trouble and says so


def _is_refusal(error: Exception) -> bool:
    """Whether the database refuses everything now (locked, full, damaged), rather than this one row."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _insert_gap(rows: Rows, *, started: float, ended: float, reason: str, lost: int) -> None:
    rows.connection.execute(
        "INSERT INTO gaps (session_id, started, ended, reason, lost) VALUES (?, ?, ?, ?, ?)",
        [rows.session_id, round(started * 1000), round(ended * 1000), reason, lost],
    )

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
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.store import files
from mfa_audit.store.checkpoints import Checkpointer
from mfa_audit.store.retention import Retention
from mfa_audit.store.rows import Rows
from mfa_audit.store.session_writer import Note, Recording, insert_gap
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
_KEEP: Final = 1.0  # seconds between looks at the write-ahead log


class Recorded(NamedTuple):
    """A file that was written to, the session's UUID in it, and how many calls it was given."""

    path: Path
    uuid: str
    calls: int


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
        self.late = 0
        self.programs_denied = 0
        self._retention = retention or Retention()
        self._queue_limit = queue_limit
        self._recordings = [Recording(path, session, synchronous)]
        self._batch = _Batch()
        self._notes: deque[Note] = deque()
        self._pending: deque[Observation] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing: str | None = None
        self._deadline = float("inf")
        self._next_beat = time.monotonic() + BEAT
        self._overflowed = 0  # lost by the loop's thread
        self._unstorable = 0  # lost by the writer's thread
        self._behind_since: float | None = None
        self._lost_before = 0
        self._company = False
        self._trouble: str | None = None
        self._said_unstorable = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._writer = threading.Thread(target=self._write_until_closed, name="mfa-audit-writer", daemon=True)
        self._keeper = threading.Thread(target=self._keep_until_closed, name="mfa-audit-keeper", daemon=True)
        self._writer.start()
        self._keeper.start()

    @property
    def recordings(self) -> list[Recorded]:
        """Where the rows are: in one file, unless that was taken away."""
        return [Recorded(one.path, one.session.uuid, one.calls) for one in self._recordings]

    @property
    def path(self) -> Path:
        """The file that is written to now."""
        return self._recordings[-1].path

    @property
    def session(self) -> Session:
        """The session as which it began."""
        return self._recordings[0].session

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
            if len(self._pending) + len(batch.observations) >= self._queue_limit:
                self._overflowed += 1
                return None
            batch.observations.append(observation)
            is_first = len(batch.observations) == 1
            if self._behind_since is None and batch.saved is None and self._has_loop():
                batch.saved = asyncio.Event()
                assert self._loop is not None  # noqa: S101 - _has_loop set it
                batch.patience = self._loop.call_later(PATIENCE, self._fall_behind, batch.saved)
        if is_first:
            self._wake.set()
        return batch.saved if self._behind_since is None else None

    def _has_loop(self) -> bool:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody who could wait
            return False
        return True

    def note_not_audited(
        self, at: float, host: str, user_agent: str | None, program: Program | None, reason: str
    ) -> None:
        """Take one connection that could not be read. `at` in seconds since 1970 (UTC)."""
        self._note(
            partial(
                Rows.add_not_audited, at=at, host=host, user_agent=user_agent, program=program, reason=reason
            )
        )

    def name_program(self, observation: Observation, program: Program) -> None:
        """Say which program made a call that was recorded before that was known."""
        self._note(partial(Rows.name_program, seen=observation, program=program))

    def _note(self, row: Note) -> None:
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
        with self._lock:
            if self._behind_since is None:
                self._behind_since = time.time()
                self._lost_before = self.lost
        self._wake.set()  # the commit may have ended in this very moment: let the writer look

    def _release(self, batch: _Batch) -> None:
        if batch.patience is not None:
            batch.patience.cancel()
        if batch.saved is not None:
            batch.saved.set()

    # -- in the writer thread ---------------------------------------------------------------------------------

    def _write_until_closed(self) -> None:
        while self._closing is None or not (self._is_empty() or time.monotonic() > self._deadline):
            try:
                self._turn()
            except Exception as error:  # whatever it is, the thread must live: rows wait in memory meanwhile
                self._say(f"recording met an unexpected {type(error).__name__} and tries again")
                time.sleep(_RETRY)
        self._end()

    def _turn(self) -> None:
        """Wait for rows, write them, and see to the session's sign of life and to old rows."""
        if self._retention.is_due() and self._trouble is None:
            timeout = 0.0
        elif self._pending or self._notes or self._closing is not None:
            timeout = _RETRY
        else:
            timeout = max(0.0, self._next_beat - time.monotonic())
        before = read_clocks()
        self._wake.wait(timeout)
        self._wake.clear()
        slept = find_sleep(before, timeout)
        if slept is not None:
            self._notes.append(partial(insert_gap, started=slept[0], ended=slept[1], reason="slept", lost=0))
        beats = slept is not None or time.monotonic() >= self._next_beat
        try:
            if beats:
                self._next_beat = time.monotonic() + BEAT
                self._follow_file()
            wrote = self._write()
            if beats:
                self._sign(None)
            if not self._pending:
                self._recordings[-1].delete_old(self._retention)
            if self._trouble is not None and (wrote or beats):
                self._trouble = None
                logger.warning(
                    "mfa-audit: recording goes on; %d rows were late, %d lost.", self.late, self.lost
                )
        except (OSError, sqlite3.Error) as error:
            if files.is_damage(error):
                self._leave_damaged()
            else:
                self._say(f"the database {self.path} takes no rows ({error}); calls go on and wait in memory")

    def _is_empty(self) -> bool:
        with self._lock:
            return not (self._pending or self._notes or self._batch.observations)

    def _write(self) -> bool:
        """Write all that has come in, if anything. Raises sqlite3.Error; the rows then stay pending, in order."""
        if self._company and self._closing is None:
            time.sleep(_GATHER)
        with self._lock:
            batch, self._batch = self._batch, _Batch()
            self._company = len(batch.observations) > 1
            self._pending.extend(batch.observations)
        anything = bool(self._pending or self._notes)
        while self._pending or self._notes:
            self._write_chunk()
        self._took_all(batch)
        return anything

    def _write_chunk(self) -> None:
        chunk = list(islice(self._pending, _CHUNK))
        # What is noted about calls comes after them.
        notes = list(islice(self._notes, _CHUNK)) if len(self._pending) <= _CHUNK else []
        try:
            self._recordings[-1].transact(chunk, notes)
        except Exception as error:
            if files.is_refusal(error):
                raise
            # A value that SQLite or we cannot take must not stop all that come after it.
            self._write_one_by_one(len(chunk), len(notes))
        else:
            self._drop(len(chunk), len(notes))

    def _write_one_by_one(self, calls: int, notes: int) -> None:
        for number in range(calls + notes):
            call = [self._pending[0]] if number < calls else []
            note = [] if number < calls else [self._notes[0]]
            try:
                self._recordings[-1].transact(call, note)
            except Exception as error:
                if files.is_refusal(error):
                    raise
                self._unstorable += 1
                if not self._said_unstorable:
                    self._said_unstorable = True
                    logger.warning(
                        "mfa-audit: a call could not be stored (%s); such calls are counted as lost.",
                        type(error).__name__,
                    )
            self._drop(len(call), len(note))

    def _drop(self, calls: int, notes: int) -> None:
        """These are written, or lost."""
        for _ in range(notes):
            self._notes.popleft()
        with self._lock:
            for _ in range(calls):
                self._pending.popleft()
        if self.behind:
            self.late += calls

    def _took_all(self, batch: _Batch) -> None:
        if self._loop is not None and batch.saved is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._release, batch)
        with self._lock:
            since, self._behind_since = self._behind_since, None
            if since is not None:  # what came in since has not been waited for either
                self.late += len(self._batch.observations)
            lost = self.lost - self._lost_before
        if since is not None and lost:
            self._note_loss(since, lost)
            self._wake.set()

    def _note_loss(self, since: float, lost: int) -> None:
        self._notes.append(partial(insert_gap, started=since, ended=time.time(), reason="behind", lost=lost))

    def _say(self, trouble: str) -> None:
        """Log a trouble once, until it is over."""
        if self._trouble is None:
            logger.warning("mfa-audit: %s.", trouble)
        self._trouble = trouble

    def _sign(self, how: str | None) -> None:
        elsewhere = sum(one.lost for one in self._recordings[:-1])
        self._recordings[-1].sign(
            how, lost=self.lost - elsewhere, late=self.late, programs_denied=self.programs_denied
        )

    def _follow_file(self) -> None:
        """Notice that the file was deleted or replaced under us, and carry on."""
        recording = self._recordings[-1]
        if recording.is_in_place():
            return
        if recording.is_deleted():
            recording.restore()
            logger.warning("mfa-audit: the database %s was deleted; it was written anew.", recording.path)
            return
        path = recording.path
        self._go_on_in(recording.leave())
        logger.warning(
            "mfa-audit: the database %s was replaced; what was recorded before is in %s, recording goes on in %s.",
            path,
            recording.path,
            self.path,
        )

    def _leave_damaged(self) -> None:
        path = self.path
        self._go_on_in(self._recordings[-1].begin_anew())
        logger.warning("mfa-audit: the database %s is damaged; recording goes on in %s.", path, self.path)

    def _go_on_in(self, recording: Recording) -> None:
        if recording is not self._recordings[-1]:
            self._recordings.append(recording)

    def _end(self) -> None:
        recording = self._recordings[-1]
        with self._lock:
            waiting = len(self._pending) + len(self._batch.observations) + len(self._notes)
            since = self._behind_since or time.time()
            lost = waiting + (self.lost - self._lost_before if self.behind else 0)
            self._unstorable += waiting
        try:
            if lost:
                recording.transact(
                    [], [partial(insert_gap, started=since, ended=time.time(), reason="behind", lost=lost)]
                )
            self._sign(self._closing)
        except sqlite3.Error as error:
            self._say(f"the database {self.path} takes no rows ({error}); {self.lost} calls are lost")
        self._keeper.join(1)  # so that ours is the last connection, which takes the log away
        recording.close()

    # -- in the keeper thread ---------------------------------------------------------------------------------

    def _keep_until_closed(self) -> None:
        """What takes time, apart from the writer: move the write-ahead log into the file, look for leftovers."""
        checkpointer: Checkpointer | None = None
        while not self._closed.wait(_KEEP):
            recording = self._recordings[-1]
            # The writer meets the same trouble and says so.
            with contextlib.suppress(OSError, sqlite3.Error, AuditError):
                if checkpointer is None or checkpointer.file != recording.file:
                    if checkpointer is not None:
                        checkpointer.close()
                    checkpointer = None
                    checkpointer = Checkpointer(recording.path, recording.file)
                checkpointer.run()
                self._retention.look_for_leftovers(recording.path)
        if checkpointer is not None:
            checkpointer.close()

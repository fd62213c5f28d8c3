"""Recording without holding up a call: what was answered is in the session's journal, and on its way to the database.

`record` costs one write to a file of our own. A thread moves the journal into the database four times a second; while
that is locked, full, damaged or gone, the journal grows instead. Only while the journal itself cannot be written do
entries wait in bounded memory; what that cannot hold is lost, and is counted, logged once, and stored as a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.store import files, transactions
from mfa_audit.store.folding import fold_left
from mfa_audit.store.journal import WAITING_LIMIT, Journal, choose_folder
from mfa_audit.store.records import Ended, Unread
from mfa_audit.store.retention import Retention
from mfa_audit.store.session_writer import Note, Recording, insert_gap
from mfa_audit.store.sessions import BEAT, Session
from mfa_audit.store.sleep import find_sleep, read_clocks

logger = logging.getLogger("mfa_audit")

_TICK: Final = 0.25  # seconds between two looks at the journal
_MOMENT: Final = 0.05  # seconds; a write that has begun is over by then


class Recorded(NamedTuple):
    """A file that was written to, the session's UUID in it, and how many calls it was given."""

    path: Path
    uuid: str
    calls: int


class Key(NamedTuple):
    """What tells a call that was recorded from all others."""

    journal: Journal
    number: int


class Recorder:
    """Writes one session. Made and closed anywhere; `record` and the like belong to one event loop's thread."""

    def __init__(
        self,
        path: Path,
        session: Session,
        *,
        synchronous: files.Synchronous = "NORMAL",
        retention: Retention | None = None,
        queue_limit: int = WAITING_LIMIT,
    ) -> None:
        """Open `path` (made when missing) and start the session. Raises AuditError."""
        self.programs_denied = 0
        self.earliest = session.started  # of all that was recorded; seconds since 1970 (UTC)
        self._durable = synchronous == "FULL"
        self._retention = retention or Retention()
        self._queue_limit = queue_limit
        self._recordings = [Recording(path, session, synchronous)]
        try:
            self._journal = self._begin_journal(path, session)
            self._recordings[0].folding.step()  # has the journal open from now on, wherever its name goes
        except OSError as error:
            self._recordings[0].close()
            raise AuditError(f"cannot write the journal of {path}: {transactions.cause(error)}.") from None
        self._journals = [self._journal]
        self._folded = 0  # bytes of the journal that were looked at
        self._failures = 0
        self._notes: list[Note] = []  # of the keeper's own
        self._closing: str | None = None
        self._deadline = float("inf")
        self._next_beat = time.monotonic() + BEAT
        self._waiting_since: float | None = None
        self._noted_lost = 0
        self._trouble: str | None = None
        self._said_unstorable = False
        self._others_folded = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Event()
        self._keeper = threading.Thread(target=self._keep_until_closed, name="mfa-audit-keeper", daemon=True)
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

    @property
    def lost(self) -> int:
        """How many calls and notes could not be kept."""
        missing = sum(one.folding.missing for one in self._recordings)
        return self._failures + len(self._unstorable) + missing + sum(one.lost for one in self._journals)

    @property
    def _unstorable(self) -> list[str]:
        """Why calls found no place in a record or a row."""
        places = [one.folding for one in self._recordings] + self._journals
        return [why for place in places for why in place.unstorable]

    @property
    def late(self) -> int:
        """How many calls had to wait in memory, since the journal could not be written."""
        return sum(one.late for one in self._journals)

    @property
    def behind(self) -> bool:
        """Whether entries wait in memory."""
        return bool(self._journal.waiting)

    # -- on the event loop ------------------------------------------------------------------------------------

    def record(self, observation: Observation) -> Key:
        """Take one call, which is on disk after this; returns what `name_program` asks for."""
        if self._loop is None:
            with contextlib.suppress(RuntimeError):  # nobody who could write later on
                self._loop = asyncio.get_running_loop()
        self.earliest = min(self.earliest, observation.at)
        journal = self._journal
        return Key(journal, journal.add_call(observation))

    def name_program(self, key: Key, program: Program) -> None:
        """Say which program made a call that was recorded before that was known."""
        if key.journal is self._journal:
            key.journal.name_program(key.number, program)

    def note_not_audited(
        self, at: float, host: str, user_agent: str | None, program: Program | None, reason: str
    ) -> None:
        """Take one connection that could not be read. `at` in seconds since 1970 (UTC)."""
        self.earliest = min(self.earliest, at)
        self._journal.add_unread(Unread(at, host, user_agent, program, reason))

    def count_failure(self) -> None:
        """Count a call that never became a row, for a bug of ours."""
        self._failures += 1

    def catch_up(self, patience: float = 0.5) -> None:
        """Wait, from another thread, until all that is recorded by now is in the database, if it takes it at once."""
        wanted, deadline = self._journal.written, time.monotonic() + patience
        self._wake.set()
        while self._folded < wanted and self._keeper.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self, how: str = "stopped", *, patience: float = 5.0) -> None:
        """End the session with `how` (stopped or unloaded), move the journal into the database, close both.

        Blocks for `patience` seconds at most; what is not in the database by then stays in the journal. What waits in
        memory and cannot be written is added to `lost`.
        """
        if self._closing is not None:
            return
        journal = self._journal
        journal.flush()
        lost = self.lost + len(journal.waiting)
        journal.end(Ended(time.time(), how, lost, self.late, self.programs_denied))
        journal.give_up_waiting()
        journal.close()
        self._deadline = time.monotonic() + patience
        self._closing = how
        self._wake.set()
        self._keeper.join(patience + 1)

    # -- in the keeper's thread -------------------------------------------------------------------------------

    def _keep_until_closed(self) -> None:
        while self._closing is None:
            try:
                self._turn()
            except Exception as error:  # whatever it is, the thread must live: the journal grows meanwhile
                self._say(f"recording met an unexpected {type(error).__name__} and tries again")
                time.sleep(_TICK)
        self._end()

    def _turn(self) -> None:
        """Wait a moment, move the journal, and see to the session's sign of life and to old rows."""
        busy = self._retention.is_due() and self._trouble is None
        before, timeout = read_clocks(), 0.001 if busy else _TICK
        self._wake.wait(timeout)
        self._wake.clear()
        if self._closing is not None:
            return
        self._see_to_waiting()
        slept = find_sleep(before, timeout)
        if slept is not None:
            self._notes.append(partial(insert_gap, started=slept[0], ended=slept[1], reason="slept", lost=0))
        beats = slept is not None or time.monotonic() >= self._next_beat
        try:
            if beats:
                self._next_beat = time.monotonic() + BEAT
                self._follow_files()
            self._fold()
            if beats:
                self._sign()
            self._recordings[-1].delete_old(self._retention)
            if self._trouble is not None and not self.behind:
                self._trouble = None
                logger.warning(
                    "mfa-audit: recording goes on; %d rows were late, %d lost.", self.late, self.lost
                )
        except (OSError, sqlite3.Error) as error:
            if transactions.is_damage(error):
                self._leave_damaged()
            elif not self.behind:
                self._say(f"the database {self.path} takes no rows ({error}); calls go on into its journal")

    def _fold(self) -> None:
        """Move what was recorded, and what dead recorders left. Raises sqlite3.Error."""
        recording, written = self._recordings[-1], self._journal.written
        if self._notes:
            recording.transact([], self._notes)
            self._notes = []
        if written != self._folded:
            recording.folding.catch_up()
            self._folded = written
            if recording.folding.missing:
                self._journal.renew = True  # the rest of a damaged segment cannot be read
        if self._unstorable and not self._said_unstorable:
            self._said_unstorable = True
            logger.warning(
                "mfa-audit: a call could not be stored (%s); such calls are counted as lost.",
                self._unstorable[0],
            )
        if not self._others_folded:
            fold_left(recording.connection, recording.home, without=recording.session.uuid)
            self._others_folded = True

    def _see_to_waiting(self) -> None:
        """Let the loop try again to write what waits in memory, and say so."""
        journal = self._journal
        if journal.waiting and self._waiting_since is None:
            self._waiting_since = time.time()
            cause = "it cannot be written" if journal.trouble is None else str(journal.trouble)
            self._say(f"the journal {journal.folder} takes no rows ({cause}); calls go on and wait in memory")
        if journal.waiting and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(journal.flush)
        elif self._waiting_since is not None and not journal.waiting:
            self._note_loss(self._waiting_since)
            self._waiting_since = None

    def _note_loss(self, since: float) -> None:
        if lost := sum(one.lost for one in self._journals) - self._noted_lost:
            self._noted_lost += lost
            self._notes.append(
                partial(insert_gap, started=since, ended=time.time(), reason="behind", lost=lost)
            )

    def _say(self, trouble: str) -> None:
        """Log a trouble once, until it is over."""
        if self._trouble is None:
            logger.warning("mfa-audit: %s.", trouble)
        self._trouble = trouble

    def _sign(self, how: str | None = None) -> None:
        elsewhere = sum(one.lost for one in self._recordings[:-1])
        self._recordings[-1].sign(
            how, lost=self.lost - elsewhere, late=self.late, programs_denied=self.programs_denied
        )

    def _follow_files(self) -> None:
        """Notice that the database or the journal was deleted or replaced under us, and carry on."""
        recording = self._recordings[-1]
        if not self._journal.path.exists():
            self._journal.renew = True
            time.sleep(_MOMENT)
            recording.folding.catch_up()
        if recording.is_in_place():
            return
        if recording.is_deleted():
            recording.folding.catch_up()
            recording.restore()
            logger.warning("mfa-audit: the database %s was deleted; it was written anew.", recording.path)
            return
        path, session = recording.path, recording.session.again()
        recording.folding.catch_up()
        self._change_journal(self._begin_journal(path, session))
        recording.folding.catch_up()
        self._recordings.append(recording.leave(session))
        logger.warning(
            "mfa-audit: the database %s was replaced; what was recorded before is in %s, recording goes on in %s.",
            path,
            recording.path,
            self.path,
        )

    def _begin_journal(self, path: Path, session: Session) -> Journal:
        return Journal(choose_folder(path), session, durable=self._durable, limit=self._queue_limit)

    def _change_journal(self, journal: Journal) -> None:
        """Let the loop go on in another journal; after this nobody writes to the old one."""
        old, self._journal = self._journal, journal
        self._journals.append(journal)
        self._folded = 0
        time.sleep(_MOMENT)
        old.give_up_waiting()
        old.close()

    def _leave_damaged(self) -> None:
        path = self.path
        self._recordings[-1] = self._recordings[-1].begin_anew()
        self._folded = 0
        logger.warning("mfa-audit: the database %s is damaged; recording goes on in %s.", path, self.path)

    def _end(self) -> None:
        """Move what is left, until the deadline."""
        recording = self._recordings[-1]
        since = self._waiting_since or time.time()
        self._note_loss(since)
        while True:
            try:
                self._folded = -1
                self._fold()
                self._sign(self._closing)
                break
            except Exception as error:
                if (
                    not isinstance(error, sqlite3.Error | OSError)
                    or time.monotonic() + _TICK > self._deadline
                ):
                    cause = error if isinstance(error, sqlite3.Error | OSError) else type(error).__name__
                    self._say(f"the database {self.path} takes no rows ({cause}); they stay in its journal")
                    break
                time.sleep(_TICK)
        recording.folding.close()
        recording.close()

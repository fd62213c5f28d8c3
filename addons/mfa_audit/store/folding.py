"""From journals to tables: what was folded and how far, in one transaction, so that it is exact however it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Final

from mfa_audit.store.records import Ended, Event, Named, Opened, Recorded, Unread
from mfa_audit.store.rows import Rows
from mfa_audit.store.segments import Missing, Position, Reader, find_journals
from mfa_audit.store.transactions import is_refusal, writing

# Events a transaction: some milliseconds in which others who write to the file have to wait.
_BATCH: Final = 256


class Folding:
    """Moves the journal of one session into one database. Belongs to one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, database: Path, uuid: str) -> None:
        self.calls = 0
        self.unstorable: list[str] = []  # why the tables refused calls
        self.missing = 0  # calls that could not be read
        self.rows: Rows | None = None  # once the session is in the database
        self._connection = connection
        self._uuid = uuid
        self.reader = Reader(uuid, lambda: find_journals(database).sessions.get(uuid, {}))
        self._from: Position | None = None  # how far the database has it, as far as we know
        self._events: list[Event | Missing] = []
        self._refused: list[str] = []

    def step(self) -> bool:
        """Move some events; False where there are no more now. Raises sqlite3.Error, with nothing written.

        What was refused is tried again at the next step.
        """
        if self._from is None:
            self._go_to(self._find() or Position())
        if not self._events:
            self._events = self.reader.read(_BATCH)
            if not self._events:
                return False
        try:
            with writing(self._connection):
                found = self._find() or self._begin()
                if found is None:  # nobody can say whose these are
                    self._events = []
                    return False
                if found != self._from:  # another process was here before us
                    self._go_to(found)
                    return True
                self._store()
        except BaseException:
            self.rows = None  # it may remember rows that never came to be
            raise
        self._count()
        return True

    def catch_up(self) -> None:
        """Move all that is there, and delete what was moved. Raises sqlite3.Error."""
        while self.step():
            pass
        left = self.reader.is_left()
        while left and self.step():  # what was written just before its writer ended
            pass
        if self.rows is not None:
            self.reader.delete_read(also_last=left)

    def use(self, connection: sqlite3.Connection) -> None:
        """Go on in a copy of the database."""
        self._connection, self.rows = connection, None

    def close(self) -> None:
        """Let go of the journal's file."""
        self.reader.close()

    def _find(self) -> Position | None:
        """How far the database has this session; None where it does not know it."""
        found = self._connection.execute(
            "SELECT id, journal_segment, journal_offset FROM sessions WHERE uuid = ?", [self._uuid]
        ).fetchone()
        if found is None:
            return None
        if self.rows is None or self.rows.session_id != found[0]:
            self.rows = Rows(self._connection, found[0])
        return Position(*found[1:])

    def _go_to(self, position: Position) -> None:
        self._events = []
        self.reader.seek(position)
        self._from = position

    def _begin(self) -> Position | None:
        """Enter the session, whose begin was read."""
        session = self.reader.session
        if session is None:
            return None
        self.rows = Rows(self._connection, session.insert(self._connection))
        return Position()

    def _store(self) -> None:
        rows = self.rows
        assert rows is not None  # noqa: S101 - _find or _begin made it
        self._refused = store_events(rows, self._events)
        self._connection.execute(
            "UPDATE sessions SET journal_segment = ?, journal_offset = ?, folded = folded + ? WHERE id = ?",
            [*self.reader.position, rows.folded, rows.session_id],
        )

    def _count(self) -> None:
        """Count what was stored."""
        self._from = self.reader.position
        self.unstorable += self._refused
        self.calls += sum(isinstance(event, Recorded) for event in self._events) - len(self._refused)
        self.missing += sum(event.calls for event in self._events if isinstance(event, Missing))
        self._events = []
        if self.rows is not None:
            self.rows.folded = 0


def store_events(rows: Rows, events: Sequence[Event | Missing]) -> list[str]:
    """Write what was read of a journal, in its order and in an open transaction; the kinds of errors that it met.

    A value that SQLite or we cannot take must not stop all that come after it: it is counted as lost. Raises
    sqlite3.Error where the database takes nothing.
    """
    refused: list[str] = []
    rows.connection.execute("SAVEPOINT several")
    try:
        _write(rows, events)
    except Exception as error:
        rows.forget()
        if is_refusal(error):
            raise
        rows.connection.execute("ROLLBACK TO several")
        if len(events) == 1:
            _update(rows, "lost = lost + ?", 1)
            refused.append(type(error).__name__)
        else:
            refused += chain.from_iterable(store_events(rows, [event]) for event in events)
    rows.connection.execute("RELEASE several")
    return refused


def _write(rows: Rows, events: Sequence[Event | Missing]) -> None:
    for kind, several in groupby(events, type):
        if kind is Recorded:
            recorded = [event for event in several if isinstance(event, Recorded)]
            rows.add([call.observation for call in recorded], numbers=[call.number for call in recorded])
            latest = round(max(call.observation.at for call in recorded) * 1000)
            _update(rows, "last_beat = max(last_beat, ?)", latest)
            continue
        for event in several:
            match event:
                case Named(number, program):
                    rows.name_program(number, program)
                case Unread():
                    rows.add_not_audited(*event)
                case Missing(calls):
                    _update(rows, "lost = lost + ?", calls)
                case Ended(at, how, lost, late, denied):
                    when = round(at * 1000)
                    _update(
                        rows,
                        "last_beat = max(last_beat, ?), ended = ?, ended_how = ?, lost = max(lost, ?), late = ?,"
                        " programs_denied = ?",
                        *(when, when, how, lost, late, denied),
                    )
                case Opened() | Recorded():
                    pass


def _update(rows: Rows, assignments: str, *values: object) -> None:
    rows.connection.execute(
        f"UPDATE sessions SET {assignments} WHERE id = ?",  # noqa: S608
        [*values, rows.session_id],
    )


def fold_left(connection: sqlite3.Connection, database: Path, without: str | None = None) -> None:
    """Fold what all sessions but `without` have in journals; delete what nobody writes to. Raises sqlite3.Error."""
    for uuid in find_journals(database).sessions:
        if uuid != without:
            folding = Folding(connection, database, uuid)
            try:
                folding.catch_up()
            finally:
                folding.close()

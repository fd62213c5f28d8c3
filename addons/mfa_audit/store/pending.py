"""What journals hold that is not in the database yet, laid over it in memory for one reader.

The reader's queries name tables without a schema, and temporary tables and views come first: they see the database and
the journals together, and nothing on disk changes.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mfa_audit.store.folding import Folding, store_events
from mfa_audit.store.records import Event, Recorded
from mfa_audit.store.rows import Rows
from mfa_audit.store.segments import Missing, Position, Reader, find_journals
from mfa_audit.store.sessions import Session
from mfa_audit.store.totals import ADD_UP

# Copied as they are: these have some thousand rows at most.
_COPIED: Final = (
    "sessions", "gaps", "tools", "clients", "programs", "operations", "users", "not_audited",
)  # fmt: skip
# Views of the database's rows and of those that come on top; of sums, what becomes of two with the same key.
_NUMBERED: Final = ("tokens", "calls")
_SUMS: Final = {"totals": ADD_UP, "operation_totals": "calls = calls + excluded.calls"}
_BATCH: Final = 1_000
# The reason of a gap that stands for journals that cannot be read.
UNREAD: Final = "unread"


class MovedError(Exception):
    """A journal was moved into the database meanwhile: what was read of both does not fit together."""


def lay_over(connection: sqlite3.Connection, database: Path) -> None:
    """Add what is pending to the rows that `connection`, in a read transaction, sees. Nothing pending: nothing is made.

    Raises MovedError, sqlite3.Error.
    """
    connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone()  # from now on all rows are of one moment
    before = find_journals(database)
    readers = [
        reader
        for session, segments in before.sessions.items()
        if (reader := _reader(connection, database, session, segments)) is not None
    ]
    closed = before.closed
    try:
        pending = [(reader, reader.read(_BATCH)) for reader in readers]
        closed += sum(reader.newer or (reader.session is None and bool(events)) for reader, events in pending)
        if closed or any(events for _, events in pending):
            _shadow(connection)
            for reader, events in pending:
                _add(connection, reader, events)
            if closed:
                _note_closed(connection, database)
            _uncover(connection)
    finally:
        for reader in readers:
            reader.close()
    after = find_journals(database).sessions
    if any(segments.keys() - after.get(session, {}).keys() for session, segments in before.sessions.items()):
        raise MovedError


def _reader(
    connection: sqlite3.Connection, database: Path, session: str, segments: Mapping[int, Path]
) -> Reader | None:
    """What reads on where the tables end; None where they have all."""
    found = connection.execute(
        "SELECT journal_segment, journal_offset FROM sessions WHERE uuid = ?", [session]
    ).fetchone()
    try:
        if found is not None and max(segments) == found[0] and segments[found[0]].stat().st_size == found[1]:
            return None
    except OSError:
        raise MovedError from None
    reader = Reader(session, lambda: find_journals(database).sessions.get(session, {}))
    if found is not None:
        reader.seek(Position(*found))
    return reader


def _shadow(connection: sqlite3.Connection) -> None:
    """Make the tables anew, as temporary ones, with what new rows may refer to."""
    for kind, name, table, sql in connection.execute(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE type IN ('table', 'index')"
        " AND sql IS NOT NULL ORDER BY type DESC"
    ).fetchall():
        if table in (*_COPIED, *_NUMBERED, *_SUMS):
            made = re.sub(
                rf"^(CREATE (?:UNIQUE )?)({kind.upper()}) ",
                r"\1TEMP TABLE " if kind == "table" else r"\1INDEX temp.",
                sql,
            )
            connection.execute(made)
        if kind == "table" and name in _COPIED:
            connection.execute(f"INSERT INTO temp.{name} SELECT * FROM main.{name}")  # noqa: S608
    # New rows get ids after the last of the database.
    for table in _NUMBERED:
        connection.execute(f"INSERT INTO temp.{table} SELECT * FROM main.{table} ORDER BY id DESC LIMIT 1")  # noqa: S608


def _add(connection: sqlite3.Connection, reader: Reader, events: list[Event | Missing]) -> None:
    rows: Rows | None = None
    while events:
        found = connection.execute("SELECT id FROM sessions WHERE uuid = ?", [reader.uuid]).fetchone()
        if found is None and reader.session is None:
            return
        if rows is None:
            rows = Rows(connection, found[0] if found else reader.session.insert(connection))  # type: ignore[union-attr]
        keys = {event.observation.token.key for event in events if isinstance(event, Recorded)}
        connection.execute(
            "INSERT OR IGNORE INTO temp.tokens SELECT * FROM main.tokens"
            " WHERE key IN (SELECT value FROM json_each(?))",
            [json.dumps(list(keys))],
        )
        store_events(rows, events)
        events = reader.read(_BATCH)


def _note_closed(connection: sqlite3.Connection, database: Path) -> None:
    """A gap in all that was recorded, since nobody knows whose the journals are that cannot be read, and of when.

    It is the latest recorder's, or that of one which stands for those that are in no table yet; an import has no gaps.
    """
    now = time.time()
    live = "FROM temp.sessions WHERE kind <> 'import'"
    if connection.execute(f"SELECT NOT EXISTS (SELECT 1 {live})").fetchone()[0]:
        # The same at each look, so that several databases are merged with one of it.
        same = str(uuid.uuid5(uuid.NAMESPACE_URL, str(database)))
        Session("proxy", now, uuid=same).insert(connection)
    connection.execute(
        "INSERT INTO temp.gaps (session_id, started, ended, reason)"
        f" SELECT id, (SELECT min(started) {live}), max(last_beat, ?), ? {live} ORDER BY last_beat DESC LIMIT 1",
        [round(now * 1000), UNREAD],
    )


def _uncover(connection: sqlite3.Connection) -> None:
    """Let the database's rows be seen too, where only new ones are in the temporary tables."""
    for table in _NUMBERED:
        (last,) = connection.execute(f"SELECT ifnull(max(id), 0) FROM main.{table}").fetchone()  # noqa: S608
        _join(connection, table, "TRUE", f"id > {last}")
    for table, sums in _SUMS.items():
        keys = ", ".join(
            name
            for name, place in connection.execute(f"SELECT name, pk FROM pragma_table_info('{table}')")  # noqa: S608
            if place
        )
        connection.execute(
            f"INSERT INTO temp.{table} SELECT * FROM main.{table}"  # noqa: S608
            f" WHERE ({keys}) IN (SELECT {keys} FROM temp.{table}) ON CONFLICT DO UPDATE SET {sums}"
        )
        same = " AND ".join(f"new.{name} = old.{name}" for name in keys.split(", "))
        of_others = f"old.session_id NOT IN (SELECT session_id FROM temp.pending_{table})"  # noqa: S608
        alone = f"NOT EXISTS (SELECT 1 FROM temp.pending_{table} AS new WHERE {same})"  # noqa: S608
        _join(connection, table, f"{of_others} OR {alone}", "TRUE")


def _join(connection: sqlite3.Connection, table: str, old: str, new: str) -> None:
    """A view of the database's rows and those in the temporary table, by the conditions which of each."""
    connection.execute(f"ALTER TABLE temp.{table} RENAME TO pending_{table}")
    connection.execute(
        f"CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} AS old WHERE {old}"  # noqa: S608
        f" UNION ALL SELECT * FROM temp.pending_{table} WHERE {new}"
    )


def is_laid_over(connection: sqlite3.Connection) -> bool:
    """Whether `tokens` and the like are views, which no index can be named for."""
    found = connection.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'pending_tokens'").fetchone()
    return found is not None


def fold_into(copy: sqlite3.Connection, database: Path) -> None:
    """Add what is pending to a copy of the database, for good. Raises MovedError, sqlite3.Error."""
    before = find_journals(database).sessions
    for session in before:
        folding = Folding(copy, database, session)
        try:
            while folding.step():
                pass
        finally:
            folding.close()
    after = find_journals(database).sessions
    if any(segments.keys() - after.get(uuid, {}).keys() for uuid, segments in before.items()):
        raise MovedError

"""Several audit databases as one, in memory: the same rows spread over any number of files, in any order, are one set.

Rows are known again by natural keys: a session by its UUID, a token by its fingerprint, an imported call by its import
key. Of one hour of a session the file that has most of it counts, since the other is an earlier copy. Of the live calls
only those are copied that a report looks at one by one: the totals have all.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from mfa_audit.judging.counts import STORED
from mfa_audit.store import files
from mfa_audit.store.imports import SAME_CALL_MS
from mfa_audit.store.totals import DAY_MS, HOUR_MS

_NEVER: Final = (1 << 60) // HOUR_MS


class _Dimension(NamedTuple):
    """A table that others refer to: what tells its rows apart, its other columns, and which of two equals counts."""

    table: str
    key: tuple[str, ...]
    others: tuple[str, ...] = ()
    refers: tuple[tuple[str, str], ...] = ()  # column -> table
    newer: str | None = None  # the column by which the newer of two rows is known
    most: str | None = None  # of two equally new ones the one with more of this counts


_DIMENSIONS: Final = (
    _Dimension("tools", ("name", "app_id", "client", "application", "product")),
    _Dimension(
        "clients",
        ("app_id", "application", "client", "user_agent", "sdk_version"),
        ("name", "naming"),
        (("tool_id", "tools"),),
    ),
    _Dimension("programs", ("name", "account", "started_by"), ("stable_name", "naming")),
    _Dimension("operations", ("name",)),
    _Dimension("users", ("tenant", "object_id", "name")),
    _Dimension(
        "tokens",
        ("key",),
        ("name", "form", "app_id", "issued", "expires", "verdict", "reason", "rules", "claims"),
        (("user_id", "users"),),
        "rules",
    ),
    _Dimension(
        "sessions",
        ("uuid",),
        (
            *(
                "name",
                "kind",
                "source",
                "sha256",
                "machine",
                "machine_id",
                "account",
                "version",
                "started",
                "last_beat",
                "ended",
            ),
            *("ended_how", "validate", "enforce", "late", "lost", "programs_denied", "folded", "sanitised"),
        ),
        newer="last_beat",
        most="lost",  # losses that were found when a dead recorder's journal was folded
    ),
)
_PARTS: Final = "client_id, token_id, program_id"
_CALL: Final = (
    f"session_id, at, {_PARTS}, operation_id, status, flags, request_id, correlation_id, import_key"
)
_COUNTS: Final = f"calls, {', '.join(STORED)}, first, last"
_IMPORTED: Final = "SELECT id FROM sessions WHERE kind = 'import'"


class Merged(NamedTuple):
    """Several databases in one, and from which hour on its single calls are all there (see `first_exact_hour`).

    `counted_twice` imported calls may have been recorded live as well: without a request id nothing shows it.
    """

    connection: sqlite3.Connection
    exact_from: int | None
    counted_twice: int


class _Survey(NamedTuple):
    """What a database has: its sessions, and of each live session's hour the calls and the last sign of life."""

    sessions: list[str]
    hours: list[tuple[str, int, int, int]]
    exact_from: int | None


@contextmanager
def merge(paths: Sequence[Path], start: float | None, end: float | None) -> Iterator[Merged]:
    """These databases as one, for a report from `start` to `end` (seconds since 1970, None: open).

    Raises AuditError.
    """
    from mfa_audit.store.migrations import migrate

    uri = f"file:mfa-audit-{uuid.uuid4()}?mode=memory&cache=shared"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as target:
        migrate(target)
        target.executescript(
            "PRAGMA foreign_keys = OFF;"
            "CREATE TABLE picked (uuid, hour, number, PRIMARY KEY (uuid, hour)) WITHOUT ROWID;"
            "CREATE TABLE edges (low, high);"
        )
        surveys = [files.read(path, _survey) for path in paths]
        # Whatever order they are named in, they are read in one order, so that the report is one.
        order = sorted(
            range(len(paths)), key=lambda number: (surveys[number].sessions, surveys[number].hours)
        )
        _pick(target, surveys, order)
        target.executemany(
            "INSERT INTO edges VALUES (?, ?)",
            [
                (round(bound * 1000) - 2 * DAY_MS, round(bound * 1000) + 2 * DAY_MS)
                for bound in (start, end)
                if bound is not None
            ],
        )
        for step in (_copy_all, _copy_live_calls):
            for number in order:
                files.read(paths[number], _into(step, number), attach=uri)
        counted_twice = _settle_imports(target)
        exact = [one.exact_from for one in surveys if one.exact_from is not None]
        yield Merged(target, max(exact, default=None), counted_twice)


def _survey(connection: sqlite3.Connection) -> _Survey:
    return _Survey(
        [one for (one,) in connection.execute("SELECT uuid FROM sessions ORDER BY uuid")],
        connection.execute(
            "SELECT uuid, hour, sum(calls), last_beat FROM totals JOIN sessions ON sessions.id = session_id"
            " WHERE kind <> 'import' GROUP BY session_id, hour ORDER BY uuid, hour"
        ).fetchall(),
        first_exact_hour(connection),
    )


def _pick(target: sqlite3.Connection, surveys: Sequence[_Survey], order: Sequence[int]) -> None:
    """For each hour of a session, the database that has most of it."""
    best: dict[tuple[str, int], tuple[int, int]] = {}
    picked: dict[tuple[str, int], int] = {}
    for number in order:
        for session, hour, calls, beat in surveys[number].hours:
            key = (session, hour)
            if key not in best or (calls, beat) > best[key]:
                best[key] = (calls, beat)
                picked[key] = number
    target.executemany(
        "INSERT INTO picked VALUES (?, ?, ?)", [(*key, number) for key, number in picked.items()]
    )


def _into(
    step: Callable[[sqlite3.Connection, int], None], number: int
) -> Callable[[sqlite3.Connection], None]:
    """What copies one database into the target; called a second time, it copies the same again, which adds nothing."""

    def copy(connection: sqlite3.Connection) -> None:
        # Tables are named without a schema: what a journal holds beyond the file is laid over them (`pending`).
        _map_ids(connection)
        step(connection, number)
        if connection.in_transaction:
            connection.execute("COMMIT")

    return copy


def _same(key: Sequence[str]) -> str:
    """The condition that two rows, `new` and `old`, have this key; in the words of the tables' own indexes."""
    return " AND ".join(
        f"new.{name} = old.{name}" if len(key) == 1 or (name == "name" and key[0] == "name")
        else f"ifnull(new.{name}, '') = ifnull(old.{name}, '')"
        for name in key
    )  # fmt: skip


def _map_ids(connection: sqlite3.Connection) -> None:
    """Insert what the target lacks of the dimensions, and note which id is which: `temp.<table>_map` (id, new_id)."""
    for table, key, others, refers, newer, most in _DIMENSIONS:
        columns = ", ".join((*key, *others, *(column for column, _ in refers)))
        values = ", ".join(
            (*(f"old.{name}" for name in (*key, *others)), *(f"{other}_map.new_id" for _, other in refers))
        )
        joins = "".join(
            f" LEFT JOIN temp.{other}_map ON {other}_map.id = old.{column}" for column, other in refers
        )
        update = "DO NOTHING"
        if newer is not None:
            sets = ", ".join(f"{name} = excluded.{name}" for name in others)
            update = f"({key[0]}) DO UPDATE SET {sets} WHERE excluded.{newer} > {newer}"
            if most is not None:
                update += f" OR (excluded.{newer} = {newer} AND excluded.{most} > {most})"
        connection.execute(
            f"INSERT INTO target.{table} ({columns}) SELECT {values} FROM {table} AS old{joins}"  # noqa: S608
            f" WHERE TRUE ON CONFLICT {update}"
        )
        connection.execute(
            f"CREATE TEMP TABLE {table}_map AS SELECT old.id AS id, new.id AS new_id FROM {table} AS old"  # noqa: S608
            f" JOIN target.{table} AS new ON {_same(key)}"
        )
        connection.execute(f"CREATE UNIQUE INDEX temp.{table}_map_id ON {table}_map (id)")


def _mapped(alias: str, *columns: str) -> str:
    """Joins that give these columns of `alias` their ids in the target, as `<column>.new_id`."""
    tables = {"client_id": "clients", "token_id": "tokens", "program_id": "programs"}
    tables |= {"operation_id": "operations", "session_id": "sessions", "user_id": "users"}
    return "".join(
        f" {'LEFT ' if column in ('operation_id', 'user_id') else ''}JOIN temp.{tables[column]}_map AS {column}"
        f" ON {column}.id = {alias}.{column}"
        for column in columns
    )


def _copy_all(connection: sqlite3.Connection, number: int) -> None:
    """Everything but the live calls, and the totals of imports, which are added up anew."""
    parts = ("client_id", "token_id", "program_id")
    connection.execute(
        f"INSERT INTO target.totals (hour, session_id, {_PARTS}, {_COUNTS}) SELECT old.hour, session_id.new_id,"  # noqa: S608
        f" client_id.new_id, token_id.new_id, program_id.new_id, {_COUNTS} FROM totals AS old"
        " JOIN sessions ON sessions.id = old.session_id"
        " JOIN target.picked ON picked.uuid = sessions.uuid AND picked.hour = old.hour AND picked.number = ?"
        f"{_mapped('old', 'session_id', *parts)} WHERE TRUE ON CONFLICT DO NOTHING",
        [number],
    )
    connection.execute(
        "INSERT INTO target.operation_totals (day, session_id, client_id, program_id, operation_id, calls)"  # noqa: S608
        " SELECT old.day, session_id.new_id, client_id.new_id, program_id.new_id, operation_id.new_id, old.calls"
        f" FROM operation_totals AS old{_mapped('old', 'session_id', 'client_id', 'program_id', 'operation_id')}"
        f" WHERE old.session_id NOT IN ({_IMPORTED})"
        " ON CONFLICT DO UPDATE SET calls = max(calls, excluded.calls)"
    )
    connection.execute(
        "INSERT INTO target.not_audited (name, hour, session_id, host, user_agent, program_id, reason, count, first,"  # noqa: S608
        " last) SELECT old.name, old.hour, session_id.new_id, old.host, old.user_agent, program_id.new_id, old.reason,"
        f" old.count, old.first, old.last FROM not_audited AS old{_mapped('old', 'session_id', 'program_id')}"
        " WHERE TRUE ON CONFLICT DO UPDATE SET count = max(count, excluded.count), first = min(first, excluded.first),"
        " last = max(last, excluded.last)"
    )
    connection.execute(
        "INSERT INTO target.gaps (session_id, started, ended, reason, lost) SELECT session_id.new_id, old.started,"  # noqa: S608
        f" old.ended, old.reason, old.lost FROM gaps AS old{_mapped('old', 'session_id')} WHERE NOT EXISTS"
        " (SELECT 1 FROM target.gaps AS new WHERE new.session_id = session_id.new_id AND new.started = old.started"
        " AND new.ended = old.ended AND new.reason = old.reason)"
    )
    _copy_calls(connection, "old.import_key IS NOT NULL", "ON CONFLICT DO NOTHING")
    connection.execute(
        "INSERT INTO target.microsoft_requests (name, at, request_id, correlation_id, operation_id, user_id,"  # noqa: S608
        " application_id, mfa_compliant) SELECT old.name, old.at, old.request_id, old.correlation_id,"
        " operation_id.new_id, user_id.new_id, old.application_id, old.mfa_compliant"
        f" FROM microsoft_requests AS old{_mapped('old', 'operation_id', 'user_id')}"
        " WHERE TRUE ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO target.microsoft_adoption (name, day, application_id, mfa_requests, requests)"
        " SELECT name, day, application_id, mfa_requests, requests FROM microsoft_adoption WHERE TRUE"
        " ON CONFLICT (application_id, ifnull(day, 0)) DO UPDATE SET name = excluded.name,"
        " mfa_requests = excluded.mfa_requests, requests = excluded.requests WHERE excluded.requests > requests"
    )
    connection.execute(
        "INSERT INTO target.microsoft_principals (name, user_id, at) SELECT old.name, user_id.new_id, old.at"  # noqa: S608
        f" FROM microsoft_principals AS old{_mapped('old', 'user_id')} WHERE TRUE ON CONFLICT (user_id)"
        " DO UPDATE SET at = excluded.at WHERE ifnull(excluded.at, 0) > ifnull(at, 0)"
    )
    columns = (
        "name, at, request_id, unique_token_id, application_id, application, resource_id, resource, tenant, kind,"
        " protocol, requirement, required_by, conditional_access, policies, mfa, error, trusted_network"
    )
    connection.execute(
        f"INSERT INTO target.sign_ins ({columns}, user_id) SELECT {_of('old', columns)}, user_id.new_id"  # noqa: S608
        f" FROM sign_ins AS old{_mapped('old', 'user_id')} WHERE TRUE ON CONFLICT DO NOTHING"
    )


def _of(alias: str, columns: str) -> str:
    return ", ".join(f"{alias}.{name.strip()}" for name in columns.split(","))


def _copy_calls(connection: sqlite3.Connection, which: str, tail: str, *values: object) -> None:
    connection.execute(
        f"INSERT INTO target.calls ({_CALL}) SELECT session_id.new_id, old.at, client_id.new_id, token_id.new_id,"  # noqa: S608
        " program_id.new_id, operation_id.new_id, old.status, old.flags, old.request_id, old.correlation_id,"
        " old.import_key FROM calls AS old"
        f"{_mapped('old', 'session_id', 'client_id', 'token_id', 'program_id', 'operation_id')} WHERE {which} {tail}",
        values,
    )


def _copy_live_calls(connection: sqlite3.Connection, number: int) -> None:
    """The live calls at the period's edges, and those whose request id a capture or Microsoft's list has too."""
    connection.execute(
        "CREATE TEMP TABLE ids AS SELECT request_id FROM target.microsoft_requests WHERE request_id IS NOT NULL"
        " UNION SELECT request_id FROM target.calls WHERE import_key IS NOT NULL AND request_id IS NOT NULL"
    )
    connection.execute("CREATE INDEX temp.ids_request ON ids (request_id)")
    edges = connection.execute("SELECT low, high FROM target.edges").fetchall()
    near = " OR ".join(f"old.at BETWEEN {low} AND {high}" for low, high in edges) or "FALSE"
    known = connection.execute("SELECT EXISTS (SELECT 1 FROM temp.ids)").fetchone()[0]
    of_ids = " OR old.request_id IN (SELECT request_id FROM temp.ids)" if known else ""
    picked = (
        "SELECT 1 FROM sessions JOIN target.picked ON picked.uuid = sessions.uuid AND picked.number = ?"  # noqa: S608
        f" WHERE sessions.id = old.session_id AND picked.hour = old.at / {HOUR_MS}"
    )
    _copy_calls(connection, f"old.import_key IS NULL AND ({near}{of_ids}) AND EXISTS ({picked})", "", number)


def _settle_imports(target: sqlite3.Connection) -> int:
    """Take out imported calls that another database recorded live, and add up the others.

    Returns how many are left that might be the same as a live call, if it had a request id.
    """
    taken: set[int] = set()
    for identifier, live in target.execute(
        "SELECT imported.id, live.id FROM calls AS imported"  # noqa: S608
        " JOIN calls AS live ON live.request_id = imported.request_id"
        " AND live.import_key IS NULL AND live.token_id = imported.token_id"
        f" AND live.operation_id = imported.operation_id AND abs(live.at - imported.at) <= {SAME_CALL_MS}"
        " WHERE imported.import_key IS NOT NULL AND imported.request_id IS NOT NULL"
        " ORDER BY imported.id, abs(live.at - imported.at), live.id"
    ).fetchall():
        # A client that tries again may send the same id twice: each live call stands for one.
        if live not in taken and -identifier not in taken:
            taken.update((live, -identifier))
    target.executemany("DELETE FROM calls WHERE id = ?", [(-one,) for one in taken if one < 0])
    sums = ", ".join(f"sum(flags >> {bit} & 1)" for bit in range(len(STORED)))
    target.execute(
        f"INSERT INTO totals (hour, session_id, {_PARTS}, {_COUNTS}) SELECT at / {HOUR_MS}, session_id, {_PARTS},"  # noqa: S608
        f" count(*), {sums}, min(at), max(at) FROM calls WHERE import_key IS NOT NULL"
        f" GROUP BY at / {HOUR_MS}, session_id, {_PARTS}"
    )
    target.execute(
        "INSERT INTO operation_totals (day, session_id, client_id, program_id, operation_id, calls)"  # noqa: S608
        f" SELECT at / {DAY_MS}, session_id, client_id, program_id, operation_id, count(*) FROM calls"
        " WHERE import_key IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
    )
    # The same token in the same hour, once live and once in a capture: the same calls, as far as anybody can tell.
    (twice,) = target.execute(
        "SELECT count(*) FROM calls WHERE import_key IS NOT NULL AND request_id IS NULL AND EXISTS"  # noqa: S608
        f" (SELECT 1 FROM totals WHERE hour = calls.at / {HOUR_MS} AND totals.token_id = calls.token_id"
        f" AND totals.session_id NOT IN ({_IMPORTED}))"
    ).fetchone()
    return int(twice)


def first_exact_hour(connection: sqlite3.Connection) -> int | None:
    """The first hour (number since 1970) whose live calls are all kept; None where nothing has been deleted yet.

    Of imports calls and totals are kept equally long (retention.py). Raises sqlite3.Error.
    """
    live = f"session_id NOT IN ({_IMPORTED})"
    (oldest_call,) = connection.execute(
        "SELECT (SELECT at FROM calls WHERE import_key IS NULL ORDER BY at LIMIT 1)"
    ).fetchone()
    (oldest_hour,) = connection.execute(
        f"SELECT (SELECT hour FROM totals WHERE {live} ORDER BY hour LIMIT 1)"  # noqa: S608
    ).fetchone()
    if oldest_hour is None:
        return None
    if oldest_call is None:
        return _NEVER
    hour = oldest_call // HOUR_MS
    (calls,) = connection.execute(
        "SELECT count(*) FROM calls WHERE at < ? AND import_key IS NULL", [(hour + 1) * HOUR_MS]
    ).fetchone()
    (total,) = connection.execute(
        f"SELECT sum(calls) FROM totals WHERE hour = ? AND {live}",  # noqa: S608
        [hour],
    ).fetchone()
    first = int(hour if calls == total else hour + 1)
    return None if first == oldest_hour else first

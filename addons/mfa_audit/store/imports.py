"""Writing what was recorded elsewhere: calls of captures, each once, and Microsoft's own lists.

A call is known again by its import key: token, operation, MS-RequestId, start to the millisecond, and its ordinal
among equals in its file. The operation stands for the URL, of which nothing may be kept, not even a hash: the names
in a path could be guessed from one. The ordinal makes up for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from mfa_audit.judging.observations import Observation
from mfa_audit.judging.tokens import User
from mfa_audit.machine.machine_id import this_machine
from mfa_audit.store import files
from mfa_audit.store.folding import fold_left
from mfa_audit.store.rows import Rows, rejudge
from mfa_audit.store.sessions import Session, this_account
from mfa_audit.store.totals import DAY_MS
from mfa_audit.store.transactions import writing

# Calls a transaction. A recorder that wants to write to the same database goes on in its journal meanwhile.
_CHUNK: Final = 1_000
# The same call as a proxy and as another tool saw it starts at slightly different times.
SAME_CALL_MS: Final = 2_000
# Equals have the same millisecond, so they are close together in a file.
_EQUALS: Final = 100_000


@dataclass(slots=True)
class Added:
    """What became of the calls of one capture: stored, imported before, or recorded live already."""

    new: int = 0
    imported_before: int = 0
    recorded_live: int = 0


class SignInRow(NamedTuple):
    """A sign-in as it is kept: `at` in seconds since 1970 (UTC), `user` as `--users` wants them, ids in lower case."""

    at: float
    request_id: str | None
    unique_token_id: str | None
    application_id: str
    application: str | None
    resource_id: str | None
    resource: str | None
    tenant: str | None
    user: User | None
    kind: str | None
    protocol: str | None
    requirement: str | None
    required_by: tuple[str, ...]
    conditional_access: str | None
    policies: tuple[tuple[str, str], ...]
    mfa: str | None
    error: int | None
    trusted_network: bool | None


class Importer:
    """Writes into one database; a context manager. Raises AuditError where the file cannot be used.

    `machine` and `account` are those that the captures were made on and under; None: this machine's.
    """

    def __init__(self, path: Path, machine: str | None = None, account: str | None = None) -> None:
        self.path = path
        self._machine = platform.node() if machine is None else machine
        self._machine_id = this_machine() if machine is None else None
        self._account = this_account() if account is None else account
        self._connection = files.open_for_writing(path)
        # Nobody waits for an import: it waits for the lock, and moves the log into the file on the way.
        self._connection.execute("PRAGMA busy_timeout = 60000")
        self._connection.execute("PRAGMA wal_autocheckpoint = 1000")
        self._transact(lambda: rejudge(self._connection))
        try:
            fold_left(self._connection, path)
        except sqlite3.Error as error:
            self._connection.close()
            raise files.unusable(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(sqlite3.Error):  # else the next writer does it
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._connection.close()

    def add_calls(
        self, source: str, observations: Iterable[Observation], finish: Callable[[], tuple[str, int]]
    ) -> Added:
        """Store the calls of one capture that are not known yet, in a session of their own; none, no session.

        `finish`, called at the end, gives the capture's SHA-256 in hex, and how many of its calls had their token
        taken out. Raises AuditError.
        """
        session = Session(
            "import",
            time.time(),
            source=source,
            machine=self._machine,
            account=self._account,
            machine_id=self._machine_id,
        )
        matcher = _Matcher(self._connection)
        rows: Rows | None = None
        added = Added()
        stream = iter(observations)
        while chunk := list(islice(stream, _CHUNK)):
            keys = matcher.make_keys(chunk)

            def write(chunk: Sequence[Observation] = chunk, keys: Sequence[bytes] = keys) -> None:
                nonlocal rows
                new = list(matcher.find_new(chunk, keys, added))
                if new and rows is None:
                    rows = Rows(self._connection, session.insert(self._connection))
                if new and rows is not None:
                    rows.forget()  # between two chunks a recorder's retention may have deleted rows
                    rows.add([seen for seen, _ in new], import_keys=[key for _, key in new])
                added.new += len(new)

            self._transact(write)
        digest, sanitised = finish()
        if rows is not None:
            self._end(rows, digest, sanitised)
        return added

    def add_requests(
        self,
        rows: Iterable[
            tuple[float | None, str | None, str | None, str | None, User | None, str | None, bool | None]
        ],
    ) -> int:
        """Store rows of `partnerRequests`: time, request and correlation id, operation, user, app id, compliant.

        Returns how many were new. Raises AuditError.
        """
        return self._add(
            rows,
            "INSERT INTO microsoft_requests (name, at, request_id, correlation_id, operation_id, user_id,"
            " application_id, mfa_compliant) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            lambda ids, row: [
                f"{row[3] or 'a call'} of {row[5] or 'an unknown app'}",
                None if row[0] is None else round(row[0] * 1000),
                row[1],
                row[2],
                None if row[3] is None else ids.operation_id(row[3]),
                ids.user_id(row[4]),
                row[5],
                row[6],
            ],
        )

    def add_adoption(self, rows: Iterable[tuple[int | None, str, str | None, int, int]]) -> int:
        """Store rows of `applicationmfaadoptionstatus`: day (since 1970), app id, its name, calls with MFA, all calls.

        The larger count of the same day wins: a day that was not over has more later. Returns how many were new
        or grew. Raises AuditError.
        """
        return self._add(
            rows,
            "INSERT INTO microsoft_adoption (name, day, application_id, mfa_requests, requests) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (application_id, ifnull(day, 0)) DO UPDATE SET name = excluded.name,"
            " mfa_requests = excluded.mfa_requests, requests = excluded.requests WHERE excluded.requests > requests",
            lambda _, row: [row[2] or row[1], row[0], row[1], row[3], row[4]],
        )

    def add_principals(self, rows: Iterable[tuple[float | None, User]]) -> int:
        """Store rows of `nonMfaCompliantPartnerPrincipals`: when last without MFA, and who. The latest wins.

        Returns how many were new or later. Raises AuditError.
        """
        return self._add(
            rows,
            "INSERT INTO microsoft_principals (name, user_id, at) VALUES (?, ?, ?) ON CONFLICT (user_id)"
            " DO UPDATE SET at = excluded.at WHERE ifnull(excluded.at, 0) > ifnull(at, 0)",
            lambda ids, row: [
                row[1].name or row[1].object_id or "a user",
                ids.user_id(row[1]),
                None if row[0] is None else round(row[0] * 1000),
            ],
        )

    def known_applications(self) -> set[str]:
        """The app ids that were recorded, or that Microsoft's lists name, in lower case. Raises AuditError."""
        try:
            return {
                app_id
                for (app_id,) in self._connection.execute(
                    "SELECT app_id FROM clients WHERE app_id IS NOT NULL"
                    " UNION SELECT application_id FROM microsoft_adoption"
                    " UNION SELECT application_id FROM microsoft_requests WHERE application_id IS NOT NULL"
                )
            }
        except sqlite3.Error as error:
            raise files.unusable(self.path, error) from None

    def known_tenants(self) -> set[str]:
        """The tenants of the tokens and lists that are stored, in lower case. Raises AuditError."""
        try:
            return {
                tenant.lower()
                for (tenant,) in self._connection.execute(
                    "SELECT DISTINCT tenant FROM users WHERE tenant IS NOT NULL AND id IN (SELECT user_id FROM tokens"
                    " UNION SELECT user_id FROM microsoft_requests UNION SELECT user_id FROM microsoft_principals)"
                )
            }
        except sqlite3.Error as error:
            raise files.unusable(self.path, error) from None

    def fetched_until(self, name: str) -> float | None:
        """Up to when Microsoft was asked for this list (seconds since 1970, UTC); None: never. Raises AuditError."""
        try:
            (until,) = self._connection.execute(
                "SELECT max(covered_to) FROM fetches WHERE name = ?", [name]
            ).fetchone()
        except sqlite3.Error as error:
            raise files.unusable(self.path, error) from None
        return None if until is None else until / 1000

    def note_fetch(self, name: str, covered_from: float, covered_to: float, rows: int) -> None:
        """Write down the time that Microsoft's answer covers (seconds since 1970, UTC). Raises AuditError."""
        self._transact(
            lambda: self._connection.execute(
                "INSERT INTO fetches (name, covered_from, covered_to, rows) VALUES (?, ?, ?, ?)",
                [name, round(covered_from * 1000), round(covered_to * 1000), rows],
            )
        )

    def add_sign_ins(self, rows: Iterable[SignInRow]) -> int:
        """Store rows of Entra's sign-in logs. Returns how many were new. Raises AuditError."""
        return self._add(
            rows,
            "INSERT INTO sign_ins (name, at, request_id, unique_token_id, application_id, application, resource_id,"
            " resource, tenant, user_id, kind, protocol, requirement, required_by, conditional_access, policies, mfa,"
            " error, trusted_network) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            lambda ids, row: [
                f"{row.protocol or 'sign-in'} of {row.application or row.application_id}",
                round(row.at * 1000),
                row.request_id,
                row.unique_token_id,
                row.application_id,
                row.application,
                row.resource_id,
                row.resource,
                row.tenant,
                ids.user_id(row.user),
                row.kind,
                row.protocol,
                row.requirement,
                json.dumps(row.required_by) if row.required_by else None,
                row.conditional_access,
                json.dumps(row.policies) if row.policies else None,
                row.mfa,
                row.error,
                row.trusted_network,
            ],
        )

    def _add(self, rows: Iterable[Any], statement: str, values: Callable[[Rows, Any], list[Any]]) -> int:
        # Of Rows only the ids of users and operations are used, which belong to no session.
        ids = Rows(self._connection, 0)
        changed = 0
        stream = iter(rows)
        while chunk := list(islice(stream, _CHUNK)):

            def write(chunk: Sequence[Any] = chunk) -> None:
                nonlocal changed
                ids.forget()  # between two chunks a recorder's retention may have deleted rows
                for row in chunk:
                    filled = values(ids, row)
                    before = self._connection.total_changes
                    self._connection.execute(statement, filled)
                    changed += self._connection.total_changes - before

            self._transact(write)
        return changed

    def _end(self, rows: Rows, digest: str, sanitised: int) -> None:
        now = round(time.time() * 1000)
        self._transact(
            lambda: self._connection.execute(
                "UPDATE sessions SET sha256 = ?, sanitised = ?, folded = ?, last_beat = ?, ended = ?, ended_how = ?"
                " WHERE id = ?",
                [digest, sanitised, rows.folded, now, now, "stopped", rows.session_id],
            )
        )

    def _transact(self, write: Callable[[], object]) -> None:
        try:
            with writing(self._connection):
                write()
        except sqlite3.Error as error:
            raise files.unusable(self.path, error) from None


class _Matcher:
    """Knows calls of one capture again."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._equals: OrderedDict[bytes, int] = OrderedDict()
        self._matched: set[int] = set()

    def make_keys(self, chunk: Sequence[Observation]) -> list[bytes]:
        return [self._make_key(seen) for seen in chunk]

    def _make_key(self, seen: Observation) -> bytes:
        parts = (seen.token.key, seen.operation, seen.request_id or "", str(round(seen.at * 1000)))
        base = hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).digest()[:16]
        ordinal = self._equals.pop(base, 0) + 1
        self._equals[base] = ordinal
        if len(self._equals) > _EQUALS:
            self._equals.popitem(last=False)
        return hashlib.sha256(base + ordinal.to_bytes(8)).digest()[:16]

    def find_new(
        self, chunk: Sequence[Observation], keys: Sequence[bytes], added: Added
    ) -> Iterator[tuple[Observation, bytes]]:
        """The calls that are neither imported yet nor recorded live; the others are counted."""
        times = [round(seen.at * 1000) for seen in chunk]
        (live,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM calls WHERE at BETWEEN ? AND ? AND import_key IS NULL)",
            [min(times) - SAME_CALL_MS, max(times) + SAME_CALL_MS],
        ).fetchone()
        places = ", ".join("?" * len(keys))
        known = {
            key
            for (key,) in self._connection.execute(
                f"SELECT import_key FROM calls WHERE import_key IN ({places})",  # noqa: S608
                keys,
            )
        }
        for seen, key, at in zip(chunk, keys, times, strict=True):
            if key in known:
                added.imported_before += 1
            elif live and self._is_recorded(seen, at):
                added.recorded_live += 1
            else:
                yield seen, key

    def _is_recorded(self, seen: Observation, at: int) -> bool:
        if seen.request_id is None:
            return False
        found = self._connection.execute(
            "SELECT calls.id FROM calls JOIN tokens ON tokens.id = token_id"
            " JOIN operations ON operations.id = operation_id"
            " WHERE at BETWEEN ? AND ? AND import_key IS NULL AND request_id = ? AND tokens.key = ?"
            " AND operations.name = ? ORDER BY abs(at - ?)",
            [at - SAME_CALL_MS, at + SAME_CALL_MS, seen.request_id, seen.token.key, seen.operation, at],
        ).fetchall()
        # A client that tries again may send the same id twice: each live call stands for one.
        for (identifier,) in found:
            if identifier not in self._matched:
                self._matched.add(identifier)
                return True
        return False


def day_number(iso_day: str) -> int:
    """Days since 1970 of an ISO date."""
    from datetime import UTC, datetime

    return round(datetime.fromisoformat(iso_day).replace(tzinfo=UTC).timestamp() * 1000) // DAY_MS

"""From Observations to rows, inside a transaction that the caller opens and commits.

Ids of clients, tokens and the like are remembered; after a rollback they may name rows that never came to be,
so the caller then calls `forget`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Hashable, Sequence
from typing import Any, Final

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import Client, tool_of
from mfa_audit.judging.counts import flags_of
from mfa_audit.judging.naming import NAMING_VERSION, stable_name
from mfa_audit.judging.observations import Observation
from mfa_audit.judging.tokens import Token, User
from mfa_audit.judging.verdicts import RULES_VERSION
from mfa_audit.store import schema
from mfa_audit.store.inserts import insert
from mfa_audit.store.totals import HOUR_MS, Call, Totals

# How many different ones a database keeps apart. A caller that invents a new User-Agent, app id or path for
# every call would otherwise fill the disk; past the bound new ones share one row, and the session counts them.
LIMITS: Final = {"clients": 5_000, "programs": 5_000, "operations": 5_000, "users": 50_000, "tokens": 400_000}
OTHER: Final = "(other)"
# Different blind spots of one session and hour that are kept apart.
SPOTS_PER_HOUR: Final = 500
# Tokens with readable claims and a row of their own: those that can be judged anew.
NOT_FOLDED: Final = f"claims <> '{{}}' AND key NOT LIKE '{OTHER}:%'"
_REMEMBERED: Final = 5_000
# Names of one program that vary from run to run, of which so many are kept; further runs share a row.
RUNS_KEPT: Final = 20
# Calls among which one is looked for whose program became known late.
RECENT: Final = 10_000
_COUNTED_AGAIN: Final = 1_000  # folded rows

_INSERT_CALLS: Final = (
    "INSERT INTO calls (session_id, at, client_id, token_id, program_id, operation_id, status, flags,"
    " request_id, correlation_id, number, import_key)"
)


class Rows:
    """Writes Observations of one session. Not thread-safe: it belongs to the thread that writes."""

    def __init__(self, connection: sqlite3.Connection, session_id: int) -> None:
        self.connection = connection
        self.session_id = session_id
        self.folded = 0
        self._ids: dict[tuple[str, Hashable], int] = {}
        self._counts: dict[str, int] = {}
        self._spots: set[tuple[str | Program | None, ...]] = set()
        self._spots_hour = 0

    def forget(self) -> None:
        """Forget remembered ids, after a rollback."""
        self._ids.clear()
        self._counts.clear()

    def add(
        self,
        observations: Sequence[Observation],
        *,
        numbers: Sequence[int | None] | None = None,
        import_keys: Sequence[bytes] | None = None,
    ) -> None:
        """Insert calls, with their numbers in the session or import keys, and add them to the totals.

        Raises sqlite3.Error, and ValueError or OverflowError for a value that it refuses.
        """
        calls: list[tuple[Any, ...]] = []
        totals = Totals(self.session_id)
        nothing = [None] * len(observations)
        for seen, *keys in zip(observations, numbers or nothing, import_keys or nothing, strict=True):
            call = self._ids_of(seen)
            at, client, token, program, operation, flags = call
            ids = (seen.request_id, seen.correlation_id)
            calls.append(
                (self.session_id, at, client, token, program, operation, seen.status, flags, *ids, *keys)
            )
            totals.add(call)
        insert(self.connection, _INSERT_CALLS, calls)
        totals.write(self.connection)

    def name_program(self, number: int, program: Program) -> None:
        """Give one of the latest calls, of an unknown program, its program, which became known too late.

        Raises sqlite3.Error.
        """
        found = self.connection.execute(
            "SELECT id, at, client_id, token_id, program_id, operation_id, flags FROM calls"
            " WHERE session_id = ? AND number = ? AND program_id = ? AND id > (SELECT max(id) FROM calls) - ?",
            [self.session_id, number, schema.UNKNOWN_PROGRAM_ID, RECENT],
        ).fetchone()
        if found is None:
            return
        call = Call(*found[1:])
        program_id = self._program_id(program)
        self.connection.execute("UPDATE calls SET program_id = ? WHERE id = ?", [program_id, found[0]])
        totals = Totals(self.session_id)
        totals.add(call, -1)
        totals.add(call._replace(program=program_id))
        totals.write(self.connection)

    def _ids_of(self, seen: Observation) -> Call:
        flags = flags_of(
            accepted=seen.accepted,
            blocked=seen.blocked,
            blocked_by_test=seen.blocked_by_test,
            expired=seen.expired,
            server_compliant=seen.server is True,
            server_non_compliant=seen.server is False,
            unanswered=seen.unanswered,
            refused=seen.refused,
        )
        return Call(
            round(seen.at * 1000),
            self._client_id(seen.client),
            self._token_id(seen.token),
            self._program_id(seen.program),
            self._named_id("operations", seen.operation),
            flags,
        )

    def add_not_audited(
        self, at: float, host: str, user_agent: str | None, program: Program | None, reason: str
    ) -> None:
        """Count a connection that could not be read. `at` in seconds since 1970 (UTC)."""
        when = round(at * 1000)
        if not self._is_known_spot(when // HOUR_MS, (host, user_agent, program, reason)):
            host, user_agent, program = OTHER, OTHER, Program(OTHER)
        program_id = self._program_id(program)
        self.connection.execute(
            "INSERT INTO not_audited (name, hour, session_id, host, user_agent, program_id, reason, count, first, last)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)"
            " ON CONFLICT (hour, session_id, host, ifnull(user_agent, ''), program_id, reason)"
            " DO UPDATE SET count = count + 1, last = excluded.last",
            [
                f"{(program and program.name) or user_agent or 'a client'}: {reason}",
                when // HOUR_MS,
                self.session_id,
                host,
                user_agent,
                program_id,
                reason,
                when,
                when,
            ],
        )

    def _is_known_spot(self, hour: int, spot: tuple[str | Program | None, ...]) -> bool:
        """Whether this blind spot is one of the first of its hour, which have rows of their own."""
        if hour != self._spots_hour:
            self._spots_hour = hour
            self._spots.clear()
        if spot not in self._spots:
            if len(self._spots) >= SPOTS_PER_HOUR:
                self.folded += 1
                return False
            self._spots.add(spot)
        return True

    def operation_id(self, name: str) -> int:
        """The id of an operation, inserted when new. Raises sqlite3.Error."""
        return self._named_id("operations", name)

    def user_id(self, user: User | None) -> int | None:
        """The id of a user, inserted when new. Raises sqlite3.Error."""
        return self._user_id(user)

    def _remember(self, kind: str, value: Hashable, identifier: int) -> int:
        if len(self._ids) >= _REMEMBERED:
            self._ids.clear()
        self._ids[kind, value] = identifier
        return identifier

    def _is_full(self, table: str) -> bool:
        """Whether the table holds all the different rows that it may; counted here, so within one session's inserts."""
        count = self._counts.get(table)
        if count is None:
            (count,) = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        self._counts[table] = count + 1
        if count < LIMITS[table]:
            return False
        self.folded += 1
        if self.folded % _COUNTED_AGAIN == 0:  # another recorder may have made room
            self._counts.clear()
        return True

    def _id(self, table: str, where: str, columns: dict[str, Any]) -> int | None:
        found = self.connection.execute(f"SELECT id FROM {table} WHERE {where}", columns).fetchone()  # noqa: S608
        return None if found is None else int(found[0])

    def _insert(self, table: str, columns: dict[str, Any]) -> int:
        cursor = self.connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(':' + name for name in columns)})",  # noqa: S608
            columns,
        )
        assert cursor.lastrowid is not None  # noqa: S101 - sqlite3 sets it after every INSERT
        return cursor.lastrowid

    def _named_id(self, table: str, name: str) -> int:
        known = self._ids.get((table, name))
        if known is not None:
            return known
        row = {"name": name}
        found = self._id(table, "name = :name", row)
        if found is None and self._is_full(table):
            row = {"name": OTHER}
            found = self._id(table, "name = :name", row)
        return self._remember(table, name, found or self._insert(table, row))

    def _program_id(self, program: Program | None) -> int:
        if program is None:
            return schema.UNKNOWN_PROGRAM_ID
        known = self._ids.get(("programs", program))
        if known is not None:
            return known
        stored = program
        found = self._find_program(stored)
        if found is None and self._has_run_often(program):
            stored = program._replace(name=stable_name(program.name))
            found = self._find_program(stored)
        if found is None and self._is_full("programs"):
            stored = Program(OTHER)
            found = self._find_program(stored)
        derived = {"stable_name": stable_name(stored.name), "naming": NAMING_VERSION}
        return self._remember(
            "programs", program, found or self._insert("programs", stored._asdict() | derived)
        )

    def _has_run_often(self, program: Program) -> bool:
        """Whether enough is known of what this program is called in single runs."""
        shared = stable_name(program.name)
        if shared == program.name:
            return False
        (count,) = self.connection.execute(
            "SELECT count(*) FROM programs WHERE stable_name = ? AND name <> stable_name"
            " AND account IS ? AND started_by IS ?",
            [shared, program.account, program.started_by],
        ).fetchone()
        return int(count) >= RUNS_KEPT

    def _find_program(self, program: Program) -> int | None:
        return self._id(
            "programs",
            "name = :name AND ifnull(account, '') = ifnull(:account, '')"
            " AND ifnull(started_by, '') = ifnull(:started_by, '')",
            program._asdict(),
        )

    def _client_id(self, client: Client) -> int:
        known = self._ids.get(("clients", client))
        if known is not None:
            return known
        found = self._find_client(client)
        stored = client
        if found is None and self._is_full("clients"):
            stored = Client(None, OTHER, None, None, None)
            found = self._find_client(stored)
        if found is None:
            tool_id = tool_row_id(self.connection, stored)
            name = (
                stored.user_agent or stored.application or stored.client or stored.app_id or "unnamed client"
            )
            found = self._insert(
                "clients", {"tool_id": tool_id, "name": name, "naming": NAMING_VERSION, **stored._asdict()}
            )
        return self._remember("clients", client, found)

    def _find_client(self, client: Client) -> int | None:
        return self._id(
            "clients",
            "ifnull(app_id, '') = ifnull(:app_id, '') AND ifnull(application, '') = ifnull(:application, '')"
            " AND ifnull(client, '') = ifnull(:client, '') AND ifnull(user_agent, '') = ifnull(:user_agent, '')"
            " AND ifnull(sdk_version, '') = ifnull(:sdk_version, '')",
            client._asdict(),
        )

    def _user_id(self, user: User | None) -> int | None:
        if user is None:
            return None
        known = self._ids.get(("users", user))
        if known is not None:
            return known
        where = (
            "ifnull(tenant, '') = ifnull(:tenant, '') AND ifnull(object_id, '') = ifnull(:object_id, '')"
            " AND ifnull(name, '') = ifnull(:name, '')"
        )
        row = {"tenant": user.tenant, "object_id": user.object_id, "name": user.name}
        found = self._id("users", where, row)
        if found is None and self._is_full("users"):
            row = {"tenant": None, "object_id": None, "name": OTHER}
            found = self._id("users", where, row)
        return self._remember("users", user, found or self._insert("users", row))

    def _token_id(self, token: Token) -> int:
        known = self._ids.get(("tokens", token.key))
        if known is not None:
            return known
        key = token.key
        found = self._id("tokens", "key = :key", {"key": key})
        if found is None and self._is_full("tokens"):
            # Past the bound a token keeps its verdict, but shares a row with its like.
            key = f"{OTHER}:{token.verdict}:{token.reason}"
            found = self._id("tokens", "key = :key", {"key": key})
        if found is None:
            found = self._insert("tokens", token_row(token, key, self._user_id(token.user)))
        return self._remember("tokens", token.key, found)


def token_row(token: Token, key: str, user_id: int | None) -> dict[str, Any]:
    """The columns of `tokens`; `name` is a label for people, such as `v1.0 token 3f9a0c12 (amr-without-mfa)`."""
    return {
        "name": f"{token.form} {'token ' + key[:8] if token.fingerprint == key else key} ({token.reason})",
        "key": key,
        "form": token.form.value,
        "user_id": user_id,
        "app_id": token.app_id,
        "issued": None if token.issued is None else round(token.issued * 1000),
        "expires": None if token.expires is None else round(token.expires * 1000),
        "verdict": token.verdict.value,
        "reason": token.reason,
        "rules": RULES_VERSION,
        "claims": json.dumps(token.claims, separators=(",", ":")),
    }


def tool_row_id(connection: sqlite3.Connection, client: Client) -> int:
    """The id of the tool that the client is, inserted when new."""
    columns = tool_of(client)._asdict()
    where = "name = :name" + "".join(
        f" AND ifnull({name}, '') = ifnull(:{name}, '')" for name in columns if name != "name"
    )
    found = connection.execute(f"SELECT id FROM tools WHERE {where}", columns).fetchone()  # noqa: S608
    if found is not None:
        return int(found[0])
    cursor = connection.execute(
        f"INSERT INTO tools ({', '.join(columns)}) VALUES ({', '.join(':' + name for name in columns)})",  # noqa: S608
        columns,
    )
    assert cursor.lastrowid is not None  # noqa: S101 - sqlite3 sets it after every INSERT
    return cursor.lastrowid


def rejudge(connection: sqlite3.Connection) -> None:
    """Judge stored tokens, and derive stored names, anew where an older version of the rules did."""
    _judge_tokens(connection)
    _derive_names(connection)


def _judge_tokens(connection: sqlite3.Connection) -> None:
    from mfa_audit.judging.tokens import Form
    from mfa_audit.judging.verdicts import judge

    stale = connection.execute(
        f"SELECT id, form, claims FROM tokens WHERE rules < ? AND {NOT_FOLDED}",  # noqa: S608
        [RULES_VERSION],
    ).fetchall()
    for identifier, form, claims in stale:
        verdict, reason = judge(Form(form), json.loads(claims))
        connection.execute(
            "UPDATE tokens SET verdict = ?, reason = ?, rules = ? WHERE id = ?",
            [verdict.value, reason, RULES_VERSION, identifier],
        )


def _derive_names(connection: sqlite3.Connection) -> None:
    for identifier, *values in connection.execute(
        "SELECT id, app_id, application, client, user_agent, sdk_version FROM clients WHERE naming < ?",
        [NAMING_VERSION],
    ).fetchall():
        connection.execute(
            "UPDATE clients SET tool_id = ?, naming = ? WHERE id = ?",
            [tool_row_id(connection, Client(*values)), NAMING_VERSION, identifier],
        )
    for identifier, name in connection.execute(
        "SELECT id, name FROM programs WHERE naming < ?", [NAMING_VERSION]
    ).fetchall():
        connection.execute(
            "UPDATE programs SET stable_name = ?, naming = ? WHERE id = ?",
            [stable_name(name), NAMING_VERSION, identifier],
        )

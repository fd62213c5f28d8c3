"""Reading an audit database: from rows to a Ledger. Nobody outside `store` sees a row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import Client, Tool, tool_of
from mfa_audit.judging.history import Use
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import NO_TOKEN, Form, User
from mfa_audit.judging.verdicts import RULES_VERSION, judge
from mfa_audit.store import files, schema
from mfa_audit.store.ledger import ClientCount, ClientUse, Ledger, UnreadConnections
from mfa_audit.store.list_rows import read_facts
from mfa_audit.store.rows import NOT_FOLDED
from mfa_audit.store.session_rows import gap_facts, session_facts
from mfa_audit.store.totals import ADD_UP, DAY_MS, HOUR_MS
from mfa_audit.store.uses import Kind, gather_kinds, read_each


def read_ledger(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    sessions: Sequence[str] | None = None,
    without: Sequence[str] = (),
    uses_only: bool = False,
) -> Ledger:
    """What the database holds from `start` (included) to `end` (excluded), seconds since 1970 (UTC); None: open.

    Only of the `sessions` with these UUIDs, and not of those in `without`; with `uses_only` no operations and days,
    which takes half the time. Bounds are exact to the millisecond
    where single calls are still kept; older ones are rounded outward to hours (`rounded`). Raises AuditError.
    """
    wanted = _Wanted(path, start, end, sessions, without, uses_only)
    return files.read(path, lambda connection: _Reading(connection, wanted).ledger())


def read_sessions(path: Path) -> dict[str, float]:
    """UUID and last sign of life (seconds since 1970, UTC) of each session in the database. Raises AuditError."""
    return files.read(
        path,
        lambda connection: {
            uuid: beat / 1000 for uuid, beat in connection.execute("SELECT uuid, last_beat FROM sessions")
        },
    )


class _Wanted(NamedTuple):
    """The arguments of `read_ledger`."""

    path: Path
    start: float | None
    end: float | None
    sessions: Sequence[str] | None
    without: Sequence[str]
    uses_only: bool


_CALL_AS_TOTAL: Final = (
    "SELECT token_id, client_id, program_id, session_id, imported, 1, flags & 1, flags >> 1 & 1, flags >> 2 & 1,"
    " flags >> 3 & 1, flags >> 4 & 1, flags >> 5 & 1, at, at"
    " FROM calls CROSS JOIN temp.chosen ON chosen.id = session_id WHERE at >= ? AND at < ?"
)
_TOTAL: Final = (
    "SELECT token_id, client_id, program_id, session_id, imported, calls, accepted, blocked, blocked_by_test,"
    " expired, server_compliant, server_non_compliant, first, last"
    # CROSS: SQLite is not to begin with the sessions, and to read all totals for each of them.
    " FROM totals CROSS JOIN temp.chosen ON chosen.id = session_id WHERE hour >= ? AND hour < ?"
)
_FAR: Final = 1 << 60


class _Reading:
    """One pass over a database; temporary tables live as long as its connection."""

    def __init__(self, connection: sqlite3.Connection, wanted: _Wanted) -> None:
        self.connection = connection
        self.path = wanted.path
        self.from_ms = None if wanted.start is None else round(wanted.start * 1000)
        self.to_ms = None if wanted.end is None else round(wanted.end * 1000)
        self.rounded = False
        self._uses_only = wanted.uses_only
        none = connection.execute("SELECT id FROM tokens WHERE key = ?", [NO_TOKEN.key]).fetchone()
        self._no_token: int | None = none and none[0]
        self._choose_sessions(wanted.sessions, wanted.without)
        self._round_bounds()
        self._gather_uses()
        self._judge_stale_tokens()
        self._clients = {
            identifier: Client(*values)
            for identifier, *values in connection.execute(
                "SELECT id, app_id, application, client, user_agent, sdk_version FROM clients"
            )
        }
        self._programs: dict[int, Program | None] = {
            identifier: Program(*values)
            for identifier, *values in connection.execute(
                "SELECT id, name, account, started_by FROM programs"
            )
        }
        self._programs[schema.UNKNOWN_PROGRAM_ID] = None
        self._users: dict[int, User] = {}

    def ledger(self) -> Ledger:
        without_token, tokens = self._count()
        return Ledger(
            database=self.path,
            start=None if self.from_ms is None else self.from_ms / 1000,
            end=None if self.to_ms is None else self.to_ms / 1000,
            rounded=self.rounded,
            uses=tuple(self._uses()),
            without_token=without_token,
            tokens=tokens,
            operations=() if self._uses_only else tuple(self._operations()),
            days=() if self._uses_only else tuple(self._days()),
            not_audited=tuple(self._not_audited()),
            sessions=tuple(session_facts(self.connection)),
            gaps=tuple(gap_facts(self.connection)),
            microsoft=read_facts(self.connection, self.from_ms, self.to_ms, self._clients, self._programs),
        )

    def _choose_sessions(self, wanted: Sequence[str] | None, without: Sequence[str]) -> None:
        self.connection.execute(
            "CREATE TEMP TABLE chosen (id INTEGER PRIMARY KEY, imported INTEGER NOT NULL)"
        )
        self.connection.execute(
            "INSERT INTO temp.chosen SELECT id, kind = 'import' FROM sessions"
            " WHERE (? IS NULL OR uuid IN (SELECT value FROM json_each(?)))"
            " AND uuid NOT IN (SELECT value FROM json_each(?))",
            [
                None if wanted is None else 1,
                json.dumps(list(wanted or ())),
                json.dumps(list(without)),
            ],
        )

    def _round_bounds(self) -> None:
        """Where single calls have been deleted already, only whole hours are known."""
        # Of imports calls and totals are kept equally long (retention.py).
        (oldest_call,) = self.connection.execute(
            "SELECT (SELECT at FROM calls WHERE import_key IS NULL ORDER BY at LIMIT 1)"
        ).fetchone()
        (oldest_hour,) = self.connection.execute(
            "SELECT (SELECT hour FROM totals WHERE session_id IN (SELECT id FROM sessions WHERE kind <> 'import')"
            " ORDER BY hour LIMIT 1)"
        ).fetchone()
        if oldest_hour is None:
            return
        complete_from = _FAR if oldest_call is None else self._first_complete_hour(oldest_call // HOUR_MS)
        if complete_from == oldest_hour:
            return  # nothing has been deleted yet
        if self.from_ms is not None and self.from_ms % HOUR_MS and self.from_ms // HOUR_MS < complete_from:
            self.from_ms -= self.from_ms % HOUR_MS
            self.rounded = True
        if self.to_ms is not None and self.to_ms % HOUR_MS and self.to_ms // HOUR_MS < complete_from:
            self.to_ms += -self.to_ms % HOUR_MS
            self.rounded = True

    def _first_complete_hour(self, hour: int) -> int:
        """`hour`, that of the oldest call, if all of its calls are still there, else the one after it."""
        (calls,) = self.connection.execute(
            "SELECT count(*) FROM calls WHERE at < ?", [(hour + 1) * HOUR_MS]
        ).fetchone()
        (total,) = self.connection.execute("SELECT sum(calls) FROM totals WHERE hour = ?", [hour]).fetchone()
        return hour if calls == total else hour + 1

    def _hour_range(self) -> tuple[int, int]:
        """The whole hours inside the bounds."""
        first = -_FAR if self.from_ms is None else -(-self.from_ms // HOUR_MS)
        after = _FAR if self.to_ms is None else self.to_ms // HOUR_MS
        return first, after

    def _gather_uses(self) -> None:
        """Add up, per client, program and token, the totals of whole hours and the calls of the two edges."""
        self.connection.execute(
            "CREATE TEMP TABLE uses (token_id, client_id, program_id, session_id, imported, calls, accepted, blocked,"
            " blocked_by_test, expired, server_compliant, server_non_compliant, first, last,"
            " PRIMARY KEY (token_id, client_id, program_id, session_id)) WITHOUT ROWID"
        )
        first, after = self._hour_range()
        if first <= after:
            self._gather(_TOTAL, first, after)
            edges = [(self.from_ms, first * HOUR_MS), (after * HOUR_MS, self.to_ms)]
        else:
            edges = [(self.from_ms, self.to_ms)]
        for edge_start, edge_end in edges:
            if edge_start is not None and edge_end is not None and edge_start < edge_end:
                self._gather(_CALL_AS_TOTAL, edge_start, edge_end)

    def _gather(self, source: str, start: int, end: int) -> None:
        # Into a table with a key, since tokens come in the order of time: half the time of a GROUP BY.
        self.connection.execute(
            f"INSERT INTO temp.uses {source} ON CONFLICT DO UPDATE SET {ADD_UP}", [start, end]
        )

    def _judge_stale_tokens(self) -> None:
        """Judge anew what an older version of the rules judged; the file itself is a recorder's to bring up to date."""
        self.connection.execute(
            "CREATE TEMP TABLE judged (token_id INTEGER PRIMARY KEY, verdict TEXT, reason TEXT)"
        )
        stale = self.connection.execute(
            f"SELECT id, form, claims FROM tokens WHERE rules < ? AND {NOT_FOLDED}",  # noqa: S608
            [RULES_VERSION],
        ).fetchall()
        for identifier, form, claims in stale:
            verdict, reason = judge(Form(form), json.loads(claims))
            self.connection.execute(
                "INSERT INTO temp.judged VALUES (?, ?, ?)", [identifier, verdict.value, reason]
            )
        self._tokens = (
            "tokens INDEXED BY tokens_facts"
            if not stale
            else "(SELECT id, user_id, form, issued, ifnull(judged.verdict, tokens.verdict) AS verdict,"
            " ifnull(judged.reason, tokens.reason) AS reason"
            " FROM tokens LEFT JOIN temp.judged ON judged.token_id = tokens.id) AS tokens"
        )

    def _count(self) -> tuple[int, int]:
        """Calls without a token, and different tokens."""
        return self.connection.execute(  # type: ignore[no-any-return]
            "SELECT ifnull(sum(calls) FILTER (WHERE token_id IS ?1), 0),"
            " count(DISTINCT token_id) FILTER (WHERE token_id IS NOT ?1) FROM temp.uses",
            [self._no_token],
        ).fetchone()

    def _uses(self) -> list[ClientUse]:
        """Uses by kind; but token by token where a program of a user used tokens both with and without MFA."""
        kept: list[Kind] = []
        for (_, program, user), group in self._by_tool(gather_kinds(self.connection, self._tokens)).items():
            if len({(row.verdict, row.blocked > 0, row.server_non_compliant > 0) for row in group}) == 1:
                kept += group
            else:
                clients = sorted({row.client for row in group})
                kept += read_each(self.connection, self._tokens, clients, program, user)
        claims = self._claims({row.token for row in kept})
        self._users = self._find_users({row.user for row in kept if row.user is not None})
        return [self._use(row, claims) for row in kept]

    def _by_tool(self, rows: Sequence[Kind]) -> dict[tuple[Tool, int, int | None], list[Kind]]:
        """Rows by tool, program and user: what one verdict is passed on."""
        tools = {identifier: tool_of(client) for identifier, client in self._clients.items()}
        groups: dict[tuple[Tool, int, int | None], list[Kind]] = {}
        for row in rows:
            groups.setdefault((tools[row.client], row.program, row.user), []).append(row)
        return groups

    def _claims(self, tokens: set[int]) -> dict[int, Mapping[str, Any]]:
        found = self.connection.execute(
            "SELECT id, claims FROM tokens WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(sorted(tokens))],
        )
        return {identifier: json.loads(claims) for identifier, claims in found}

    def _find_users(self, users: set[int]) -> dict[int, User]:
        found = self.connection.execute(
            "SELECT id, tenant, object_id, name FROM users WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(sorted(users))],
        )
        return {identifier: User(tenant, object_id, name) for identifier, tenant, object_id, name in found}

    def _use(self, row: Kind, claims: Mapping[int, Mapping[str, Any]]) -> ClientUse:
        return ClientUse(
            client=self._clients[row.client],
            program=self._programs[row.program],
            form=Form(row.form),
            claims=claims[row.token],
            use=Use(
                verdict=Verdict(row.verdict),
                reason=row.reason,
                user=None if row.user is None else self._users[row.user],
                tokens=row.tokens,
                issued=(row.issued / 1000, row.issued_last / 1000),
                first=row.first / 1000,
                last=row.last / 1000,
                requests=row.calls,
                accepted=row.accepted,
                blocked=row.blocked,
                blocked_by_test=row.blocked_by_test,
                expired=row.expired,
                server_compliant=row.server_compliant,
                server_non_compliant=row.server_non_compliant,
                imported=bool(row.imported),
            ),
        )

    def _operations(self) -> list[ClientCount]:
        """Whole days, rounded outward: what is called hardly changes within one."""
        first = -_FAR if self.from_ms is None else self.from_ms // DAY_MS
        after = _FAR if self.to_ms is None else -(-self.to_ms // DAY_MS)
        return [
            ClientCount(self._clients[client], self._programs[program], name, calls)
            for client, program, name, calls in self.connection.execute(
                "SELECT client_id, program_id, operations.name, sum(calls) FROM operation_totals"
                " JOIN temp.chosen ON chosen.id = session_id JOIN operations ON operations.id = operation_id"
                " WHERE day >= ? AND day < ? GROUP BY client_id, program_id, operation_id",
                [first, after],
            )
        ]

    def _days(self) -> list[ClientCount]:
        """Calls with a token by local day, the hours at the edges whole; labelled with their first hour."""
        first = -_FAR if self.from_ms is None else self.from_ms // HOUR_MS
        after = _FAR if self.to_ms is None else -(-self.to_ms // HOUR_MS)
        return [
            ClientCount(self._clients[client], self._programs[program], hour * HOUR_MS / 1000, calls)
            for client, program, hour, calls in self.connection.execute(
                "SELECT client_id, program_id, min(hour), sum(calls) FROM totals"  # noqa: S608
                " CROSS JOIN temp.chosen ON chosen.id = session_id"
                " WHERE hour >= ? AND hour < ? AND token_id IS NOT ?"
                f" GROUP BY (hour * 3600 + {self._offset()}) / 86400, client_id, program_id",
                [first, after, self._no_token],
            )
        ]

    def _offset(self) -> str:
        """The local zone's offset from UTC in seconds, as SQL over `hour`."""
        # Asked for both at once, SQLite reads all rows.
        first, last = self.connection.execute(
            "SELECT (SELECT min(hour) FROM totals), (SELECT max(hour) FROM totals)"
        ).fetchone()
        cases, before = "", None
        for hour in range(last or 0, (first or 0) - 1, -1):
            offset = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC).astimezone().utcoffset()
            seconds = int(offset.total_seconds()) if offset is not None else 0
            if seconds != before:
                before = seconds
                cases = f"WHEN hour <= {hour} THEN {seconds} {cases}"
        return f"CASE {cases} END"

    def _not_audited(self) -> list[UnreadConnections]:
        first = -_FAR if self.from_ms is None else self.from_ms
        after = _FAR if self.to_ms is None else self.to_ms
        return [
            UnreadConnections(
                host, user_agent, self._programs[program], reason, count, seen / 1000, last / 1000
            )
            for host, user_agent, program, reason, count, seen, last in self.connection.execute(
                "SELECT host, user_agent, program_id, reason, sum(count), min(first), max(last) FROM not_audited"
                " JOIN temp.chosen ON chosen.id = session_id WHERE last >= ? AND first < ?"
                # A healthy browser opens connections that it does not use; that its calls could be read shows that it
                # takes our certificate. And who got through at another time was not kept from us by a lost network.
                " AND NOT (reason IN ('no-request', 'unreachable') AND EXISTS (SELECT 1 FROM temp.uses JOIN clients"
                " ON clients.id = uses.client_id WHERE uses.session_id = not_audited.session_id"
                " AND (uses.program_id = not_audited.program_id AND uses.program_id <> 1"
                " OR clients.user_agent = not_audited.user_agent)))"
                " GROUP BY host, user_agent, program_id, reason",
                [first, after],
            )
        ]

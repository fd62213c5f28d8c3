"""Reading audit databases: from rows to a Ledger. Nobody outside `store` sees a row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import Client
from mfa_audit.judging.evidence import Stretch
from mfa_audit.judging.tokens import NO_TOKEN, Form, User
from mfa_audit.judging.verdicts import RULES_VERSION, judge
from mfa_audit.store import files, schema
from mfa_audit.store.day_counts import count_days, count_operations
from mfa_audit.store.failing_calls import FailingCall, read_failing_calls
from mfa_audit.store.ledger import Ledger, Origin, Party, PartyCount, UnreadConnections, Use, WeekUse
from mfa_audit.store.list_rows import read_facts
from mfa_audit.store.merging import Merged, first_exact_hour, merge
from mfa_audit.store.pending import is_laid_over
from mfa_audit.store.rows import NOT_FOLDED
from mfa_audit.store.session_rows import gap_facts, session_facts
from mfa_audit.store.sign_in_rows import read_sign_ins
from mfa_audit.store.stretches import FAR, Stretches, ids_as_json
from mfa_audit.store.totals import DAY_MS, HOUR_MS
from mfa_audit.store.week_counts import count_weeks

# Which parties' Stretches are to be read hour by hour, by all that they did.
Choose = Callable[[Sequence[Use]], Collection[Party]]


class Wanted(NamedTuple):
    """What to read: from `start` (included) to `end` (excluded), seconds since 1970 (UTC); None is open.

    Only of the `sessions` with these UUIDs, None: of all. `since`: nothing in them is earlier, so that no more is read.
    `weeks`: also week by week.
    """

    start: float | None = None
    end: float | None = None
    sessions: tuple[str, ...] | None = None
    since: float | None = None
    weeks: bool = False


def read_ledger(
    paths: Path | Sequence[Path], wanted: Wanted | None = None, choose: Choose = lambda uses: ()
) -> Ledger:
    """What these databases hold of the period and of the time before it, as if they were one.

    Bounds are exact to the millisecond where single calls are still kept; older ones are rounded outward to hours
    (`rounded`). Raises AuditError.
    """
    wanted = wanted or Wanted()
    several = [paths] if isinstance(paths, Path) else list(dict.fromkeys(paths))
    if len(several) == 1:
        return files.read(several[0], lambda connection: _Reading(connection, wanted).ledger(choose))
    with merge(several, wanted.start, wanted.end) as merged:
        return _Reading(merged.connection, wanted, merged).ledger(choose)


def read_failures(
    paths: Sequence[Path], wanted: Wanted, choose: Choose, most: int = 10
) -> tuple[FailingCall, ...]:
    """The latest calls without MFA of the parties that `choose` takes, newest first. Raises AuditError.

    A call that stands in two of the databases is one.
    """

    def read(connection: sqlite3.Connection) -> list[FailingCall]:
        return _Reading(connection, wanted).failures(choose, most)

    found = {call for path in dict.fromkeys(paths) for call in files.read(path, read)}
    return tuple(sorted(found, key=lambda call: (-call.at, call.request_id or ""))[:most])


class _Reading:
    """One pass over a database; temporary tables live as long as its connection."""

    def __init__(self, connection: sqlite3.Connection, wanted: Wanted, merged: Merged | None = None) -> None:
        self.connection = connection
        self.from_ms = None if wanted.start is None else round(wanted.start * 1000)
        self.to_ms = None if wanted.end is None else round(wanted.end * 1000)
        self.rounded = False
        self._wants_weeks = wanted.weeks
        self._counted_twice = merged.counted_twice if merged else 0
        none = connection.execute("SELECT id FROM tokens WHERE key = ?", [NO_TOKEN.key]).fetchone()
        self._no_token: int | None = none and none[0]
        self._choose_sessions(wanted.sessions)
        self.exact_from = merged.exact_from if merged else first_exact_hour(connection)
        self._round_bounds()
        self._judge_stale_tokens()
        self._floor = -FAR if wanted.since is None else round(wanted.since * 1000) // DAY_MS * DAY_MS
        self._stretches = Stretches(connection, self._tokens, self.from_ms, self.to_ms, self._floor)
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
        self._parties: dict[tuple[int, int, int], Party] = {}

    def ledger(self, choose: Choose) -> Ledger:
        without_token, tokens = self._stretches.count(self._no_token)
        uses = self._uses()
        start = self._floor if self.from_ms is None else self.from_ms
        end = FAR if self.to_ms is None else self.to_ms
        return Ledger(
            start=None if self.from_ms is None else start / 1000,
            end=None if self.to_ms is None else end / 1000,
            rounded=self.rounded,
            uses=tuple(uses),
            times=self._times(choose(uses)),
            without_token=without_token,
            tokens=tokens,
            operations=self._counts(count_operations(self.connection, start, end, self.exact_from)),
            days=self._counts(count_days(self.connection, start, end, self._no_token, self.exact_from)),
            not_audited=tuple(self._not_audited(start, end)),
            sessions=tuple(session_facts(self.connection)),
            gaps=tuple(gap_facts(self.connection)),
            microsoft=read_facts(self.connection, self.to_ms, self._party),
            counted_twice=self._counted_twice,
            sign_ins=read_sign_ins(self.connection, start, end, self._party),
            weeks=self._weeks(start, end) if self._wants_weeks else (),
        )

    def failures(self, choose: Choose, most: int) -> list[FailingCall]:
        parties = choose(self._uses())
        ids = [key for key, party in self._parties.items() if party in parties]
        return read_failing_calls(self.connection, ids, self.from_ms, self.to_ms, most)

    def _weeks(self, start: int, end: int) -> tuple[WeekUse, ...]:
        return tuple(
            WeekUse(self._party(client, program, origin), week, stretch)
            for client, program, origin, week, stretch in count_weeks(
                self.connection, self._tokens, start, end, self._no_token
            )
        )

    def _choose_sessions(self, wanted: Sequence[str] | None) -> None:
        # A machine is shown by its name; where several have one name, each with a piece of its id.
        self.connection.execute(
            "CREATE TEMP TABLE machines AS SELECT sessions.id AS session, sessions.machine"
            " || iif(namesakes > 1 AND machine_id IS NOT NULL, ' (' || substr(machine_id, 1, 4) || ')', '') AS shown"
            " FROM sessions JOIN (SELECT machine, count(DISTINCT machine_id) AS namesakes FROM sessions"
            " GROUP BY machine) AS names ON names.machine = sessions.machine"
        )
        self.connection.execute("CREATE UNIQUE INDEX temp.machines_session ON machines (session)")
        self.connection.execute(
            "CREATE TEMP TABLE origins (id INTEGER PRIMARY KEY, machine, account, capture)"
        )
        self.connection.execute(
            "INSERT INTO temp.origins (machine, account, capture) SELECT DISTINCT shown, account,"
            " iif(kind = 'import', ifnull(source, ''), NULL) FROM sessions"
            " JOIN temp.machines ON machines.session = sessions.id"
        )
        self.connection.execute(
            "CREATE TEMP TABLE chosen (id INTEGER PRIMARY KEY, imported INTEGER NOT NULL, origin INTEGER NOT NULL)"
        )
        self.connection.execute(
            "INSERT INTO temp.chosen SELECT sessions.id, kind = 'import', origins.id FROM sessions"
            " JOIN temp.machines ON machines.session = sessions.id JOIN temp.origins"
            " ON origins.machine = machines.shown AND origins.account = sessions.account"
            " AND origins.capture IS iif(kind = 'import', ifnull(source, ''), NULL)"
            " WHERE (? IS NULL OR uuid IN (SELECT value FROM json_each(?)))",
            [None if wanted is None else 1, json.dumps(list(wanted or ()))],
        )
        self._origins = {
            identifier: Origin(*values)
            for identifier, *values in self.connection.execute(
                "SELECT id, machine, account, capture FROM temp.origins"
            )
        }

    def _round_bounds(self) -> None:
        """Where single calls have been deleted already, only whole hours are known."""
        if self.exact_from is None:
            return
        if self.from_ms is not None and self.from_ms % HOUR_MS and self.from_ms // HOUR_MS < self.exact_from:
            self.from_ms -= self.from_ms % HOUR_MS
            self.rounded = True
        if self.to_ms is not None and self.to_ms % HOUR_MS and self.to_ms // HOUR_MS < self.exact_from:
            self.to_ms += -self.to_ms % HOUR_MS
            self.rounded = True

    def _judge_stale_tokens(self) -> None:
        """Judge anew what an older version of the rules judged; the file itself is a recorder's to bring up to date."""
        self.connection.execute("CREATE TEMP TABLE judged (token_id INTEGER PRIMARY KEY, reason TEXT)")
        stale = self.connection.execute(
            f"SELECT id, form, claims FROM tokens WHERE rules < ? AND {NOT_FOLDED}",  # noqa: S608
            [RULES_VERSION],
        ).fetchall()
        for identifier, form, claims in stale:
            _, reason = judge(Form(form), json.loads(claims))
            self.connection.execute("INSERT INTO temp.judged VALUES (?, ?)", [identifier, reason])
        self._tokens = (
            ("tokens" if is_laid_over(self.connection) else "tokens INDEXED BY tokens_facts")
            if not stale
            else "(SELECT id, user_id, form, issued, ifnull(judged.reason, tokens.reason) AS reason"
            " FROM tokens LEFT JOIN temp.judged ON judged.token_id = tokens.id) AS tokens"
        )

    def _party(self, client: int, program: int, origin: int) -> Party:
        key = (client, program, origin)
        known = self._parties.get(key)
        if known is None:
            known = self._parties[key] = Party(
                self._clients[client], self._programs[program], self._origins[origin]
            )
        return known

    def _uses(self) -> list[Use]:
        rows = list(self._stretches.sums())
        claims = self._claims(row.token for row in rows)
        users = self._users(row.user for row in rows if row.user is not None)
        return [
            Use(
                self._party(row.client, row.program, row.origin),
                None if row.user is None else users[row.user],
                row.listed,
                row.stretch,
                claims[row.token],
            )
            for row in rows
        ]

    def _times(self, parties: Collection[Party]) -> Mapping[Party, Sequence[tuple[User | None, Stretch]]]:
        wanted = set(parties)
        if not wanted:
            return {}
        ids = [key for key, party in self._parties.items() if party in wanted]
        rows = list(self._stretches.hours(ids))
        users = self._users({row.user for row in rows if row.user is not None})
        times: dict[Party, list[tuple[User | None, Stretch]]] = {}
        for row in rows:
            party = self._party(row.client, row.program, row.origin)
            user = None if row.user is None else users[row.user]
            times.setdefault(party, []).append((user, row.stretch))
        return times

    def _claims(self, tokens: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        found = self.connection.execute(
            "SELECT id, claims FROM tokens WHERE id IN (SELECT value FROM json_each(?))",
            [ids_as_json(set(tokens))],
        )
        return {identifier: json.loads(claims) for identifier, claims in found}

    def _users(self, users: Iterable[int]) -> dict[int, User]:
        found = self.connection.execute(
            "SELECT id, tenant, object_id, name FROM users WHERE id IN (SELECT value FROM json_each(?))",
            [ids_as_json(set(users))],
        )
        return {identifier: User(tenant, object_id, name) for identifier, tenant, object_id, name in found}

    def _counts(self, rows: Iterable[tuple[int, int, int, str | float, int]]) -> tuple[PartyCount, ...]:
        return tuple(
            PartyCount(self._party(client, program, origin), label, calls)
            for client, program, origin, label, calls in rows
        )

    def _not_audited(self, start: int, end: int) -> list[UnreadConnections]:
        if self.connection.execute("SELECT NOT EXISTS (SELECT 1 FROM not_audited)").fetchone()[0]:
            return []
        programs: set[tuple[int, int]] = set()
        agents: set[tuple[int, str | None]] = set()
        for session, program, agent in self.connection.execute(
            "SELECT DISTINCT session_id, program_id, user_agent FROM temp.uses JOIN clients ON clients.id = client_id"
        ):
            if program != schema.UNKNOWN_PROGRAM_ID:
                programs.add((session, program))
            if agent is not None:
                agents.add((session, agent))
        found: dict[tuple[Any, ...], list[int]] = {}
        for session, origin, host, agent, program, reason, count, first, last in self.connection.execute(
            "SELECT session_id, origin, host, user_agent, program_id, reason, sum(count), min(first), max(last)"
            " FROM not_audited JOIN temp.chosen ON chosen.id = session_id WHERE last >= ? AND first < ?"
            " GROUP BY session_id, host, user_agent, program_id, reason",
            [start, end],
        ):
            read = (session, program) in programs or (session, agent) in agents
            sums = found.setdefault((host, agent, program, reason, origin, read), [0, first, last])
            sums[0] += count
            sums[1] = min(sums[1], first)
            sums[2] = max(sums[2], last)
        return [
            UnreadConnections(
                host,
                agent,
                self._programs[program],
                reason,
                count,
                first / 1000,
                last / 1000,
                self._origins[origin],
                read,
            )
            for (host, agent, program, reason, origin, read), (count, first, last) in found.items()
        ]

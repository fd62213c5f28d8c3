"""What each token did for each client, program and origin: from totals and calls to Stretches.

Totals are of whole hours; single calls give a period its exact edges. Where only sums are asked for, tokens that differ
in nothing but their number are one Stretch: the same user, reason, and the same counts above nought.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from mfa_audit.judging.counts import COUNTS, STORED, Counts
from mfa_audit.judging.evidence import Stretch
from mfa_audit.store.totals import HOUR_MS

FAR: Final = 1 << 60
_READ: Final = ", ".join(Counts._fields)
_SUMS: Final = (
    ", ".join(f"{name} = {name} + excluded.{name}" for name in Counts._fields)
    + ", first = min(first, excluded.first), last = max(last, excluded.last)"
)
_NO_WORDS: Final = ", ".join("0" for count in COUNTS if count.bit is None)
_OF_TOTAL: Final = f"calls, {', '.join(STORED)}, {_NO_WORDS}, first, last"
_OF_CALL: Final = (
    f"1, {', '.join(f'flags >> {bit} & 1' for bit in range(len(STORED)))}, {_NO_WORDS}, calls.at, calls.at"
)


# Equal where all that is counted is counted of some, of all or of none of the calls alike.
def _pattern(names: Sequence[str]) -> str:
    more = ("expired < calls", "unanswered < calls")
    tests = (*(f"{name} > 0" for name in names), *more)
    return " | ".join(f"(({test}) << {place})" for place, test in enumerate(tests))


PATTERN: Final = _pattern(Counts._fields)
STORED_PATTERN: Final = _pattern(("calls", *STORED))
# A call without a token is nobody's, unless Partner Center took it, or it or Microsoft said something of it.
_TELLING: Final = (
    "(form <> 'none' OR accepted OR blocked OR blocked_by_test OR server_compliant OR server_non_compliant"
    " OR microsoft_compliant OR microsoft_non_compliant)"
)


class SumRow(NamedTuple):
    """Ids of one sum's rows; `token` is the latest stored of its tokens."""

    client: int
    program: int
    origin: int
    user: int | None
    listed: bool
    token: int
    stretch: Stretch


class HourRow(NamedTuple):
    """Ids of what one token did in one hour."""

    client: int
    program: int
    origin: int
    user: int | None
    stretch: Stretch


class Stretches:
    """One pass over the calls of the sessions in `temp.chosen` (id, imported, origin), up to the period's end.

    Times in ms since 1970, None: open; nothing before `floor_ms`, a whole day, is looked at. `tokens` is where to
    read tokens from, as SQL that calls itself tokens.
    Once per connection. Raises sqlite3.Error.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        tokens: str,
        from_ms: int | None,
        to_ms: int | None,
        floor_ms: int = -FAR,
    ) -> None:
        self._connection = connection
        self._tokens = tokens
        self._floor = floor_ms
        self._start = floor_ms if from_ms is None else from_ms
        self._end = FAR if to_ms is None else to_ms
        self._make("uses", "listed")
        self._gather("uses", "0", floor_ms, self._start)
        self._gather("uses", "1", self._start, self._end)
        self._hears_microsoft = self._match_microsoft()
        if self._hears_microsoft:
            self._gather_words("uses", "0", f" AND at < {self._start}")
            self._gather_words("uses", "1", f" AND at >= {self._start}")

    def _make(self, table: str, part: str) -> None:
        # Into a table with a key, since tokens come in the order of time: half the time of a GROUP BY.
        self._connection.execute(
            f"CREATE TEMP TABLE {table} (token_id, client_id, program_id, session_id, {part}, {_READ}, first, last,"
            f" PRIMARY KEY (token_id, client_id, program_id, session_id, {part})) WITHOUT ROWID"
        )

    def _gather(self, table: str, part: str, start: int, end: int, only: str = "") -> None:
        """Add what was called from `start` to `end`: totals of whole hours, and the calls of the two edges."""
        if start >= end:
            return
        for is_total, low, high in split(start, end):
            name, unit, counts = ("totals", "hour", _OF_TOTAL) if is_total else ("calls", "at", _OF_CALL)
            of = part if is_total else part.replace("hour", f"at / {HOUR_MS}")
            # CROSS: SQLite is not to begin with the sessions, and to read all totals for each of them.
            self._connection.execute(
                f"INSERT INTO temp.{table} SELECT token_id, client_id, program_id, session_id, {of}, {counts}"  # noqa: S608
                f" FROM {name} CROSS JOIN temp.chosen ON chosen.id = session_id"
                f" WHERE {unit} >= ? AND {unit} < ?{only} ON CONFLICT DO UPDATE SET {_SUMS}",
                [low, high],
            )

    def _match_microsoft(self) -> bool:
        """Find what Microsoft's lists say of calls that were recorded: `temp.words`; whether anything."""
        self._connection.execute(
            "CREATE TEMP TABLE words (at, token_id, client_id, program_id, session_id, compliant)"
        )
        said, low, high = self._connection.execute(
            "SELECT count(mfa_compliant), ifnull(min(at), ?), ifnull(max(at), ?) FROM microsoft_requests"
            " WHERE request_id IS NOT NULL",
            [-FAR, FAR],
        ).fetchone()
        if not said:
            return False
        # Microsoft's list spans a week at most: one look at that week's calls, without an index that each live call
        # would have to pay for. An hour is for clocks that differ. Attempts under one id are each of that word; where
        # Microsoft says both, without MFA counts.
        self._connection.execute(
            "INSERT INTO temp.words SELECT calls.at, token_id, client_id, program_id, session_id, said"
            " FROM calls CROSS JOIN temp.chosen ON chosen.id = session_id CROSS JOIN (SELECT request_id,"
            " min(mfa_compliant) AS said FROM microsoft_requests"
            " WHERE mfa_compliant IS NOT NULL AND request_id IS NOT NULL GROUP BY request_id) AS listed"
            " ON listed.request_id = calls.request_id WHERE calls.at BETWEEN ? AND ? AND calls.at < ?",
            [low - HOUR_MS, high + HOUR_MS, self._end],
        )
        return True

    def _gather_words(self, table: str, part: str, only: str = "") -> None:
        nothing = ", ".join("0" for _ in ("calls", *STORED))
        self._connection.execute(
            f"INSERT INTO temp.{table} SELECT token_id, client_id, program_id, session_id, {part}, {nothing},"  # noqa: S608
            " compliant = 1, compliant = 0, at, at FROM temp.words JOIN temp.chosen ON chosen.id = session_id"
            f" WHERE TRUE{only} ON CONFLICT DO UPDATE SET {_SUMS}"
        )

    def count(self, no_token: int | None) -> tuple[int, int]:
        """Calls of the period without a token, and its different tokens."""
        return self._connection.execute(  # type: ignore[no-any-return]
            "SELECT ifnull(sum(calls) FILTER (WHERE token_id IS ?1), 0),"
            " count(DISTINCT token_id) FILTER (WHERE token_id IS NOT ?1) FROM temp.uses WHERE listed",
            [no_token],
        ).fetchone()

    def sums(self) -> Iterator[SumRow]:
        """All of it in as few Stretches as there are different ones. Once."""
        key = "client_id, program_id, origin, listed, user_id, reason, pattern"
        self._connection.execute(
            f"CREATE TEMP TABLE sums ({key}, token_id, tokens, issued, issued_last, {_READ}, first, last,"
            f" PRIMARY KEY ({key})) WITHOUT ROWID"
        )
        # They come by token, so that a token which another session used too is the one before.
        self._connection.execute(
            "INSERT INTO temp.sums SELECT client_id, program_id, origin, listed, ifnull(user_id, 0), reason,"  # noqa: S608
            f" {PATTERN}, token_id, 1, ifnull(issued, first), ifnull(issued, first), {_READ}, first, last"
            f" FROM temp.uses CROSS JOIN temp.chosen ON chosen.id = session_id CROSS JOIN {self._tokens}"
            f" ON tokens.id = token_id WHERE {_TELLING} ON CONFLICT DO UPDATE SET"
            " tokens = tokens + (token_id <> excluded.token_id), token_id = excluded.token_id,"
            " issued = min(issued, excluded.issued), issued_last = max(issued_last, excluded.issued_last),"
            f" {_SUMS}"
        )
        for row in self._connection.execute(
            "SELECT client_id, program_id, origin, user_id, listed, token_id, reason, tokens, issued, issued_last,"  # noqa: S608
            f" first, last, {_READ} FROM temp.sums"
        ):
            (
                client,
                program,
                origin,
                user,
                listed,
                token,
                reason,
                tokens,
                issued,
                issued_last,
                first,
                last,
                *counts,
            ) = row
            stretch = Stretch(
                reason,
                issued / 1000,
                first / 1000,
                last / 1000,
                Counts(*counts),
                tokens,
                issued_last / 1000,
            )
            yield SumRow(client, program, origin, user or None, bool(listed), token, stretch)

    def hours(self, parties: Iterable[tuple[int, int, int]]) -> Iterator[HourRow]:
        """Token by token and hour by hour, what these (client, program, origin) did, in the order of time. Once."""
        self._connection.execute(
            "CREATE TEMP TABLE wanted (client_id, program_id, origin, PRIMARY KEY (client_id, program_id, origin))"
            " WITHOUT ROWID"
        )
        self._connection.executemany("INSERT INTO temp.wanted VALUES (?, ?, ?)", parties)
        only = (
            " AND (client_id, program_id, origin) IN (SELECT client_id, program_id, origin FROM temp.wanted)"
        )
        self._make("hours", "hour")
        self._gather("hours", "hour", self._floor, self._start, only)
        self._gather("hours", "hour", self._start, self._end, only)
        if self._hears_microsoft:
            self._gather_words("hours", f"at / {HOUR_MS}", only)
        for row in self._connection.execute(
            "SELECT client_id, program_id, origin, user_id, reason, ifnull(issued, (SELECT min(first) FROM temp.uses"  # noqa: S608
            f" WHERE uses.token_id = hours.token_id)), first, last, {_READ} FROM temp.hours CROSS JOIN temp.chosen"
            f" ON chosen.id = session_id CROSS JOIN {self._tokens} ON tokens.id = token_id WHERE {_TELLING}"
            " ORDER BY first"
        ):
            client, program, origin, user, reason, issued, first, last, *counts = row
            yield HourRow(
                client,
                program,
                origin,
                user,
                Stretch(reason, issued / 1000, first / 1000, last / 1000, Counts(*counts)),
            )


def split(start: int, end: int, unit: int = HOUR_MS) -> Sequence[tuple[bool, int, int]]:
    """A time (ms) as its whole units (True, first, after last: as numbers of units) and its edges (False, ms, ms)."""
    first, after = -(-start // unit), end // unit
    if first > after:
        return [(False, start, end)]
    edges = [(False, start, first * unit), (False, after * unit, end)]
    return [(True, first, after), *(edge for edge in edges if edge[1] < edge[2])]


def ids_as_json(ids: Iterable[int]) -> str:
    """The ids as SQLite's json_each takes them."""
    return json.dumps(sorted(ids))

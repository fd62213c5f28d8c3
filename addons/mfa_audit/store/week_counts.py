"""What each kind of token did for each client, program and origin, week by week.

Tokens live for an hour or a day, so nearly all that one did in the period lies in one week: those are read from what
`Stretches` has gathered already. Only the others are looked up in the running totals.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from mfa_audit.judging.counts import COUNTS, STORED, Counts
from mfa_audit.judging.evidence import Stretch
from mfa_audit.store.day_counts import local_offset
from mfa_audit.store.stretches import PATTERN, STORED_PATTERN
from mfa_audit.store.totals import HOUR_MS

# client, program, origin, week, stretch
Counted = tuple[int, int, int, int, Stretch]

_USED: Final = ", ".join(f"sum({name})" for name in Counts._fields)
_TOTAL: Final = ", ".join(
    [f"sum({name})" for name in ("calls", *STORED)] + ["0" for count in COUNTS if count.bit is None]
)
_SPANS: Final = "SELECT token_id, client_id, program_id, session_id FROM temp.spanning"


def count_weeks(
    connection: sqlite3.Connection, tokens: str, start: int, end: int, no_token: int | None
) -> Iterator[Counted]:
    """What was called with a token from `start` to `end` (ms since 1970), by local weeks; `temp.uses` has been filled.

    Weeks are numbers: whole weeks from Monday, 29 December 1969 on. Of tokens that were used in several weeks whole
    hours count. `tokens` is where to read tokens from, as SQL that calls itself tokens. Once per connection. Raises
    sqlite3.Error.
    """
    low, high = connection.execute("SELECT min(first), max(last) FROM temp.uses WHERE listed").fetchone()
    if low is None:
        return
    offset = local_offset(low // HOUR_MS, high // HOUR_MS, "{0}")

    def week(hour: str) -> str:
        # 1 January 1970 was a Thursday. A zone's offset changes by whole hours.
        return f"(({hour} * 3600 + {offset.replace('{0}', hour)}) / 86400 + 3) / 7"

    first, last = week(f"(first / {HOUR_MS})"), week(f"(last / {HOUR_MS})")
    connection.execute(
        "CREATE TEMP TABLE spanning (token_id, client_id, program_id, session_id,"
        " PRIMARY KEY (token_id, client_id, program_id, session_id)) WITHOUT ROWID"
    )
    connection.execute(
        "INSERT INTO temp.spanning SELECT token_id, client_id, program_id, session_id FROM temp.uses"  # noqa: S608
        f" WHERE listed AND token_id IS NOT ? AND {first} <> {last}",
        [no_token],
    )
    key = "client_id, program_id, origin, week, reason, pattern"
    joined = f"CROSS JOIN temp.chosen ON chosen.id = session_id CROSS JOIN {tokens} ON tokens.id = token_id"
    among = f"(token_id, client_id, program_id, session_id) IN ({_SPANS})"
    yield from _rows(
        connection,
        f"SELECT client_id, program_id, origin, {first} AS week, reason, {PATTERN} AS pattern, min(first), max(last),"  # noqa: S608
        f" {_USED} FROM temp.uses {joined} WHERE listed AND token_id IS NOT ? AND {first} = {last} GROUP BY {key}",
        [no_token],
    )
    if connection.execute("SELECT EXISTS (SELECT 1 FROM temp.spanning)").fetchone()[0]:
        yield from _rows(
            connection,
            f"SELECT client_id, program_id, origin, {week('hour')} AS week, reason, {STORED_PATTERN} AS pattern,"  # noqa: S608
            f" min(first), max(last), {_TOTAL} FROM totals {joined}"
            f" WHERE hour >= ? AND hour <= ? AND {among} GROUP BY {key}",
            [max(low, start) // HOUR_MS, min(high, end - 1) // HOUR_MS],
        )


def _rows(connection: sqlite3.Connection, query: str, values: list[int | None]) -> Iterator[Counted]:
    for client, program, origin, number, reason, _, first, last, *counts in connection.execute(query, values):
        stretch = Stretch(reason, first / 1000, first / 1000, last / 1000, Counts(*counts))
        yield client, program, origin, number, stretch

"""What each kind of token did for each client, program and origin, week by week: from the running totals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from mfa_audit.judging.counts import COUNTS, STORED, Counts
from mfa_audit.judging.evidence import Stretch
from mfa_audit.store.day_counts import local_offset
from mfa_audit.store.totals import HOUR_MS

# client, program, origin, week, stretch
Counted = tuple[int, int, int, int, Stretch]

_SUMS: Final = ", ".join(f"sum({name})" for name in ("calls", *STORED))
_UNSTORED: Final = sum(count.bit is None for count in COUNTS)
# Equal where all that is counted is counted of some, of all or of none of the calls alike.
_PATTERN: Final = " | ".join(
    [f"(({name} > 0) << {place})" for place, name in enumerate(STORED)]
    + [f"((expired < calls) << {len(STORED)})", f"((unanswered < calls) << {len(STORED) + 1})"]
)


def count_weeks(
    connection: sqlite3.Connection, tokens: str, start: int, end: int, no_token: int | None
) -> Iterator[Counted]:
    """What was called with a token from `start` to `end` (ms since 1970), widened to whole hours, by local weeks.

    Weeks are numbers: whole weeks from Monday, 29 December 1969 on. `tokens` is where to read tokens from, as SQL that
    calls itself tokens. Raises sqlite3.Error.
    """
    hours = connection.execute(
        "SELECT (SELECT min(hour) FROM totals), (SELECT max(hour) FROM totals)"
    ).fetchone()
    if hours[0] is None:
        return
    first, last = max(hours[0], start // HOUR_MS), min(hours[1], -(-end // HOUR_MS) - 1)
    if first > last:
        return
    # 1 January 1970 was a Thursday.
    week = f"((hour * 3600 + {local_offset(first, last, 'hour')}) / 86400 + 3) / 7"
    key = "client_id, program_id, origin, week, reason, pattern"
    for client, program, origin, number, reason, first_ms, last_ms, *counts in connection.execute(
        f"SELECT client_id, program_id, origin, {week} AS week, reason, min(first), max(last), {_SUMS},"  # noqa: S608
        f" {_PATTERN} AS pattern FROM totals CROSS JOIN temp.chosen ON chosen.id = session_id CROSS JOIN {tokens}"
        f" ON tokens.id = token_id WHERE hour >= ? AND hour <= ? AND token_id IS NOT ? GROUP BY {key}",
        [first, last, no_token],
    ):
        found = Counts(*counts[:-1], *[0] * _UNSTORED)
        yield (
            client,
            program,
            origin,
            number,
            Stretch(reason, first_ms / 1000, first_ms / 1000, last_ms / 1000, found),
        )

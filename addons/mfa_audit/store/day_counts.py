"""Calls by operation and by local day, with the same edges as the requests of the same period."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

from mfa_audit.store.stretches import split
from mfa_audit.store.totals import DAY_MS, HOUR_MS

# client, program, origin, label, calls
Counted = tuple[int, int, int, str | float, int]

_CHOSEN = "CROSS JOIN temp.chosen ON chosen.id = session_id"


def count_operations(
    connection: sqlite3.Connection, start: int, end: int, exact_from: int | None
) -> list[Counted]:
    """Calls by operation, from `start` to `end` (ms since 1970).

    Where single calls are deleted already, before the hour `exact_from`, only whole days are known. Raises
    sqlite3.Error.
    """
    if exact_from is not None and start // HOUR_MS < exact_from:
        start -= start % DAY_MS
    if exact_from is not None and end // HOUR_MS < exact_from:
        end += -end % DAY_MS
    found: dict[tuple[int, int, int, str], int] = {}
    for is_total, low, high in split(start, end, DAY_MS):
        table, unit, calls = (
            ("operation_totals", "day", "sum(calls)") if is_total else ("calls", "at", "count(*)")
        )
        for client, program, origin, name, count in connection.execute(
            f"SELECT client_id, program_id, origin, operations.name, {calls} FROM {table} {_CHOSEN}"  # noqa: S608
            " CROSS JOIN operations ON operations.id = operation_id"
            f" WHERE {unit} >= ? AND {unit} < ? GROUP BY client_id, program_id, origin, operation_id",
            [low, high],
        ):
            key = (client, program, origin, name)
            found[key] = found.get(key, 0) + count
    return [(*key, count) for key, count in found.items()]


def count_days(
    connection: sqlite3.Connection, start: int, end: int, no_token: int | None, exact_from: int | None
) -> Iterator[Counted]:
    """Calls with a token by local day, from `start` to `end` (ms since 1970); labelled with one of its seconds.

    Totals are of whole hours; where a day begins within one (zones of half an hour) it is split by its single calls,
    which are kept from the hour `exact_from` on. Raises sqlite3.Error.
    """
    # Asked for both at once, SQLite reads all rows.
    hours = connection.execute(
        "SELECT (SELECT min(hour) FROM totals), (SELECT max(hour) FROM totals)"
    ).fetchone()
    if hours[0] is None:
        return
    offset = local_offset(hours[0], hours[1], "hour")
    of_calls = local_offset(hours[0], hours[1], f"(at / {HOUR_MS})")
    broken = f"(hour * 3600 + {offset}) / 86400 <> (hour * 3600 + 3599 + {offset}) / 86400"
    sums = "client_id, program_id, origin"
    for is_total, low, high in split(start, end):
        if is_total:
            yield from connection.execute(
                f"SELECT {sums}, min(hour) * 3600.0, sum(calls) FROM totals {_CHOSEN}"  # noqa: S608
                f" WHERE hour >= ? AND hour < ? AND token_id IS NOT ? AND NOT ({broken} AND hour >= ?)"
                f" GROUP BY (hour * 3600 + {offset}) / 86400, {sums}",
                [low, high, no_token, exact_from or 0],
            )
            split_hours = [
                hour
                for (hour,) in connection.execute(
                    f"SELECT DISTINCT hour FROM totals WHERE hour >= ? AND hour < ? AND hour >= ? AND {broken}",  # noqa: S608
                    [low, high, exact_from or 0],
                )
            ]
            ranges = [(hour * HOUR_MS, (hour + 1) * HOUR_MS) for hour in split_hours]
        else:
            ranges = [(low, high)]
        for first, after in ranges:
            yield from connection.execute(
                f"SELECT {sums}, min(at) / 1000.0, count(*) FROM calls {_CHOSEN}"  # noqa: S608
                f" WHERE at >= ? AND at < ? AND token_id IS NOT ?"
                f" GROUP BY (at / 1000 + {of_calls}) / 86400, {sums}",
                [first, after, no_token],
            )


def local_offset(first: int, last: int, hour_is: str) -> str:
    """The local zone's offset from UTC in seconds, as SQL over an hour's number."""
    cases, before = "", None
    for hour in range(last, first - 1, -1):
        offset = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC).astimezone().utcoffset()
        seconds = int(offset.total_seconds()) if offset is not None else 0
        if seconds != before:
            before = seconds
            cases = f"WHEN {hour_is} <= {hour} THEN {seconds} {cases}"
    return f"CASE {cases} END"

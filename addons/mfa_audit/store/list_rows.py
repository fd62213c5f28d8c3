"""Reading back what was imported of Microsoft's own lists, each call beside our own record of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from mfa_audit.judging.reasons import verdict_of
from mfa_audit.judging.tokens import User
from mfa_audit.store.ledger import MicrosoftCall, MicrosoftDay, MicrosoftFacts, Party, SeenCall
from mfa_audit.store.totals import DAY_MS, HOUR_MS

_FAR: Final = 1 << 60


def read_facts(
    connection: sqlite3.Connection,
    to_ms: int | None,
    party: Callable[[int, int, int], Party],
) -> MicrosoftFacts:
    """The rows up to a moment (ms since 1970, None: all); rows without a time belong to every period."""
    start, end = -_FAR, _FAR if to_ms is None else to_ms
    return MicrosoftFacts(
        calls=tuple(_read_calls(connection, start, end, party)),
        days=tuple(
            MicrosoftDay(*row)
            for row in connection.execute(
                "SELECT day, application_id, name, mfa_requests, requests FROM microsoft_adoption"
                " WHERE day IS NULL OR (day >= ? AND day < ?) ORDER BY day",
                [start // DAY_MS, -(-end // DAY_MS)],
            )
        ),
        principals=tuple(
            (User(tenant, object_id, name), None if at is None else at / 1000)
            for tenant, object_id, name, at in connection.execute(
                "SELECT tenant, object_id, users.name, at FROM microsoft_principals JOIN users ON users.id = user_id"
                " WHERE at IS NULL OR (at >= ? AND at < ?) ORDER BY at DESC",
                [start, end],
            )
        ),
    )


def _read_calls(
    connection: sqlite3.Connection,
    start: int,
    end: int,
    party: Callable[[int, int, int], Party],
) -> list[MicrosoftCall]:
    rows = connection.execute(
        "SELECT at, request_id, operations.name, users.id, tenant, object_id, users.name, application_id, mfa_compliant"
        " FROM microsoft_requests LEFT JOIN operations ON operations.id = operation_id"
        " LEFT JOIN users ON users.id = user_id WHERE at IS NULL OR (at >= ? AND at < ?) ORDER BY at",
        [start, end],
    ).fetchall()
    if not rows:
        return []
    times = [row[0] for row in rows if row[0] is not None]
    # Microsoft's list spans a week at most: one look at that week's calls, without an index that each live call
    # would have to pay for. An hour is for clocks that differ.
    seen = {
        request_id: SeenCall(party(client, program, origin), verdict_of(reason))
        for request_id, client, program, origin, reason in connection.execute(
            "SELECT request_id, client_id, program_id, origin, ifnull(judged.reason, tokens.reason) FROM calls"
            " JOIN tokens ON tokens.id = calls.token_id JOIN temp.chosen ON chosen.id = session_id"
            " LEFT JOIN temp.judged ON judged.token_id = tokens.id WHERE calls.at BETWEEN ? AND ? AND calls.at < ?"
            " AND request_id IN (SELECT request_id FROM microsoft_requests)",
            [min(times, default=-_FAR) - HOUR_MS, max(times, default=_FAR) + HOUR_MS, end],
        )
    }
    return [
        MicrosoftCall(
            at=None if at is None else at / 1000,
            request_id=request_id,
            operation=operation,
            user=None if user is None else User(tenant, object_id, name),
            application_id=application_id,
            mfa_compliant=None if compliant is None else bool(compliant),
            seen=seen.get(request_id),
        )
        for at, request_id, operation, user, tenant, object_id, name, application_id, compliant in rows
    ]

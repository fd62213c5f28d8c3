"""The last calls without MFA of a few callers, one by one, with the request ids that Microsoft's support asks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from mfa_audit.judging.counts import flags_of
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.judging.tokens import User
from mfa_audit.store.stretches import FAR

_REFUSED: Final = flags_of(blocked=True)
_TESTED: Final = flags_of(blocked_by_test=True)
_SAID_NO: Final = flags_of(server_non_compliant=True)
_WITHOUT: Final = ", ".join(
    f"'{id_}'" for id_, row in REASONS.items() if row.verdict is Verdict.NON_COMPLIANT
)


class FailingCall(NamedTuple):
    """One call without MFA; `at` in seconds since 1970 (UTC), `reason` the token's own (an id in REASONS).

    `said_no`: Partner Center answered isMfaCompliant: false.
    """

    at: float
    operation: str
    status: int | None
    request_id: str | None
    correlation_id: str | None
    user: User | None
    reason: str
    blocked: bool
    blocked_by_test: bool
    said_no: bool


def read_failing_calls(
    connection: sqlite3.Connection,
    parties: Iterable[tuple[int, int, int]],
    start: int | None,
    end: int | None,
    most: int,
) -> list[FailingCall]:
    """The latest `most` of these (client, program, origin) from `start` to `end` (ms since 1970), newest first.

    Raises sqlite3.Error.
    """
    connection.execute(
        "CREATE TEMP TABLE failing_parties (client_id, program_id, origin,"
        " PRIMARY KEY (client_id, program_id, origin)) WITHOUT ROWID"
    )
    connection.executemany("INSERT INTO temp.failing_parties VALUES (?, ?, ?)", parties)
    rows = connection.execute(
        "SELECT at, operations.name, status, request_id, correlation_id, users.id, tenant, object_id, users.name,"  # noqa: S608
        " ifnull(judged.reason, tokens.reason) AS why, flags"
        " FROM calls CROSS JOIN temp.chosen ON chosen.id = session_id CROSS JOIN temp.failing_parties AS wanted"
        " ON wanted.client_id = calls.client_id AND wanted.program_id = calls.program_id"
        " AND wanted.origin = chosen.origin CROSS JOIN tokens ON tokens.id = calls.token_id"
        " LEFT JOIN temp.judged ON judged.token_id = tokens.id JOIN operations ON operations.id = operation_id"
        " LEFT JOIN users ON users.id = tokens.user_id"
        f" WHERE at >= ? AND at < ? AND (flags & {_REFUSED | _TESTED | _SAID_NO} OR why IN ({_WITHOUT}))"
        " ORDER BY at DESC LIMIT ?",
        [-FAR if start is None else start, FAR if end is None else end, most],
    )
    return [
        FailingCall(
            at / 1000,
            operation,
            status,
            request_id,
            correlation_id,
            None if user is None else User(tenant, object_id, name),
            reason,
            bool(flags & _REFUSED),
            bool(flags & _TESTED),
            bool(flags & _SAID_NO),
        )
        for at, operation, status, request_id, correlation_id, user, tenant, object_id, name, reason, flags in rows
    ]

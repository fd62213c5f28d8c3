"""Uses of tokens, by kind: the tokens in a kind differ in nothing that judging looks at.

Read from `temp.uses`, with a row per token, client, program and session. `tokens` is where to read tokens from, as SQL
that calls itself tokens.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from mfa_audit.store.totals import ADD_UP

# What makes a kind.
_KIND: Final = (
    "uses.client_id, uses.program_id, ifnull(tokens.user_id, 0), form, verdict, reason, imported,"
    # Whether any was accepted, blocked and so on: one number is compared faster than five.
    " (accepted > 0) << 4 | (blocked > 0) << 3 | (blocked_by_test > 0) << 2"
    " | (server_compliant > 0) << 1 | (server_non_compliant > 0)"
)


class Kind(NamedTuple):
    """Uses of one kind: ids of rows, times in ms since 1970 (UTC), `token` the latest of `tokens`."""

    client: int
    program: int
    user: int | None
    form: str
    verdict: str
    reason: str
    imported: int
    token: int
    tokens: int
    issued: int
    issued_last: int
    first: int
    last: int
    calls: int
    accepted: int
    blocked: int
    blocked_by_test: int
    expired: int
    server_compliant: int
    server_non_compliant: int


_SUMS: Final = Kind._fields[Kind._fields.index("calls") :]


def gather_kinds(connection: sqlite3.Connection, tokens: str) -> list[Kind]:
    """All uses, by kind. Once per connection. Raises sqlite3.Error."""
    # Into a table with a key, and not by GROUP BY, which would sort all uses: three fifths of the time and of the
    # memory. They come by token, so that a token which another session used too is the one before.
    connection.execute(
        "CREATE TEMP TABLE kinds (client_id, program_id, user_id, form, verdict, reason, imported, flags,"
        f" token_id, tokens, issued, issued_last, first, last, {', '.join(_SUMS)},"
        " PRIMARY KEY (client_id, program_id, user_id, form, verdict, reason, imported, flags)) WITHOUT ROWID"
    )
    connection.execute(
        f"INSERT INTO temp.kinds SELECT {_KIND}, token_id, 1, ifnull(issued, first), ifnull(issued, first),"  # noqa: S608
        f" first, last, {', '.join(_SUMS)} FROM temp.uses CROSS JOIN {tokens} ON tokens.id = token_id"
        " WHERE form <> 'none' ON CONFLICT DO UPDATE SET tokens = tokens + (token_id <> excluded.token_id),"
        " token_id = excluded.token_id, issued = min(issued, excluded.issued),"
        f" issued_last = max(issued_last, excluded.issued_last), {ADD_UP}"
    )
    return _rows(
        connection,
        "SELECT client_id, program_id, user_id, form, verdict, reason, imported, token_id, tokens,"  # noqa: S608
        f" issued, issued_last, first, last, {', '.join(_SUMS)} FROM temp.kinds",
    )


def read_each(
    connection: sqlite3.Connection, tokens: str, clients: Sequence[int], program: int, user: int | None
) -> list[Kind]:
    """The uses of one user of one program of these clients, token by token. Raises sqlite3.Error."""
    return _rows(
        connection,
        "SELECT client_id, program_id, ifnull(user_id, 0), form, verdict, reason, imported, token_id, 1,"  # noqa: S608
        " min(ifnull(issued, first)), max(ifnull(issued, first)), min(first), max(last),"
        f" {', '.join(f'sum({name})' for name in _SUMS)}"
        f" FROM temp.uses JOIN {tokens} ON tokens.id = token_id WHERE form <> 'none'"
        " AND client_id IN (SELECT value FROM json_each(?)) AND program_id = ? AND tokens.user_id IS ?"
        f" GROUP BY token_id, {_KIND}",
        json.dumps(clients),
        program,
        user,
    )


def _rows(connection: sqlite3.Connection, query: str, *values: object) -> list[Kind]:
    found = map(Kind._make, connection.execute(query, values))
    return [row._replace(user=row.user or None) for row in found]

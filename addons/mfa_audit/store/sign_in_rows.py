"""Reading back sign-ins, each beside the recorded calls whose token came of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from mfa_audit.judging.causes import SignInFacts
from mfa_audit.judging.tokens import User
from mfa_audit.judging.verdicts import PARTNER_CENTER_ID
from mfa_audit.store.ledger import Party, SignIns

_FACTS: Final = (
    "s.application_id, max(s.application), s.resource_id = ?, s.kind, s.protocol, s.requirement, s.required_by,"
    " s.conditional_access, s.policies, s.mfa, s.error, s.trusted_network, count(DISTINCT s.id), min(s.at), max(s.at)"
)
_ALIKE: Final = (
    "s.application_id, s.resource_id = ?1, s.kind, s.protocol, s.requirement, s.required_by, s.conditional_access,"
    " s.policies, s.mfa, s.error, s.trusted_network"
)
# Entra dates a token five minutes before it hands it out; clocks and the log's own time differ by a few more.
_NEAR_MS: Final = 10 * 60_000


def read_sign_ins(
    connection: sqlite3.Connection,
    from_ms: int,
    to_ms: int,
    party: Callable[[int, int, int], Party],
) -> tuple[SignIns, ...]:
    """The sign-ins of a period (ms since 1970), alike ones together; each with the party that used its token.

    The token is known by its id, which Entra writes into it and into the log; where either lacks it, by application,
    user and time. A sign-in whose token nobody recorded has no party.
    """
    if (
        connection.execute(
            "SELECT 1 FROM sign_ins WHERE at >= ? AND at < ? LIMIT 1", [from_ms, to_ms]
        ).fetchone()
        is None
    ):
        return ()
    connection.execute(
        "CREATE TEMP TABLE joined (sign_in INTEGER, token INTEGER, PRIMARY KEY (sign_in, token)) WITHOUT ROWID"
    )
    connection.execute(
        "INSERT OR IGNORE INTO temp.joined SELECT s.id, tokens.id FROM tokens"
        " JOIN sign_ins AS s ON s.unique_token_id = json_extract(tokens.claims, '$.uti')"
        " WHERE s.at >= ? AND s.at < ?",
        [from_ms, to_ms],
    )
    connection.execute(
        "INSERT OR IGNORE INTO temp.joined SELECT s.id, tokens.id FROM sign_ins AS s"
        " JOIN users AS theirs ON theirs.id = s.user_id"
        " JOIN users AS ours ON ours.object_id = theirs.object_id"
        " JOIN tokens ON tokens.user_id = ours.id AND tokens.app_id = s.application_id"
        " AND tokens.issued BETWEEN s.at - ?3 AND s.at + ?3"
        " WHERE s.at >= ?1 AND s.at < ?2 AND s.error IS 0 AND s.id NOT IN (SELECT sign_in FROM temp.joined)"
        " AND (s.unique_token_id IS NULL OR json_extract(tokens.claims, '$.uti') IS NULL)",
        [from_ms, to_ms, _NEAR_MS],
    )
    recorded = connection.execute(
        f"SELECT {_FACTS}, users.tenant, object_id, users.name, parts.client_id, parts.program_id, parts.origin"  # noqa: S608
        " FROM temp.joined JOIN sign_ins AS s ON s.id = joined.sign_in"
        " JOIN (SELECT DISTINCT token_id, client_id, program_id, origin FROM totals"
        "  JOIN temp.chosen ON chosen.id = session_id WHERE token_id IN (SELECT token FROM temp.joined)) AS parts"
        " ON parts.token_id = joined.token LEFT JOIN users ON users.id = s.user_id"
        f" GROUP BY {_ALIKE}, s.user_id, parts.client_id, parts.program_id, parts.origin",
        [PARTNER_CENTER_ID],
    )
    unrecorded = connection.execute(
        f"SELECT {_FACTS}, users.tenant, object_id, users.name FROM sign_ins AS s"  # noqa: S608
        " LEFT JOIN users ON users.id = s.user_id WHERE s.at >= ?2 AND s.at < ?3"
        f" AND s.id NOT IN (SELECT sign_in FROM temp.joined) GROUP BY {_ALIKE}, s.user_id",
        [PARTNER_CENTER_ID, from_ms, to_ms],
    )
    return (
        *(SignIns(_facts(row), _user(row[15:18]), party(*row[18:])) for row in recorded),
        *(SignIns(_facts(row), _user(row[15:]), None) for row in unrecorded),
    )


def _facts(row: tuple[Any, ...]) -> SignInFacts:
    application_id, application, wanted, kind, protocol, requirement, required_by, access, policies = row[:9]
    mfa, error, trusted, count, first, last = row[9:15]
    return SignInFacts(
        application_id,
        application,
        bool(wanted),
        kind,
        protocol,
        requirement,
        tuple(json.loads(required_by)) if required_by else (),
        access,
        tuple((name, result) for name, result in json.loads(policies)) if policies else (),
        mfa,
        error,
        None if trusted is None else bool(trusted),
        count,
        first / 1000,
        last / 1000,
    )


def _user(row: tuple[Any, ...]) -> User | None:
    tenant, object_id, name = row
    return None if object_id is None and name is None else User(tenant, object_id, name)

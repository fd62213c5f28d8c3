"""What is kept of one call."""

from __future__ import annotations

from typing import NamedTuple

from mfa_audit.judging.clients import Client
from mfa_audit.judging.tokens import Token


class Observation(NamedTuple):
    """One call, judged: who (client, program), what (operation), the token's facts, the server's word.

    `at` in seconds since 1970 (UTC). `operation` is method and path template, such as
    `GET /v1/customers/*/users`. `accepted`: the server's answer shows that it took the token.
    `blocked`: refused for want of MFA; `blocked_by_test`: the same, but because mfa-audit asked for it.
    `expired`: used more than 5 minutes past its expiry. `server`: True/False is isMfaCompliant's own word, None
    where it said nothing. `request_id` and `correlation_id` are GUIDs or None.
    """

    at: float
    client: Client
    token: Token
    program: str | None
    operation: str
    status: int | None
    accepted: bool
    blocked: bool
    blocked_by_test: bool
    expired: bool
    server: bool | None
    request_id: str | None
    correlation_id: str | None

"""What is kept of one call, and the Judge that makes it of an Exchange."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Final, NamedTuple

from mfa_audit.exchanges.exchange import GUID, Exchange, Program, Secret
from mfa_audit.judging import server, tokens
from mfa_audit.judging.clients import LONGEST, Client, client_of
from mfa_audit.judging.operations import operation
from mfa_audit.judging.people import NAMES, People
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import Token

# Entra lets clocks differ by five minutes; Partner Center's own tolerance is not documented.
LEEWAY: Final = 300.0
# A token with its claims takes some 2 kB. A tool uses one an hour; reading one again costs 0.2 ms.
MOST_TOKENS: Final = 1_000
MOST_CLIENTS: Final = 2_000


class Observation(NamedTuple):
    """One call, judged: who (client, program), what (operation), the token's facts, the server's word.

    `at` in seconds since 1970 (UTC). `operation` is method and path template, such as
    `GET /v1/customers/*/users`. `accepted`: the server's answer shows that it took the token.
    `blocked`: refused because MFA was missing; `blocked_by_test`: the same, but because the request asked for it.
    `expired`: used more than 5 minutes past its expiry. `server`: True/False is isMfaCompliant's own word,
    None where it said nothing.
    `unanswered`: no answer of Partner Center came. `refused`: a 401 whose cause is not known.
    `request_id` and `correlation_id` are GUIDs or None.
    """

    at: float
    client: Client
    token: Token
    program: Program | None
    operation: str
    status: int | None
    accepted: bool
    blocked: bool
    blocked_by_test: bool
    expired: bool
    server: bool | None
    request_id: str | None
    correlation_id: str | None
    unanswered: bool = False
    refused: bool = False


class Judge:
    """Makes Observations; reads each token once, however often it is sent.

    Holds no token: those it has read are known by the SHA-256 of their bytes. Not for use by several
    threads at once.
    """

    def __init__(self, people: People = NAMES) -> None:
        import jwt  # noqa: F401 - loaded now, so that no call waits for it, and by no report

        self.failures = 0
        self._people = people
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()
        self._clients: OrderedDict[tuple[str | None, ...], Client] = OrderedDict()

    def observe(self, exchange: Exchange) -> Observation:
        """The Observation of a call. Never raises: what fails inside is counted in `failures` and recorded
        as such."""
        try:
            return self._observe(exchange)
        except Exception:
            # A bug of ours must cost neither the call nor the record of it.
            self.failures += 1
            return Observation(
                exchange.at,
                Client(None, None, None, None, None),
                tokens.FAILED if exchange.authorization else tokens.NO_TOKEN,
                self.keep(exchange.program),
                "OTHER /",
                exchange.status,
                *(False, False, False, False),
                *(None, None, None),
            )

    def _observe(self, exchange: Exchange) -> Observation:
        token = self.read_token(exchange.authorization) if exchange.authorization else tokens.NO_TOKEN
        status = exchange.status
        cause = server.refusal(status, exchange.reason_phrase, exchange.body, exchange.www_authenticate)
        refused = cause is server.Cause.MFA
        return Observation(
            exchange.at,
            self._client(
                (
                    token.app_id,
                    exchange.application,
                    exchange.client,
                    exchange.user_agent,
                    exchange.sdk_version,
                )
            ),
            token,
            self.keep(exchange.program),
            operation(exchange.method, exchange.path),
            status,
            server.accepted(status, own_id=exchange.own_id),
            refused and not exchange.tested,
            refused and exchange.tested,
            token.expires is not None and exchange.at > token.expires + LEEWAY,
            server.word(exchange.mfa_compliant),
            _guid(exchange.request_id),
            _guid(exchange.correlation_id),
            server.unanswered(status, own_id=exchange.own_id),
            cause is server.Cause.UNKNOWN,
        )

    def keep(self, program: Program | None) -> Program | None:
        """The program as this judge's choice for people wants it."""
        return self._people.program(program)

    def may_be_user_token(self, authorization: tuple[Secret, ...]) -> bool:
        """Whether the token that a call carries is not clearly an app's own: one that only the server can judge too."""
        return self.read_token(authorization).verdict is not Verdict.EXEMPT

    def read_token(self, authorization: tuple[Secret, ...]) -> Token:
        """The token that a call carries; from memory where it came before. Never raises."""
        if len(authorization) == 1:
            digest = sha256(authorization[0].reveal()).digest()
        else:
            digest = sha256(b"\n".join(value.reveal() for value in authorization)).digest()
        known = self._tokens.get(digest)
        if known is not None:
            self._tokens.move_to_end(digest)
            return known
        try:
            token = self._people.token(tokens.read(authorization))
        except Exception:
            self.failures += 1
            token = tokens.FAILED
        self._tokens[digest] = token
        if len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        return token

    def _client(self, raw: tuple[str | None, str | None, str | None, str | None, str | None]) -> Client:
        # A caller may send 64 kB as its name, and another one with each call.
        raw = tuple(None if value is None else value[: 2 * LONGEST] for value in raw)  # type: ignore[assignment]
        known = self._clients.get(raw)
        if known is not None:
            self._clients.move_to_end(raw)
            return known
        client = self._clients[raw] = client_of(*raw)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return client


def _guid(value: str | None) -> str | None:
    if value is None:
        return None
    bare = value.strip().removeprefix("{").removesuffix("}")
    return bare.lower() if GUID.fullmatch(bare) else None

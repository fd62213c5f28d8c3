"""The one maker of Exchanges: what is a call, of which host, and what of its fields and body counts."""

from __future__ import annotations

import gzip

import pytest

from mfa_audit.exchanges.exchange import Exchange, Program, Secret
from mfa_audit.exchanges.maker import (
    NO_ANSWER,
    VALUE_LIMIT,
    Answer,
    Fields,
    Request,
    find_api_host,
    make_exchange,
)

HOST = "api.partnercenter.microsoft.com"
TOKEN = ("Authorization", "Bearer x")


def make(fields: Fields = (), answer: Answer = NO_ANSWER) -> Exchange:
    return make_exchange(
        Request("GET", HOST, "/v1/customers", fields), HOST, answer, at=1.0, program=Program("job")
    )


@pytest.mark.parametrize(
    ("request_", "host"),
    [
        (Request("GET", "API.PartnerCenter.microsoft.com.", "/", ()), HOST),
        (Request("GET", "example.com", "/", ()), None),
        (Request("GET", "127.0.0.1", "/", [("Host", f"{HOST}:443")]), HOST),
        (Request("GET", "127.0.0.1", "/", (), f"user@{HOST}"), HOST),
        (Request("GET", "127.0.0.1", "/", [(":authority", HOST)]), HOST),
        (Request("GET", "127.0.0.1", "/", [("Host", f"{HOST}.evil.example")]), None),
        (Request("GET", "further.example", "/", ()), "further.example"),
        (Request("CONNECT", HOST, "", [TOKEN]), None),
        (Request("OPTIONS", HOST, "/", ()), None),
        (Request("OPTIONS", HOST, "/", [TOKEN]), HOST),
    ],
)
def test_which_host_a_call_is_for(request_: Request, host: str | None) -> None:
    """The address counts, then what HTTP/2 and the Host field name; tunnels and preflights are no calls."""
    assert host == find_api_host(request_, ["further.example"])


def test_repeated_fields_of_an_answer() -> None:
    """All challenges and all words on MFA count, within the bound of one; of ids the first does."""
    fields = [
        ("WWW-Authenticate", "Negotiate"), ("www-authenticate", "Bearer error=x"), ("isMfaCompliant", "true"),
        ("ismfacompliant", "false"), ("ms-requestid", "first"), ("MS-RequestId", "second"),
    ]  # fmt: skip
    made = make(answer=Answer(401, "No", fields))
    assert ("Negotiate, Bearer error=x", "true, false", "first") == (
        made.www_authenticate, made.mfa_compliant, made.request_id,
    )  # fmt: skip
    flood = make(answer=Answer(401, "No", [("www-authenticate", "x" * 60_000)] * 50))
    assert VALUE_LIMIT == len(flood.www_authenticate or "")


def test_which_header_fields_count() -> None:
    """Names in any case, the first of several, every Authorization, and the request's id before the answer's."""
    made = make(
        [
            TOKEN,
            ("USER-AGENT", "tool/1"),
            ("User-Agent", "tool/2"),
            ("authorization", "Bearer y"),
            ("MS-RequestId", "asked"),
        ],
        Answer(
            200, "OK", [("ms-requestid", "answered"), ("MS-CorrelationId", "c"), ("isMfaCompliant", "true")]
        ),
    )
    assert ("tool/1", "asked", "c", "true") == (
        made.user_agent,
        made.request_id,
        made.correlation_id,
        made.mfa_compliant,
    )
    assert (Secret(b"Bearer x"), Secret(b"Bearer y")) == made.authorization


@pytest.mark.parametrize(
    ("field", "tested"),
    [
        (("MS-Enforce-MFA", "True"), True),
        (("ms-enforce-mfa", "1"), True),
        (("MS-Enforce-MFA", "false"), False),
        (("ValidateMfa", "true"), False),
        (("User-Agent", "MS-Enforce-MFA"), False),
    ],
)
def test_what_is_a_test(field: tuple[str, str], tested: bool) -> None:
    """MS-Enforce-MFA makes a call a test, whoever put it there; ValidateMfa enforces nothing."""
    assert tested == make([field]).tested


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (Answer(401, body=b"why"), b"why"),
        (Answer(200, body=b"data"), None),
        (Answer(401, fields=[("Content-Encoding", "gzip")], body=gzip.compress(b"why")), b"why"),
        (Answer(401, fields=[("Content-Encoding", "gzip")], body=b"why"), None),
        (Answer(401, fields=[("Content-Encoding", "gzip")], body=b"why", unpacked=True), b"why"),
        (Answer(401, body=b"x" * 100_000), b"x" * 65_536),
    ],
)
def test_which_bodies_are_kept(answer: Answer, body: bytes | None) -> None:
    """Only that of a 401, unpacked as its fields say, and at most 64 KiB of it."""
    assert body == make((), answer).body

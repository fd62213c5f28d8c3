"""The one maker of an Exchange: what is a call, to which API host, and what of its header fields and body counts.

Live traffic and every capture bring a Request and, where one came, an Answer. Header fields are pairs of text in any
letters' case; a source may leave out those that are not in `WANTED`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mfa_audit.exchanges.bodies import BODY_LIMIT, REFUSING, decode
from mfa_audit.exchanges.exchange import LONGEST_AUTHORIZATION, Exchange, Program, Secret, is_api_host

# The longest header value that is kept: enough to tell that a token is too long to be read.
VALUE_LIMIT: Final = LONGEST_AUTHORIZATION + 1
# Asks the server to enforce the rule on this one call: what it then refuses, it refused by test.
ENFORCE: Final = "ms-enforce-mfa"

# Header name in lower case -> field of Exchange. Where both sides carry an id, the request's counts: it is the one
# that Microsoft's lists show.
REQUEST_HEADERS: Final[Mapping[str, str]] = {
    "user-agent": "user_agent",
    "ms-partnercenter-application": "application",
    "ms-partnercenter-client": "client",
    "ms-sdkversion": "sdk_version",
    "ms-requestid": "request_id",
    "ms-correlationid": "correlation_id",
}
RESPONSE_HEADERS: Final[Mapping[str, str]] = {
    "ismfacompliant": "mfa_compliant",
    "www-authenticate": "www_authenticate",
    "ms-requestid": "request_id",
    "ms-correlationid": "correlation_id",
}
# The header fields that a source needs to keep, in lower case.
WANTED: Final = frozenset(
    {
        *("authorization", "host", ":authority", "date", "content-encoding", "transfer-encoding", ENFORCE),
        *REQUEST_HEADERS,
        *RESPONSE_HEADERS,
    }
)

# Fields of an answer whose repetitions all count.
_LISTS: Final = frozenset({"mfa_compliant", "www_authenticate"})
_AUTHORITY: Final = re.compile(r"(?:[^@/]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)(?::\d*)?\Z")

# Names and values of header fields.
Fields = Sequence[tuple[str, str]]


class Request(NamedTuple):
    """The request of one call: `host` in lower case without port, "" where only the header fields name it.

    `path` has no query. `authority` is HTTP/2's, where the source has it apart from the fields.
    """

    method: str
    host: str
    path: str
    fields: Fields
    authority: str = ""


class Answer(NamedTuple):
    """The answer of one call; no status: no answer came.

    `body` is needed of a 401 or 403 only, packed as the fields say or, with `unpacked`, as the server meant it.
    """

    status: int | None = None
    reason_phrase: str = ""
    fields: Fields = ()
    body: bytes | None = None
    unpacked: bool = False


NO_ANSWER: Final = Answer()


def find_api_host(request: Request, further: Collection[str] = ()) -> str | None:
    """The API host that a call is for: its URL's, else that of its HTTP/2 authority or Host header.

    A proxy that reroutes records the address it connected to, and only the header names the API. None where
    this is no call of the API: another host, a tunnel, or a browser's question whether it may call (CORS
    preflight: OPTIONS without Authorization). `further` hosts are API hosts too.
    """
    if request.method == "CONNECT" or is_preflight(request):
        return None
    named = (value for name, value in request.fields if name.lower() in ("host", ":authority"))
    return name_api_host(request.host, (request.authority, *named), further)


def name_api_host(host: str, named: Iterable[str], further: Collection[str] = ()) -> str | None:
    """The API host among the address called and the authorities named, in lower case without port."""
    if is_api_host(host, further):
        return host.lower().rstrip(".")
    for value in named:
        match = _AUTHORITY.match(value.strip())
        if match and is_api_host(match["host"], further):
            return match["host"].lower().rstrip(".")
    return None


def is_preflight(request: Request) -> bool:
    """Whether a browser only asks if it may call (OPTIONS without Authorization)."""
    return request.method == "OPTIONS" and not any(
        name.lower() == "authorization" for name, _ in request.fields
    )


def read_authorization(fields: Fields) -> tuple[Secret, ...]:
    """Every Authorization value among the header fields, in their order."""
    return tuple(
        Secret(value.encode("utf-8", "surrogateescape"))
        for name, value in fields
        if name.lower() == "authorization"
    )


def make_exchange(
    request: Request, host: str, answer: Answer, *, at: float, program: Program | None = None
) -> Exchange:
    """The Exchange of a call to the API host `host`, begun `at` (seconds since 1970, UTC)."""
    parts = {
        **_pick(answer.fields, RESPONSE_HEADERS),
        **_pick(request.fields, REQUEST_HEADERS),
    }
    return Exchange(
        at=at,
        method=clean(request.method),
        host=host,
        path=clean(request.path),
        authorization=read_authorization(request.fields),
        status=answer.status,
        reason_phrase=clean(answer.reason_phrase),
        body=_read_refusal(answer),
        program=program,
        tested=_is_tested(request.fields),
        own_id=any(name.lower() == "ms-requestid" for name, _ in answer.fields),
        **parts,
    )


def clean(text: str) -> str:
    """`text` without lone surrogates, which no database takes, and not longer than a header may be."""
    text = text[:VALUE_LIMIT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def decode_text(raw: bytes) -> str:
    """Header bytes as text: UTF-8 where they are, else Latin-1 (RFC 9110, 5.5, calls them opaque)."""
    raw = raw[:VALUE_LIMIT]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _pick(fields: Fields, wanted: Mapping[str, str]) -> dict[str, str]:
    """The wanted header fields by their Exchange field.

    Of a repeated one the first value counts, except where all of them are one list (RFC 9110, 5.3): a server may
    offer Negotiate first, and say in a second challenge that MFA is missing.
    """
    found: dict[str, str] = {}
    for name, value in fields:
        key = wanted.get(name.lower())
        if key is None:
            continue
        if key not in found:
            found[key] = value
        elif key in _LISTS and len(found[key]) < VALUE_LIMIT:
            found[key] = f"{found[key]}, {value}"[:VALUE_LIMIT]
    return found


def _is_tested(fields: Fields) -> bool:
    return any(
        name.lower() == ENFORCE and value.strip().lower() not in ("", "false", "0") for name, value in fields
    )


def _read_refusal(answer: Answer) -> bytes | None:
    """The body of a refusal, unpacked and cut; None otherwise."""
    if answer.status not in REFUSING or answer.body is None:
        return None
    if answer.unpacked:
        return answer.body[:BODY_LIMIT]
    encodings = ", ".join(value for name, value in answer.fields if name.lower() == "content-encoding")
    return decode(answer.body, encodings)

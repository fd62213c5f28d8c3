"""From the parts that every capture has to an Exchange: which entries are calls, and when they were made."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from mfa_audit.exchanges import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Exchange,
    is_api_host,
    read_authorization,
    read_headers,
)
from mfa_audit.sources.remarks import Remarks

# Servers and clients refuse requests of more than 100 to 1,000 fields: more is no call to anybody.
HEADER_FIELDS: Final = 10_000
# The longest header value that is kept; the largest tokens, with hundreds of groups, stay far below.
VALUE_LIMIT: Final = 64 * 1024
# Partner Center's REST API opened in 2015: an earlier date is a machine's clock that was never set.
EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
AHEAD: Final = timedelta(days=1).total_seconds()

_URL: Final = re.compile(
    r"\s*(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/?#@\\]*@)?(?P<host>\[[^\]/]*\]|[^/?#:\\]*)(?::\d*)?(?P<path>[^?#\s]*)",
    re.I,
)
_BEFORE_OFFSET: Final = re.compile(r"\s+(?=[+-]\d|[zZ]\Z)")
_AUTHORITY: Final = re.compile(r"(?:[^@/]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)(?::\d*)?\Z")

Fields = Sequence[tuple[str, str]]


class Address(NamedTuple):
    """Where a call went: the host in lower case without port, the path without query."""

    host: str
    path: str


def read_url(url: str) -> Address | None:
    """The address of an absolute URL, user name, port and query left out; None where it is none."""
    match = _URL.match(url[:VALUE_LIMIT])
    if match is None or not match["host"]:
        return None
    return Address(match["host"].lower().rstrip("."), match["path"] or "/")


def find_api_host(host: str, fields: Fields, further: Collection[str], authority: str = "") -> str | None:
    """The API host that a call is for: its URL's, else that of its Host header or HTTP/2 authority.

    A proxy that reroutes records the address it connected to, and only the header names the API.
    """
    if is_api_host(host, further):
        return host
    named = [value for name, value in fields if name.lower() in ("host", ":authority")]
    for value in (authority, *named):
        match = _AUTHORITY.match(value.strip())
        if match and is_api_host(match["host"], further):
            return match["host"].lower().rstrip(".")
    return None


def is_call(method: str, fields: Fields) -> bool:
    """Whether an entry is a call at all: no tunnel, and no browser's question whether it may call (CORS preflight)."""
    if method == "CONNECT":
        return False
    return method != "OPTIONS" or any(name.lower() == "authorization" for name, _ in fields)


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


def make_exchange(
    *,
    at: float,
    method: str,
    address: Address,
    request_fields: Fields,
    status: int | None,
    reason_phrase: str,
    response_fields: Fields,
    body: bytes | None,
    program: str | None = None,
) -> Exchange:
    """An Exchange of one entry of a capture; `body` is kept for a 401 only."""
    # Where both sides carry an id, the request's counts: it is the one that Microsoft's lists show.
    parts: dict[str, str] = {
        **read_headers(response_fields, RESPONSE_HEADERS),
        **read_headers(request_fields, REQUEST_HEADERS),
    }
    return Exchange(
        at=at,
        method=clean(method),
        host=address.host,
        path=clean(address.path),
        authorization=read_authorization(request_fields),
        status=status,
        reason_phrase=clean(reason_phrase),
        body=body if status == 401 else None,
        program=program,
        **parts,  # type: ignore[arg-type]
    )


class Calendar:
    """When the calls of one capture were made, by the capture's own word.

    A date that is absent or cannot be (before 2015, later than tomorrow) is replaced by the answer's Date
    header, else by the time of the entry before, and noted; an entry with neither is skipped. `now` in seconds
    since 1970.
    """

    def __init__(self, remarks: Remarks, now: float) -> None:
        self._remarks = remarks
        self._latest = now + AHEAD
        self._before: float | None = None

    def find(self, own: float | None, response_fields: Fields, place: str) -> float | None:
        """Seconds since 1970 of the entry whose own date is `own`; None where it must be skipped."""
        if (at := self._possible(own)) is None:
            answered = next((value for name, value in response_fields if name.lower() == "date"), None)
            if answered is not None and (at := self._possible(read_http_date(answered))) is not None:
                self._remarks.note("dated by the server's Date header, since its own date is absent or wrong", place)
            elif self._before is not None:
                at = self._before
                self._remarks.note("dated as the entry before, since its own date is absent or wrong", place)
            else:
                self._remarks.skip("no usable date", place)
                return None
        self._before = at
        return at

    def pass_by(self, own: float | None) -> None:
        """Take note of the date of an entry that is no call."""
        if (at := self._possible(own)) is not None:
            self._before = at

    def read(self, text: object, place: str) -> float | None:
        """Seconds since 1970 of a date as JSON and XML write it; one without offset counts as UTC, and is noted."""
        found = read_date(text)
        if found is None:
            return None
        if found.tzinfo is None:
            self._remarks.note("a date without offset, read as UTC", place)
            found = found.replace(tzinfo=UTC)
        try:
            return found.timestamp()
        except (OverflowError, ValueError):
            return None

    def _possible(self, at: float | None) -> float | None:
        if at is None or not math.isfinite(at) or not EARLIEST <= at <= self._latest:
            return None
        return at


def read_date(text: object) -> datetime | None:
    """A date by ISO 8601, aware where it names an offset; None where it is no such date."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        return datetime.fromisoformat(_BEFORE_OFFSET.sub("", text.strip()))
    except ValueError:
        return None


def read_http_date(text: str) -> float | None:
    """Seconds since 1970 of a Date header (RFC 9110, 5.6.7)."""
    try:
        found = parsedate_to_datetime(text[:64])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

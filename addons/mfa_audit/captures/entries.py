"""From the parts that every capture has to an Exchange: which entries are calls, and when they were made."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from mfa_audit.captures.remarks import Remarks
from mfa_audit.exchanges.exchange import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Exchange,
    Program,
    is_api_host,
    read_authorization,
    read_headers,
)

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

# The header fields that any reader needs, in lower case.
WANTED: Final = frozenset(
    {
        *("authorization", "host", ":authority", "date", "content-encoding", "transfer-encoding"),
        *REQUEST_HEADERS,
        *RESPONSE_HEADERS,
    }
)

# Names and values of header fields; a reader may leave out those that are not wanted.
Fields = Sequence[tuple[str, str]]


class SkipError(Exception):
    """An entry that cannot be used; the text is the reason, a fixed phrase."""


class TooManyFieldsError(SkipError):
    """An entry with more header fields than any server takes."""

    def __init__(self) -> None:
        super().__init__(f"more than {HEADER_FIELDS:,} header fields")


class Request(NamedTuple):
    """The request of one entry: `host` in lower case without port, "" where only the header fields name it.

    `path` has no query. `authority` is HTTP/2's, where the capture has it apart from the fields.
    """

    method: str
    host: str
    path: str
    fields: Fields
    authority: str = ""


class Answer(NamedTuple):
    """The answer of one entry; `body` is that of a 401, unpacked and cut. No status: no answer came."""

    status: int | None = None
    reason_phrase: str = ""
    fields: Fields = ()
    body: bytes | None = None


def read_url(url: str) -> tuple[str, str] | None:
    """Host and path of an absolute URL, user name, port and query left out; None where it is none."""
    match = _URL.match(url[:VALUE_LIMIT])
    if match is None or not match["host"]:
        return None
    return match["host"].lower().rstrip("."), match["path"] or "/"


def find_api_host(request: Request, further: Collection[str] = ()) -> str | None:
    """The API host that a call is for: its URL's, else that of its HTTP/2 authority or Host header.

    A proxy that reroutes records the address it connected to, and only the header names the API. None where
    the entry is no call of the API: another host, a tunnel, or a browser's question whether it may call (CORS
    preflight: OPTIONS without Authorization).
    """
    if request.method == "CONNECT":
        return None
    if request.method == "OPTIONS" and not any(name.lower() == "authorization" for name, _ in request.fields):
        return None
    if is_api_host(request.host, further):
        return request.host
    named = [value for name, value in request.fields if name.lower() in ("host", ":authority")]
    for value in (request.authority, *named):
        match = _AUTHORITY.match(value.strip())
        if match and is_api_host(match["host"], further):
            return match["host"].lower().rstrip(".")
    return None


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


class Reading:
    """What the reading of one capture shares: its remarks, further API hosts, and when its calls were made.

    The time of a call is the capture's own. A date that is absent or cannot be (before 2015, later than
    tomorrow) is replaced by the answer's Date header, else by the time of the entry before, and noted; an
    entry with neither is skipped. `now` in seconds since 1970.
    """

    def __init__(self, remarks: Remarks, now: float, further: Collection[str] = ()) -> None:
        self.remarks = remarks
        self.further = further
        self._latest = now + AHEAD
        self._before: float | None = None

    def find_api_host(self, request: Request, own: float | None = None) -> str | None:
        """As `find_api_host`; of an entry that is no call only the date `own` is remembered. Raises
        SkipError.
        """
        host = find_api_host(request, self.further)
        if host is None and self._is_possible(own):
            self._before = own
        return host

    def make_exchange(
        self,
        request: Request,
        host: str,
        answer: Answer,
        *,
        own: float | None,
        place: str,
        program: Program | None = None,
    ) -> Exchange:
        """The Exchange of an entry to `host`, dated `own` where that is possible. Raises SkipError."""
        # Where both sides carry an id, the request's counts: it is the one that Microsoft's lists show.
        parts: dict[str, str] = {
            **read_headers(answer.fields, RESPONSE_HEADERS),
            **read_headers(request.fields, REQUEST_HEADERS),
        }
        return Exchange(
            at=self._date(own, answer.fields, place),
            method=clean(request.method),
            host=host,
            path=clean(request.path),
            authorization=read_authorization(request.fields),
            status=answer.status,
            reason_phrase=clean(answer.reason_phrase),
            body=answer.body if answer.status == 401 else None,
            program=program,
            **parts,  # type: ignore[arg-type]
        )

    def read_date(self, text: object, place: str) -> float | None:
        """Seconds since 1970 of a date as JSON and XML write it; one without offset counts as UTC, and is
        noted.
        """
        found = read_date(text)
        if found is None:
            return None
        if found.tzinfo is None:
            self.remarks.note("dated without an offset, read as UTC", place)
        return to_seconds(found)

    def _date(self, own: float | None, fields: Fields, place: str) -> float:
        at = own
        if not self._is_possible(at):
            at = next((read_http_date(value) for name, value in fields if name.lower() == "date"), None)
            if self._is_possible(at):
                self.remarks.note(
                    "dated by the server's Date header, its own date being absent or wrong", place
                )
            elif self._before is not None:
                at = self._before
                self.remarks.note("dated as the entry before, its own date being absent or wrong", place)
        if at is None or not self._is_possible(at):
            raise SkipError("no usable date")
        self._before = at
        return at

    def _is_possible(self, at: float | None) -> bool:
        return at is not None and math.isfinite(at) and EARLIEST <= at <= self._latest


def read_date(text: object) -> datetime | None:
    """A date by ISO 8601, aware where it names an offset; None where it is no such date."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        return datetime.fromisoformat(_BEFORE_OFFSET.sub("", text.strip()))
    except ValueError:
        return None


def to_seconds(date: datetime | None) -> float | None:
    """Seconds since 1970 of a date, without offset as UTC; None for none, and at the ends of the calendar."""
    try:
        return None if date is None else (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None


def read_http_date(text: str) -> float | None:
    """Seconds since 1970 of a Date header (RFC 9110, 5.6.7)."""
    try:
        found = parsedate_to_datetime(text[:64])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

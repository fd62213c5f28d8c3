"""From the parts that every capture has to an Exchange: which entries are calls, and when they were made."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from mfa_audit.captures.remarks import Remarks
from mfa_audit.exchanges.exchange import Exchange, Program
from mfa_audit.exchanges.maker import (
    VALUE_LIMIT,
    WANTED,
    Answer,
    Fields,
    Request,
    clean,
    decode_text,
    find_api_host,
    make_exchange,
    read_authorization,
)
from mfa_audit.judging import tokens

__all__ = ["VALUE_LIMIT", "WANTED", "Answer", "Fields", "Request", "clean", "decode_text"]

# Servers and clients refuse requests of more than 100 to 1,000 fields: more is no call to anybody.
HEADER_FIELDS: Final = 10_000
# Partner Center's REST API opened in 2015: an earlier date is a machine's clock that was never set.
EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
AHEAD: Final = timedelta(days=1).total_seconds()

_URL: Final = re.compile(
    r"\s*(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/?#@\\]*@)?(?P<host>\[[^\]/]*\]|[^/?#:\\]*)(?::\d*)?(?P<path>[^?#\s]*)",
    re.I,
)
_BEFORE_OFFSET: Final = re.compile(r"\s+(?=[+-]\d|[zZ]\Z)")


class SkipError(Exception):
    """An entry that cannot be used; the text is the reason, a fixed phrase."""


class TooManyFieldsError(SkipError):
    """An entry with more header fields than any server takes."""

    def __init__(self) -> None:
        super().__init__(f"more than {HEADER_FIELDS:,} header fields")


def read_url(url: str) -> tuple[str, str] | None:
    """Host and path of an absolute URL, user name, port and query left out; None where it is none."""
    match = _URL.match(url[:VALUE_LIMIT])
    if match is None or not match["host"]:
        return None
    return match["host"].lower().rstrip("."), match["path"] or "/"


class Reading:
    """What the reading of one capture shares: its remarks, further API hosts, and when its calls were made.

    The time of a call is the capture's own. A date that is absent or cannot be (before 2015, later than
    tomorrow) is replaced, and that is noted: by the answer's Date header, else by the time of the entry before, by
    when the token was issued, or by when the file was saved. `now` and `saved` in seconds since 1970; `understood`
    counts the entries whose request could be read, calls of the API or not.
    """

    def __init__(
        self, remarks: Remarks, now: float, further: Collection[str] = (), saved: float | None = None
    ) -> None:
        self.remarks = remarks
        self.further = further
        self.understood = 0
        self._latest = now + AHEAD
        self._before: float | None = None
        self.saved = saved if saved is not None and self._is_possible(saved) else now

    def find_api_host(self, request: Request, own: float | None = None) -> str | None:
        """As `find_api_host`; of an entry that is no call only the date `own` is remembered. Raises
        SkipError.
        """
        self.understood += 1
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
        """The Exchange of an entry to `host`, dated `own` where that is possible."""
        at = own if own is not None and self._is_possible(own) else self._guess(request, answer, place)
        self._before = at
        return make_exchange(request, host, answer, at=at, program=program)

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

    def _guess(self, request: Request, answer: Answer, place: str) -> float:
        issued = tokens.read(read_authorization(request.fields)).issued
        if issued is not None and not self._is_possible(issued):
            issued = None
        sent = next((read_http_date(value) for name, value in answer.fields if name.lower() == "date"), None)
        if sent is not None and self._is_possible(sent):
            how, at = "by the server's Date header", sent
        elif self._before is not None and self._before >= (issued or 0):
            how, at = "as the entry before", self._before
        elif issued is not None:
            how, at = "by when its token was issued", issued
        else:
            how, at = "by when the file was saved", self.saved
        self.remarks.note(f"dated {how}, its own date being absent or wrong", place)
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

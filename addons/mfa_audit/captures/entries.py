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
)

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
        return make_exchange(request, host, answer, at=self._date(own, answer.fields, place), program=program)

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

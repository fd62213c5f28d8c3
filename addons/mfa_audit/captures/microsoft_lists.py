"""Microsoft's own lists of who called without MFA, as a partner saved them: rows of three kinds.

The lists and their columns: https://learn.microsoft.com/partner-center/developer/mfa-resources. They come as
an array, as a page (`items`), as several pages one after another or in an array, with names in either case,
and Windows PowerShell writes them in UTF-16, with `value` around arrays and `/Date(…)/` for dates.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mfa_audit.captures import entries
from mfa_audit.captures.entries import Reading
from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText


class PartnerRequest(NamedTuple):
    """One call, from `GET /v1/partnerRequests`; `at` in seconds since 1970 (UTC)."""

    at: float | None
    request_id: str | None
    correlation_id: str | None
    operation: str | None
    object_id: str | None
    tenant_id: str | None
    upn: str | None
    application_id: str | None
    mfa_compliant: bool | None


class Adoption(NamedTuple):
    """One application on one day, from `GET /v1/applicationmfaadoptionstatus`; `day` as an ISO date (UTC)."""

    day: str | None
    application_id: str
    application_name: str | None
    mfa_requests: int
    requests: int


class Principal(NamedTuple):
    """A user without MFA, from `GET /v1/nonMfaCompliantPartnerPrincipals`; `at` in seconds since 1970."""

    at: float | None
    object_id: str | None
    tenant_id: str | None
    upn: str | None


Row = PartnerRequest | Adoption | Principal

# Where the rows are in what surrounds them: Microsoft's pages, PowerShell's way of writing arrays, Azure's exports.
CONTAINERS: Final = ("items", "value", "records")
# A page in an array in a page is the deepest that anybody writes.
DEEPEST: Final = 8
MOST_COLUMNS: Final = 100
# The columns of the lists, in lower case. A row is one that has what only its list has, or four of its columns: other
# programs write a `requestId` too.
_REQUEST: Final = frozenset(
    {
        *("requestid", "correlationid", "operationname", "requestdatetime", "sourceipaddress"),
        *("objectid", "tenantid", "upn", "applicationid", "mfacompliant"),
    }
)
_ADOPTION: Final = frozenset(
    {"logindate", "mfacompliantrequestcount", "totalrequestcount", "applicationid", "applicationname"}
)
_ENOUGH: Final = 4
# The same column is named differently in Microsoft's reference and in its examples.
_LAST_SEEN: Final = ("lastnonmfacompliantrequestdatetime", "lastnonmfacompliantlogindatetime")
_NO_ROW: Final = "not a row of Microsoft's lists"
_POWERSHELL_DATE: Final = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def read(text: JsonText, reading: Reading) -> Iterator[Row]:
    """The rows from here to the end of the text; never raises on bad content."""
    try:
        while text.peek():
            yield from _read_part(text, reading, DEEPEST)
            text.take(",")
    except CutOffError:
        reading.remarks.cut_off("the rest of the file could not be read")


def _read_part(text: JsonText, reading: Reading, depth: int) -> Iterator[Row]:
    """The rows of the page, array or row that begins here. Raises CutOffError."""
    if text.peek() == "[":
        for number in text.items():
            if text.peek() == "[" and depth:
                yield from _read_part(text, reading, depth - 1)
                continue
            try:
                found = text.value()
            except BrokenError as error:
                reading.remarks.skip(str(error), f"row {number}")
                continue
            yield from _read_found(found, reading, f"row {number}", depth)
    elif text.peek() == "{":
        yield from _read_object(text, reading, depth)
    else:
        try:
            text.value()
        except BrokenError:
            raise CutOffError from None


def _read_object(text: JsonText, reading: Reading, depth: int) -> Iterator[Row]:
    """A page, of any length, or one row."""
    rest: dict[str, Any] = {}
    is_page = False
    for key in text.keys():  # noqa: SIM118  (not a dictionary)
        if key.lower() in CONTAINERS and text.peek() in ("[", "{") and depth:
            is_page = True
            yield from _read_part(text, reading, depth - 1)
        elif len(rest) >= MOST_COLUMNS:
            text.skip()
        else:
            with contextlib.suppress(BrokenError):
                rest[key[:100]] = text.value()
    if (row := read_row(rest)) is not None:
        yield _make(row, reading, "row 1")
    elif not is_page:
        reading.remarks.skip(_NO_ROW, "an object")


def _read_found(found: Any, reading: Reading, place: str, depth: int) -> Iterator[Row]:
    """The rows in one item of an array."""
    if isinstance(found, dict) and depth:
        inner = next((value for key, value in found.items() if key.lower() in CONTAINERS), None)
        if isinstance(inner, list):
            for number, item in enumerate(inner, 1):
                yield from _read_found(item, reading, f"{place}, {number}", depth - 1)
            return
        if isinstance(inner, dict):
            yield from _read_found(inner, reading, place, depth - 1)
            return
    if isinstance(found, dict) and (row := read_row(found)) is not None:
        yield _make(row, reading, place)
    else:
        reading.remarks.skip(_NO_ROW, place)


def _make(row: Row, reading: Reading, place: str) -> Row:
    """The row; where it has no date, a failure is one of the time at which the file was saved.

    The lists show the last seven days. So a failure is dated a few days too late at most, and counts as long as any
    other. A good row without a date shows nothing.
    """
    if (row.day if isinstance(row, Adoption) else row.at) is not None:
        return row
    if isinstance(row, Adoption):
        fails = row.mfa_requests < row.requests
        day = datetime.fromtimestamp(reading.saved, UTC).date().isoformat()
        dated: Row = row._replace(day=day)
    else:
        fails = isinstance(row, Principal) or row.mfa_compliant is False
        dated = row._replace(at=reading.saved)
    if not fails:
        reading.remarks.note("no date that can be read", place)
        return row
    reading.remarks.note("no date that can be read: dated by when the file was saved", place)
    return dated


def read_row(found: Mapping[str, Any]) -> Row | None:
    """The row that an object of one of the lists is, by its columns; None where it is none of them."""
    columns = {key.lower(): value for key, value in found.items()}
    if (application := _text(columns.get("applicationid"))) and _is_row(
        columns, "totalrequestcount", "mfacompliantrequestcount", _ADOPTION
    ):
        date = _date(columns.get("logindate"))
        total = _count(columns["totalrequestcount"])
        return Adoption(
            day=date[1] if date else None,
            application_id=application.lower(),
            application_name=_text(columns.get("applicationname")),
            mfa_requests=min(_count(columns.get("mfacompliantrequestcount")), total),
            requests=total,
        )
    if _is_row(columns, "requestid", "mfacompliant", _REQUEST):
        date = _date(columns.get("requestdatetime"))
        return PartnerRequest(
            at=date[0] if date else None,
            request_id=_lower(columns.get("requestid")),
            correlation_id=_lower(columns.get("correlationid")),
            operation=_text(columns.get("operationname")),
            object_id=_lower(columns.get("objectid")),
            tenant_id=_lower(columns.get("tenantid")),
            upn=_text(columns.get("upn")),
            application_id=_lower(columns.get("applicationid")),
            mfa_compliant=_truth(columns.get("mfacompliant")),
        )
    if any(name in columns for name in _LAST_SEEN) and ("upn" in columns or "objectid" in columns):
        date = _date(next(columns[name] for name in _LAST_SEEN if name in columns))
        return Principal(
            at=date[0] if date else None,
            object_id=_lower(columns.get("objectid")),
            tenant_id=_lower(columns.get("tenantid")),
            upn=_text(columns.get("upn")),
        )
    return None


def _is_row(columns: Mapping[str, Any], needed: str, telling: str, documented: frozenset[str]) -> bool:
    return needed in columns and (telling in columns or len(documented & columns.keys()) >= _ENOUGH)


def _text(value: Any) -> str | None:
    return entries.clean(value.strip())[:500] or None if isinstance(value, str) else None


def _lower(value: Any) -> str | None:
    text = _text(value)
    return text.lower() if text else None


def _count(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    # SQLite's largest integer; Microsoft's column is a long.
    return number if 0 <= number < 2**63 else 0


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def _date(value: Any) -> tuple[float, str] | None:
    """Seconds since 1970 and the ISO day (UTC) of a date; Microsoft's lists give UTC without saying so."""
    if isinstance(value, dict):
        # PowerShell's ConvertTo-Json writes a date that it understood as {"value": "…", "DateTime": "…"}.
        value = value.get("value")
    if isinstance(value, str) and (match := _POWERSHELL_DATE.fullmatch(value.strip())):
        seconds = int(match[1]) / 1000
        try:
            return seconds, datetime.fromtimestamp(seconds, UTC).date().isoformat()
        except (OverflowError, ValueError, OSError):
            return None
    found = entries.read_date(value)
    if found is None:
        return None
    try:
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        return found.timestamp(), found.date().isoformat()
    except (OverflowError, ValueError):
        return None

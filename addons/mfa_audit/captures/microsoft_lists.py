"""Microsoft's own lists of who called without MFA, as a partner saved them: rows of three kinds.

The lists and their columns: https://learn.microsoft.com/partner-center/developer/mfa-resources. They come as
an array, as a page (`items`), as several pages one after another or in an array, with names in either case,
and Windows PowerShell writes them in UTF-16, with `value` around arrays and `/Date(…)/` for dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mfa_audit.captures import entries
from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText
from mfa_audit.captures.remarks import Remarks


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

# Where the rows are in what surrounds them: Microsoft's pages, and PowerShell's way of writing arrays.
CONTAINERS: Final = ("items", "value")
# The same column is named differently in Microsoft's reference and in its examples.
_LAST_SEEN: Final = ("lastnonmfacompliantrequestdatetime", "lastnonmfacompliantlogindatetime")
MOST_COLUMNS: Final = 100
_POWERSHELL_DATE: Final = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def read(text: JsonText, remarks: Remarks) -> Iterator[Row]:
    """The rows from here to the end of the text; never raises on bad content."""
    try:
        while text.peek():
            yield from _read_part(text, remarks)
            text.take(",")
    except CutOffError:
        remarks.note("cut off or damaged: the rest of the file could not be read")


def read_container(text: JsonText, remarks: Remarks) -> Iterator[Row]:
    """The rows of the array, or of the object, that begins here. Raises CutOffError."""
    if text.peek() == "[":
        for number in text.items():
            if text.peek() == "[":
                yield from read_container(text, remarks)
                continue
            try:
                found = text.value()
            except BrokenError as error:
                remarks.skip(str(error), f"row {number}")
                continue
            yield from _read_object(found, remarks, f"row {number}")
    else:
        yield from _read_part(text, remarks)


def _read_part(text: JsonText, remarks: Remarks) -> Iterator[Row]:
    character = text.peek()
    if character == "[":
        yield from read_container(text, remarks)
    elif character == "{":
        rest: dict[str, Any] = {}
        for key in text.keys():  # noqa: SIM118  (not a dictionary)
            if key.lower() in CONTAINERS and text.peek() == "[":
                yield from read_container(text, remarks)
                continue
            if len(rest) >= MOST_COLUMNS:
                text.skip()
                continue
            try:
                rest[key[:100]] = text.value()
            except BrokenError:
                continue
        if (row := read_row(rest)) is not None:
            yield row
    elif character:
        try:
            text.value()
        except BrokenError:
            raise CutOffError from None


def _read_object(found: Any, remarks: Remarks, place: str) -> Iterator[Row]:
    if not isinstance(found, dict):
        remarks.skip("not a row of Microsoft's lists", place)
        return
    for key, rows in found.items():
        if key.lower() in CONTAINERS and isinstance(rows, list):
            for number, row in enumerate(rows, 1):
                yield from _read_object(row, remarks, f"{place}, {number}")
            return
    if (row := read_row(found)) is not None:
        yield row
    else:
        remarks.skip("not a row of Microsoft's lists", place)


def read_row(found: dict[str, Any]) -> Row | None:
    """The row that an object of one of the lists is, by its columns; None where it is none of them."""
    columns = {key.lower(): value for key, value in found.items()}
    if "totalrequestcount" in columns and (application := _text(columns.get("applicationid"))):
        date = _date(columns.get("logindate"))
        total = _count(columns["totalrequestcount"])
        return Adoption(
            day=date[1] if date else None,
            application_id=application.lower(),
            application_name=_text(columns.get("applicationname")),
            mfa_requests=min(_count(columns.get("mfacompliantrequestcount")), total),
            requests=total,
        )
    if "requestid" in columns and ("mfacompliant" in columns or "operationname" in columns):
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
    last_seen = next((columns[name] for name in _LAST_SEEN if name in columns), None)
    if last_seen is not None and ("upn" in columns or "objectid" in columns):
        date = _date(last_seen)
        return Principal(
            at=date[0] if date else None,
            object_id=_lower(columns.get("objectid")),
            tenant_id=_lower(columns.get("tenantid")),
            upn=_text(columns.get("upn")),
        )
    return None


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


def looks_like_row(found: Any) -> bool:
    """Whether a JSON value is a row, or a page or an array of rows, of one of Microsoft's lists."""
    if isinstance(found, list):
        return not found or looks_like_row(found[0])
    if not isinstance(found, dict):
        return False
    return read_row(found) is not None or any(key.lower() in CONTAINERS for key in found)

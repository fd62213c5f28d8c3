"""Entra sign-in logs, in the five shapes in which a partner can save them: rows of one kind.

- Graph JSON: `auditLogs/signIns`, pages or arrays, and the portal's JSON download
  (https://learn.microsoft.com/graph/api/resources/signin);
- Log Analytics: `SigninLogs`, `AADNonInteractiveUserSignInLogs`, `AADServicePrincipalSignInLogs`
  (https://learn.microsoft.com/azure/azure-monitor/reference/tables/signinlogs);
- diagnostic settings: JSON lines or `{"records": [...]}`, with the row under `properties`;
- the portal's CSV download (https://learn.microsoft.com/entra/identity/monitoring-health/howto-download-logs).

A column is known by its letters and digits alone, in lower case: Graph's `userPrincipalName`, Log Analytics'
`UserPrincipalName` and the portal's `Username` are one. Nested columns come as JSON, or as text that is JSON. Only the
columns named here are looked at, and nothing of a row is trusted when printed.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from mfa_audit.captures import entries
from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText
from mfa_audit.captures.remarks import Remarks
from mfa_audit.exchanges.exchange import GUID


class SignIn(NamedTuple):
    """One sign-in, or one token that was fetched without one.

    `at` in seconds since 1970 (UTC). `kind`: interactive, non-interactive, service-principal, managed-identity or
    None. `protocol` as Entra spells it (`ropc`, `deviceCode`, `oAuth2` …). `requirement`: what was *required*
    (`singleFactorAuthentication`, `multiFactorAuthentication`), not what the token holds. `policies`: Conditional
    Access, (name, result). `required_by`: what asked for MFA. `mfa`: the method that answered. `error`: 0 where it
    succeeded. `trusted_network`: whether the log calls the network a trusted named location (None: it does not say).
    """

    at: float
    request_id: str | None
    unique_token_id: str | None
    app_id: str
    app_name: str | None
    resource_id: str | None
    resource_name: str | None
    tenant_id: str | None
    object_id: str | None
    upn: str | None
    kind: str | None
    protocol: str | None
    requirement: str | None
    required_by: tuple[str, ...]
    conditional_access: str | None
    policies: tuple[tuple[str, str], ...]
    mfa: str | None
    error: int | None
    trusted_network: bool | None


# Column names by their letters and digits, in the order of preference.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "at": ("createddatetime", "dateutc", "date", "timegenerated", "time"),
    "request_id": ("id", "requestid", "originalrequestid"),
    "unique_token_id": ("uniquetokenidentifier", "uniquetokenid"),
    "app_id": ("appid", "applicationid"),
    "app_name": ("appdisplayname", "application"),
    # Log Analytics' ResourceId is the path of an Azure resource, its ResourceIdentity the id of the API.
    "resource_id": ("resourceidentity", "resourceid"),
    "resource_name": ("resourcedisplayname", "resource"),
    "tenant_id": ("hometenantid", "aadtenantid", "tenantid"),
    "object_id": ("userid",),
    "upn": ("userprincipalname", "username"),
    "protocol": ("authenticationprotocol",),
    "requirement": ("authenticationrequirement",),
    "required_by": ("authenticationrequirementpolicies",),
    "conditional_access": ("conditionalaccessstatus", "conditionalaccess"),
    "policies": ("appliedconditionalaccesspolicies", "conditionalaccesspolicies"),
    "mfa": ("mfadetail", "multifactorauthenticationauthmethod"),
    "status": ("status",),
    "error": ("resulttype", "signinerrorcode", "errorcode"),
    "kind": ("signineventtypes", "category", "type"),
    "interactive": ("isinteractive",),
    "service_principal": ("serviceprincipalid",),
    "networks": ("networklocationdetails",),
}
_WANTED: Final = frozenset(name for names in _COLUMNS.values() for name in names) | {"properties"}
# What no other log or list has together: an application, a date and what was asked of the sign-in.
_TELLING: Final = frozenset(
    {
        *("uniquetokenidentifier", "authenticationrequirement", "conditionalaccessstatus", "clientappused"),
        *("authenticationprotocol", "appliedconditionalaccesspolicies", "conditionalaccesspolicies"),
        *("signineventtypes", "incomingtokentype", "conditionalaccess"),
    }
)
_CONTAINERS: Final = ("value", "records", "items", "tables")
_KINDS: Final = {
    "interactiveuser": "interactive",
    "noninteractiveuser": "non-interactive",
    "serviceprincipal": "service-principal",
    "managedidentity": "managed-identity",
    "signinlogs": "interactive",
    "noninteractiveusersigninlogs": "non-interactive",
    "serviceprincipalsigninlogs": "service-principal",
    "managedidentitysigninlogs": "managed-identity",
    "aadnoninteractiveusersigninlogs": "non-interactive",
    "aadserviceprincipalsigninlogs": "service-principal",
}
# 16 bytes in base64url without padding.
_UNIQUE_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_NOT_ALPHANUMERIC: Final = re.compile(r"[\W_]+")
_LONGEST: Final = 256
_MOST_POLICIES: Final = 20
_MOST_COLUMNS: Final = 200
_DEEPEST: Final = 4


def column(name: str) -> str:
    """A column's name as it is compared: letters and digits, in lower case."""
    return _NOT_ALPHANUMERIC.sub("", name[:100]).lower()


_column = lru_cache(maxsize=1024)(column)


def looks_like_row(found: object, depth: int = 0) -> bool:
    """Whether a JSON object is a row of a sign-in log, a page of them, or holds one under `properties`."""
    if not isinstance(found, dict) or depth > _DEEPEST:
        return False
    names = {column(str(name)) for name in found}
    rows = next((found[name] for name in found if name.lower() in _CONTAINERS), None)
    if isinstance(rows, list) and rows:
        return looks_like_row(rows[0], depth + 1)
    if "properties" in names and isinstance(found.get("properties"), dict):
        return looks_like_row(found["properties"], depth + 1)
    return _has_columns(names)


def looks_like_heading(line: str) -> bool:
    """Whether the first line of a CSV file is that of the portal's download or of a Log Analytics export."""
    try:
        names = {
            column(cell) for cell in next(csv.reader([line.lstrip("\ufeff")], delimiter=_delimiter(line)))
        }
    except (csv.Error, StopIteration):
        return False
    return _has_columns(names)


def _has_columns(names: set[str]) -> bool:
    return (
        not names.isdisjoint(_TELLING)
        and not names.isdisjoint(_COLUMNS["app_id"])
        and not names.isdisjoint(_COLUMNS["at"])
    )


def _delimiter(line: str) -> str:
    # Excel in many languages saves with semicolons.
    return max(",;\t", key=line.count)


def read_json(text: JsonText, remarks: Remarks) -> Iterator[SignIn]:
    """The rows of pages, arrays or JSON lines, to the end of the text; never raises on bad content."""
    counting = itertools.count(1)
    try:
        # A page holds its rows in one of its values and may be of any size; a line is small, and is read at once.
        lines = False
        while text.peek():
            if lines:
                yield from _read_values(_value(text, remarks), remarks, counting)
            elif text.peek() == "{":
                page = _Object(text, remarks, counting)
                yield from page
                lines = not page.held_rows
            else:
                yield from _read_array(text, remarks, counting)
            text.take(",")
    except CutOffError:
        remarks.cut_off("the rest of the file could not be read")


class _Object:
    """The object that begins here, column by column: rows in it as they come, else the one row that it is."""

    def __init__(self, text: JsonText, remarks: Remarks, counting: Iterator[int]) -> None:
        self._text, self._remarks, self._counting = text, remarks, counting
        self.held_rows = False

    def __iter__(self) -> Iterator[SignIn]:
        row: dict[str, Any] = {}
        for key in self._text.keys():  # noqa: SIM118  (not a dictionary)
            if key.lower() in _CONTAINERS and self._text.peek() == "[":
                self.held_rows = True
                yield from _read_array(self._text, self._remarks, self._counting)
                continue
            value = _value(self._text, self._remarks)
            if len(row) < _MOST_COLUMNS:
                row[column(key)] = value
        if not self.held_rows and row:
            yield from _read_values(row, self._remarks, self._counting)


def _read_array(
    text: JsonText, remarks: Remarks, counting: Iterator[int], depth: int = 0
) -> Iterator[SignIn]:
    if text.peek() != "[":
        _value(text, remarks)
        raise CutOffError
    for _ in text.items():
        if text.peek() == "[" and depth < _DEEPEST:
            yield from _read_array(text, remarks, counting, depth + 1)
        else:
            yield from _read_values(_value(text, remarks), remarks, counting)


def _value(text: JsonText, remarks: Remarks) -> Any:
    try:
        return text.value()
    except BrokenError as error:
        remarks.skip(str(error), "a row")
        return None


def _read_values(found: Any, remarks: Remarks, counting: Iterator[int], depth: int = 0) -> Iterator[SignIn]:
    """The row that an object is, or those of the page that it is."""
    if found is None:
        return
    if not isinstance(found, dict):
        remarks.skip("not a row of a sign-in log", f"row {next(counting)}")
        return
    for key, rows in found.items():
        if key.lower() in _CONTAINERS and isinstance(rows, list) and depth < _DEEPEST:
            for row in rows:
                yield from _read_values(row, remarks, counting, depth + 1)
            return
    row = {name: value for key, value in found.items() if (name := _column(key)) in _WANTED}
    read = _read_row(row, remarks, f"row {next(counting)}")
    if read is not None:
        yield read


def read_csv(lines: Iterable[str], remarks: Remarks) -> Iterator[SignIn]:
    """The rows of a CSV text, whose first line is its heading; never raises on bad content."""
    stream = iter(lines)
    heading = next(stream, "").lstrip("\ufeff")
    delimiter = _delimiter(heading)
    names = [column(cell) for cell in next(csv.reader([heading], delimiter=delimiter), [])]
    reader = csv.reader((line.replace("\x00", "") for line in stream), delimiter=delimiter)
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            remarks.skip("not a line of CSV", f"line {number}")
            continue
        if not any(cells):
            continue
        # Of two columns with one name (the portal has some twice), the first that is filled counts.
        row: dict[str, Any] = {}
        for name, cell in zip(names, cells, strict=False):
            if name in _WANTED and cell.strip() and name not in row:
                row[name] = cell
        found = _read_row(row, remarks, f"line {number}")
        if found is not None:
            yield found


def _read_row(row: Mapping[str, Any], remarks: Remarks, place: str) -> SignIn | None:
    inner = row.get("properties")
    if isinstance(inner, str):
        inner = _parse(inner)
    if isinstance(inner, dict):
        row = {**row, **{column(str(key)): value for key, value in inner.items()}}
    at = _date(_first(row, "at"))
    app_id = _lower(_first(row, "app_id"))
    if at is None or app_id is None:
        missing = "no application id" if app_id is None else "no usable date"
        remarks.skip(missing if row else "not a row of a sign-in log", place)
        return None
    request_id = _lower(_first(row, "request_id"))
    return SignIn(
        at=at,
        request_id=request_id,
        unique_token_id=_unique_token_id(_text(_first(row, "unique_token_id")), request_id),
        app_id=app_id,
        app_name=_text(_first(row, "app_name")),
        resource_id=_resource(row),
        resource_name=_text(_first(row, "resource_name")),
        tenant_id=_lower(_first(row, "tenant_id")),
        object_id=_lower(_first(row, "object_id")),
        upn=_text(_first(row, "upn")),
        kind=_kind(row),
        protocol=_text(_first(row, "protocol")),
        requirement=_text(_first(row, "requirement")),
        required_by=_required_by(_first(row, "required_by")),
        conditional_access=_text(_first(row, "conditional_access")),
        policies=_policies(_first(row, "policies")),
        mfa=_mfa(_first(row, "mfa")),
        error=_error(row),
        trusted_network=_trusted(_first(row, "networks")),
    )


def _unique_token_id(value: str | None, request_id: str | None) -> str | None:
    """The id that a token carries as `uti`; older exports have only the log's request id, the same 16 bytes.

    In .NET's order of them, as Microsoft's MSIdentityTools reads it (ConvertFrom-MsIdUniqueTokenIdentifier).
    """
    if value and _UNIQUE_TOKEN_ID.fullmatch(value):
        return value
    if request_id and GUID.fullmatch(request_id):
        return urlsafe_b64encode(UUID(request_id).bytes_le).decode("ascii").rstrip("=")
    return None


def _first(row: Mapping[str, Any], field: str) -> Any:
    return next((row[name] for name in _COLUMNS[field] if row.get(name) not in (None, "")), None)


def _text(value: Any) -> str | None:
    return entries.clean(value.strip())[:_LONGEST] or None if isinstance(value, str) else None


def _lower(value: Any) -> str | None:
    found = _text(value)
    return found.lower() if found else None


def _parse(value: Any) -> Any:
    """What a nested column holds: JSON values, or text that is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _date(value: Any) -> float | None:
    """Seconds since 1970; a date without an offset is UTC, as the logs' columns say."""
    found = entries.read_date(value)
    if found is None:
        return None
    try:
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
    return seconds if seconds >= entries.EARLIEST else None


def _resource(row: Mapping[str, Any]) -> str | None:
    for name in _COLUMNS["resource_id"]:
        found = _lower(row.get(name))
        if found and GUID.fullmatch(found):
            return found
    return None


def _kind(row: Mapping[str, Any]) -> str | None:
    value = _parse(row["signineventtypes"]) if "signineventtypes" in row else None
    for word in value if isinstance(value, list) else [_first(row, "kind")]:
        if isinstance(word, str) and (kind := _KINDS.get(column(word))):
            return kind
    if _text(_first(row, "service_principal")) and not _text(_first(row, "object_id")):
        return "service-principal"
    interactive = row.get("isinteractive")
    if isinstance(interactive, str):
        interactive = {"true": True, "false": False}.get(interactive.strip().lower())
    return (
        {True: "interactive", False: "non-interactive"}.get(interactive)
        if isinstance(interactive, bool)
        else None
    )


def _required_by(value: Any) -> tuple[str, ...]:
    found = _parse(value)
    names = [
        name
        for item in (found if isinstance(found, list) else [])[:_MOST_POLICIES]
        if isinstance(item, dict)
        and (name := _text(item.get("detail")) or _text(item.get("requirementProvider")))
    ]
    return tuple(dict.fromkeys(names))


def _policies(value: Any) -> tuple[tuple[str, str], ...]:
    """Conditional Access policies that had a part in it: those that did not apply are left out."""
    found = _parse(value)
    applied = []
    for item in (found if isinstance(found, list) else [])[:200]:
        if not isinstance(item, dict):
            continue
        name, result = _text(item.get("displayName")), _text(item.get("result"))
        if name and result and result not in ("notApplied", "notEnabled", "reportOnlyNotApplied"):
            applied.append((name, result))
    return tuple(applied[:_MOST_POLICIES])


def _mfa(value: Any) -> str | None:
    found = _parse(value) if isinstance(value, str) and value.lstrip().startswith("{") else value
    if isinstance(found, dict):
        return _text(found.get("authMethod"))
    return _text(found)


def _error(row: Mapping[str, Any]) -> int | None:
    """The AADSTS number; 0 for success. The portal's Status is a word, Graph's an object."""
    status = _parse(row.get("status")) if not isinstance(row.get("status"), dict) else row["status"]
    own = status.get("errorCode") if isinstance(status, dict) else None
    for value in (own, _first(row, "error")):
        if value is None or isinstance(value, bool):
            continue
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            continue
    word = row.get("status")
    return 0 if isinstance(word, str) and word.strip().lower() == "success" else None


def _trusted(value: Any) -> bool | None:
    found = _parse(value)
    if not isinstance(found, list):
        return None
    kinds = {str(item.get("networkType", "")).lower() for item in found if isinstance(item, dict)}
    return "trustednamedlocation" in kinds if kinds else None

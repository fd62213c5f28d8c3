"""One row of an Entra sign-in log: its columns by whatever name they have, and what of them is kept.

A column is known by its letters and digits alone, in lower case: Graph's `userPrincipalName`, Log Analytics'
`UserPrincipalName` and the portal's `Username` are one. Nested columns come as JSON, or as text that is JSON. Only the
columns named here are looked at, and nothing of a row is trusted when printed.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from mfa_audit.captures import entries
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
WANTED: Final = frozenset(name for names in _COLUMNS.values() for name in names) | {"properties"}
# What no other log or list has together: an application, a date and what was asked of the sign-in.
_TELLING: Final = frozenset(
    {
        *("uniquetokenidentifier", "authenticationrequirement", "conditionalaccessstatus", "clientappused"),
        *("authenticationprotocol", "appliedconditionalaccesspolicies", "conditionalaccesspolicies"),
        *("signineventtypes", "incomingtokentype", "conditionalaccess"),
    }
)
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


@lru_cache(maxsize=1024)
def column(name: str) -> str:
    """A column's name as it is compared: letters and digits, in lower case."""
    return _NOT_ALPHANUMERIC.sub("", name[:100]).lower()


def has_columns(names: set[str]) -> bool:
    """Whether these columns are those of a sign-in log: no other list has them together."""
    return (
        not names.isdisjoint(_TELLING)
        and not names.isdisjoint(_COLUMNS["app_id"])
        and not names.isdisjoint(_COLUMNS["at"])
    )


def read_row(row: Mapping[str, Any], remarks: Remarks, place: str) -> SignIn | None:
    """The sign-in that these columns (by `column`) tell; None where it cannot be used, with a remark for `place`."""
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

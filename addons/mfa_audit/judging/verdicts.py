"""The rule for one token: the decision list, whose order is its meaning.

Partner Center wants multi-factor authentication behind every app+user token, and nothing of app-only ones.
So the list asks, in this order: can the claims be read, is a person behind the token, is it for Partner
Center, does `amr` hold `mfa`. Each row of `_RULES` is one such question; the first that answers decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from mfa_audit.exchanges.exchange import API_HOSTS
from mfa_audit.judging.claims import USER_NAMES
from mfa_audit.judging.reasons import REASONS, Verdict

# Stored tokens that were judged by an older version are judged anew from their claims.
RULES_VERSION: Final = 1


class Answer(StrEnum):
    """What a whole report says."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"


class Form(StrEnum):
    """How a token came."""

    V1 = "v1.0"
    V2 = "v2.0"
    JWT = "jwt"  # readable claims that name no Entra version
    ENCRYPTED = "encrypted"
    OPAQUE = "opaque"
    POP = "proof-of-possession"  # whose inner token could not be read
    REDACTED = "redacted"
    NOT_FILLED_IN = "not-filled-in"  # the name of a variable, or what a language prints for no value
    TOO_LONG = "too-long"
    MALFORMED = "malformed"
    OTHER_SCHEME = "other-scheme"  # Basic and the like
    NONE = "none"  # the call carried no Authorization at all


class Caller(StrEnum):
    """Who is behind a token."""

    APP = "app"
    USER = "user"
    UNKNOWN = "unknown"


# The application id of Partner Center's API, as `aud` of v2.0 tokens and as resource in sign-in logs.
PARTNER_CENTER_ID: Final = "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd"
# What `aud` may be for Partner Center: the hosts' own URLs, the application id and the aliases in its
# manifest. Read in Microsoft's documentation. Compared in lower case and without a closing slash.
AUDIENCES: Final = frozenset(
    {f"https://{host}" for host in API_HOSTS}
    | {
        PARTNER_CENTER_ID,
        "https://partnerapi.store.microsoft.com",
        "https://partnercenterapi.store.microsoft.com",
        "https://reseller.microsoft.com",
        "https://accountmgmtservice.dce.mp.microsoft.com",
    }
)
# Azure AD Graph, by name and by application id.
RETIRED_AUDIENCES: Final = frozenset({"https://graph.windows.net", "00000002-0000-0000-c000-000000000000"})

_WORDS: Final = re.compile(r"[\s,]+")

Claims = Mapping[str, Any]


def text(claims: Claims, *names: str) -> str | None:
    """The first of these claims that is a string with something in it, stripped; None where there is none."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and (stripped := value.strip()):
            return stripped
    return None


def words(value: object) -> list[str]:
    """The words of a claim that may be a list or one string (`amr`, `scp`, `roles`, `aud`), in lower case."""
    values = value if isinstance(value, list | tuple) else [value]
    return [word for item in values if isinstance(item, str) for word in _WORDS.split(item.lower()) if word]


def client_proof(claims: Claims) -> str | None:
    """How the client itself proved who it is: "0" not at all (public), "1" secret, "2" certificate; None
    unsaid."""
    for name in ("appidacr", "azpacr"):
        value = claims.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value).strip()
    return None


def caller(claims: Claims) -> Caller:
    """Whether an app alone or a user is behind the token, by the claims that Entra documents for it, in
    order.

    `amr` cannot tell: `pwd` is documented for an app's secret too, and `rsa` for its certificate.
    """
    kind = (text(claims, "idtyp") or "").lower()
    own = text(claims, "oid")
    if kind in ("app", "user"):
        return Caller(kind)
    if kind == "device":
        return Caller.UNKNOWN  # neither of the two that the rule knows
    # No app-only token names a user.
    if words(claims.get("scp")) or text(claims, *USER_NAMES) is not None:
        return Caller.USER
    if words(claims.get("roles")) or (
        own is not None and own == text(claims, "sub") and client_proof(claims) in ("1", "2")
    ):
        return Caller.APP
    return Caller.UNKNOWN


def _audiences(claims: Claims) -> set[str]:
    return {word.rstrip("/") for word in words(claims.get("aud"))}


def is_for_another(claims: Claims) -> bool:
    """Whether the token names audiences, and none of them is Partner Center."""
    audiences = _audiences(claims)
    return bool(audiences) and not audiences & AUDIENCES


class _Case(NamedTuple):
    """What the rules below look at, read from the claims once."""

    form: Form
    caller: Caller
    audiences: set[str]
    amr: set[str]
    proof: str | None


# The rule as a list: (does it apply, reason). The first row that applies decides.
_RULES: Final[tuple[tuple[Callable[[_Case], bool], str], ...]] = (
    # 1. App-only or app+user. An app's own token is exempt, whatever else it says.
    (lambda case: case.caller is Caller.APP, "app-only"),
    # 2. Audience. A token for something else says nothing of calls to Partner Center. Entra always names an
    #    audience; a token that names none is judged on.
    (
        lambda case: not case.audiences & AUDIENCES and bool(case.audiences & RETIRED_AUDIENCES),
        "retired-audience",
    ),
    (lambda case: bool(case.audiences) and not case.audiences & AUDIENCES, "wrong-audience"),
    # 3. How the user signed in. Whole values only: `wiaormfa` means "either", and is not `mfa`.
    (lambda case: "mfa" in case.amr, "mfa"),
    (lambda case: "ngcmfa" in case.amr, "ngcmfa"),
    #    Nothing shows a user, the client proved itself, and `amr` names only what it names for an app's own
    #    proof (secret: pwd, certificate: rsa): this may be an app-only token.
    (
        lambda case: (
            case.caller is Caller.UNKNOWN
            and case.proof in ("1", "2")
            and bool(case.amr)
            and case.amr <= {"pwd", "rsa"}
        ),
        "caller-unknown",
    ),
    (lambda case: bool(case.amr), "amr-without-mfa"),
    #    No `amr`: v1.0 tokens of users always have it, v2.0 tokens only where the resource asks for it.
    (lambda case: case.form is Form.V2, "amr-missing-v2"),
    (lambda case: case.form is Form.JWT, "amr-missing-unknown-version"),
    (lambda case: case.caller is Caller.UNKNOWN, "caller-unknown"),
    (lambda case: True, "amr-missing"),
)

_UNREAD: Final[Mapping[Form, str]] = {
    Form.ENCRYPTED: "encrypted",
    Form.OPAQUE: "opaque",
    Form.POP: "proof-of-possession",
    Form.REDACTED: "redacted",
    Form.NOT_FILLED_IN: "not-filled-in",
    Form.TOO_LONG: "too-long",
    Form.MALFORMED: "malformed",
    Form.OTHER_SCHEME: "other-scheme",
    Form.NONE: "no-token",
}


def judge(form: Form, claims: Claims) -> tuple[Verdict, str]:
    """The verdict on a token and the id of its reason, from its form and claims alone. Never raises."""
    unread = _UNREAD.get(form)
    if unread is not None:
        return REASONS[unread].verdict, unread
    case = _Case(
        form, caller(claims), _audiences(claims), set(words(claims.get("amr"))), client_proof(claims)
    )
    reason = next(reason for applies, reason in _RULES if applies(case))
    return REASONS[reason].verdict, reason

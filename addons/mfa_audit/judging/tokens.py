"""From the bytes of an Authorization header to a Token without them. The raw token ends in this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mfa_audit.judging.verdicts import Verdict


class Form(StrEnum):
    """How a token came."""

    V1 = "v1.0"
    V2 = "v2.0"
    JWT = "jwt"  # readable claims that name no Entra version
    ENCRYPTED = "encrypted"
    OPAQUE = "opaque"
    POP = "proof-of-possession"  # whose inner token could not be read
    REDACTED = "redacted"
    MALFORMED = "malformed"
    OTHER_SCHEME = "other-scheme"  # Basic and the like
    NONE = "none"  # the call carried no Authorization at all


@dataclass(frozen=True, slots=True)
class User:
    """The person or service account behind a token; `name` is what to show."""

    tenant: str | None
    object_id: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token.

    `fingerprint` is the SHA-256 of its bytes in hex, or None where the value is too short not to be guessed.
    `claims` holds allow-listed claims only, each a JSON value that SQLite can keep. `issued` and `expires` are
    seconds since 1970 (UTC). `verdict` and `reason` come from the claims and the form alone.
    """

    fingerprint: str | None
    form: Form
    verdict: Verdict
    reason: str
    claims: Mapping[str, Any]
    app_id: str | None = None
    user: User | None = None
    issued: float | None = None
    expires: float | None = None

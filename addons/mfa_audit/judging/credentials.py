"""Credentials that are no access tokens: what a pasted text is instead, and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mfa_audit.exchanges.exchange import GUID, Secret
from mfa_audit.judging.tokens import GUESSABLE, Form, Token, read_payload, unwrap
from mfa_audit.judging.verdicts import AUDIENCES, text, words

REFRESH: Final = "a refresh token: treat it as a password, and paste the access token instead"
IDENTITY: Final = (
    "an id token, which says who signed in and opens no API: treat it as a password, and paste the access token "
    "instead"
)
APP_KEY: Final = "a client secret, not a token: treat it as a password, and paste the access token instead"
NOTHING: Final = (
    'not a token. An access token of Entra begins with "eyJ" and has two dots in it: copy the whole of it, for '
    'instance from the header "Authorization: Bearer eyJ..."'
)

# Entra's refresh tokens and codes begin with a version and a key's id; those of personal accounts with "M.".
_REFRESH: Final = re.compile(rb"(?:[01]\.A[\w-]{2,}|M\.[A-Z]\d+_[A-Z0-9]+\.)[\w.!*$-]*")
# As secret scanners know them, for instance GitHub's: three characters, a digit, "Q~".
_SECRET: Final = re.compile(rb"[\w~.-]{3}\dQ~[\w~.-]{31,34}")


def name_other(value: Secret, token: Token) -> str | None:
    """What a pasted value is instead of an access token, to complete "This is …"; None where it may be one.

    `token` is what was read in it.
    """
    _, raw = unwrap(value.reveal())
    if _REFRESH.fullmatch(raw):
        return REFRESH
    if _SECRET.fullmatch(raw):
        return APP_KEY
    if token.form in (Form.V1, Form.V2, Form.JWT):
        return IDENTITY if _is_id_token(read_payload(raw) or {}) else None
    if token.reason not in ("opaque", "malformed", "other-scheme") or raw.startswith(b"eyJ"):
        return None
    if token.form is Form.OTHER_SCHEME:
        return None if raw.split(None, 1)[0].lower() in _SCHEMES else NOTHING
    return None if token.form is Form.OPAQUE and len(raw) >= GUESSABLE else NOTHING


_SCHEMES: Final = frozenset(
    {
        b"basic",
        b"digest",
        b"negotiate",
        b"ntlm",
        b"hoba",
        b"mutual",
        b"vapid",
        b"sharedkey",
        b"aws4-hmac-sha256",
    }
)


def _is_id_token(payload: Mapping[str, Any]) -> bool:
    """Whether claims are those of an id token: its audience is the client, and no permission is in it.

    Access tokens name the client in `appid` or `azp`, and permissions in `scp` or `roles`.
    (https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference)
    """
    audience = text(payload, "aud")
    client = text(payload, "appid", "azp")
    if audience is None or audience.lower() in AUDIENCES or words(payload.get("scp")):
        return False
    if client is not None:
        return client.lower() == audience.lower() and "nonce" in payload
    return not words(payload.get("roles")) and ("nonce" in payload or bool(GUID.fullmatch(audience.lower())))

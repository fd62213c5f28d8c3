"""From the bytes of an Authorization header to a Token without them. The raw token ends in this module.

Reading is not trusting: no signature is checked anywhere, and whatever can be read is read. Nothing raises,
for any bytes. What is kept is an allow-list of claims, bounded so that JSON and SQLite can hold every one
of them.

Several Authorization headers: equal tokens (however the scheme is spelled) are one; different ones cannot
be told apart by us the way the server does, so the call is `several-tokens`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mfa_audit.exchanges.exchange import LONGEST_AUTHORIZATION, Secret
from mfa_audit.judging.claims import CLAIMS, USER_NAMES
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.judging.verdicts import Caller, Form, caller, judge, text

__all__ = ["FAILED", "NO_TOKEN", "SEVERAL", "TOO_LONG", "Form", "Token", "User", "read", "user_of"]

# A value shorter than this may be a password, and its hash could be guessed: it gets no fingerprint. The
# shortest JWT with a signature is longer.
GUESSABLE: Final = 64
# Authorization values in one call, in fields of their own or joined by commas, that are told apart.
MOST_TOKENS: Final = 100
LONGEST_VALUE: Final = 256
MOST_VALUES: Final = 64
# Characters of all lists in a token's claims together; Entra's are `amr` and `roles`, of a few hundred.
ROOM: Final = 4096
# 9999-12-31: what datetime can still show.
LAST_SECOND: Final = 253_402_300_799
# What must not survive of a token anywhere, not even inside a claim. Each piece of this length holds a whole one
# of the token's blocks of half that length.
_PIECE: Final = 16
_BLOCK: Final = _PIECE // 2

# Schemes in which the client proves that it holds a key; with PoP, the access token is inside another.
_PROVING: Final = ("pop", "mtls_pop", "dpop")
_SCHEME: Final = re.compile(rb"(bearer|pop|mtls_pop|dpop)(?:[\s:=,]+|$)", re.IGNORECASE)
_JOINED: Final = re.compile(rb",\s*(?=(?:bearer|pop|mtls_pop)\s)", re.IGNORECASE)
_OTHER: Final = re.compile(rb"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*\s+\S")
_OTHER_ALONE: Final = re.compile(
    rb"(?:basic|digest|negotiate|ntlm|hoba|mutual|vapid|scram-sha-\d+)$", re.IGNORECASE
)
_BASE64: Final = re.compile(rb"[A-Za-z0-9_+/-]+=*")
_SPACE: Final = b" \t\r\n\x00\x0b\x0c"
_QUOTES: Final = b"\"'`"
# What tools and people write where a token was: one of these words, in any brackets and with a few others
# beside it.
_REDACTING: Final = frozenset(
    """redacted redaction removed hidden masked sanitized sanitised scrubbed filtered censored stripped
    omitted obfuscated deleted snip snipped elided truncated withheld""".split()  # noqa: SIM905
)
# Placeholders of documentation, such as "<your access token>".
_PLACEHOLDER: Final = frozenset("your my the an a some access bearer auth jwt token here insert goes".split())  # noqa: SIM905
# What stands where a script meant to put a token: a variable that its shell, template or pipeline did not replace,
# what a language prints for "nothing", or the name of a type that has no text of its own.
_NOT_FILLED_IN: Final = re.compile(
    rb"""
      \$ [({]{0,2} \s* [a-z_][\w.:-]* (?:\[["']?[\w-]+["']?\])? \s* [)}]{0,2}   # $TOKEN ${token} $(token) $env:TOKEN
    | %[a-z_]\w*% | %s | %\(\w+\)s                                        # cmd.exe, Python
    | \#?\{{1,3} \s* [a-z_$][\w.:-]* \s* \}{1,3} \#? | \{\}               # Postman, f-strings, Octopus
    | @\{? \w+\( ['"]? [\w.-]+ ['"]? \) \}?                                # Logic Apps
    | null | undefined | none | nil | nan | true | false | \(null\) | \[object\ \w+\]
    | System\.[\w.+`]+(?:\[[^\]]*\])? | Microsoft\.[\w.+]+                 # PowerShell
    | <(?:function|bound\ method|coroutine|future|task|generator|class)\b[^>]*>+   # Python
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORD: Final = re.compile(r"[^\W_]+")
_CUT: Final = re.compile(
    r"\.{3}|\u2026|\*{3}|x{5}|\u2022{3}|[<\[(](?:redacted|removed|masked|hidden|truncated)", re.IGNORECASE
)
_RUN: Final = re.compile(rf"[A-Za-z0-9_+/-]{{{_PIECE},}}")
_FIXED_HEADER: Final = b"eyJhbGciOiJub25lIn0."  # {"alg":"none"}


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
    `claims` holds allow-listed claims only, each a JSON value that SQLite can keep. `issued` and `expires`
    are seconds since 1970 (UTC). `verdict` and `reason` come from the claims and the form alone.
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

    @property
    def key(self) -> str:
        """What tells this token from others in a store; all that have no fingerprint share one per form and
        reason."""
        return self.fingerprint or f"{self.form}:{self.reason}"


def unread(form: Form, reason: str, fingerprint: str | None = None) -> Token:
    """A Token whose claims could not be read, for this reason."""
    return Token(fingerprint, form, REASONS[reason].verdict, reason, {})


NO_TOKEN: Final = unread(Form.NONE, "no-token")
SEVERAL: Final = unread(Form.MALFORMED, "several-tokens")
TOO_LONG: Final = unread(Form.TOO_LONG, "too-long")
FAILED: Final = unread(Form.MALFORMED, "judging-failed")


def read(values: Sequence[Secret]) -> Token:
    """The Token in the Authorization values of one call; raises nothing, whatever the bytes."""
    if not values:
        return NO_TOKEN
    if len(values) > MOST_TOKENS:
        return SEVERAL
    if sum(len(value.reveal()) for value in values) > LONGEST_AUTHORIZATION:
        return TOO_LONG
    parts = [unwrap(part) for value in values for part in _JOINED.split(value.reveal(), MOST_TOKENS)]
    if len(parts) > 1:
        # `Bearer` beside `Bearer <token>` is a client that set its header twice, and the same bare or with
        # a scheme is one token.
        parts = [part for part in parts if part[1]] or [(None, b"")]
        if len({token for _, token in parts}) > 1:
            return SEVERAL
    return _read(*next((part for part in parts if part[0]), parts[0]))


def unwrap(value: bytes) -> tuple[str | None, bytes]:
    """The scheme that a value names (None: none that we know) and the token in it, without quotes and
    spaces."""
    scheme = None
    rest = value.strip(_SPACE).strip(_QUOTES).strip(_SPACE)
    for _ in range(3):  # `Bearer Bearer eyJ…` is a usual slip; a thousand of them is an attempt on our time
        match = _SCHEME.match(rest)
        if match is None:
            break
        scheme = scheme or match[1].decode("ascii").lower()
        rest = rest[match.end() :].strip(_SPACE).strip(_QUOTES).strip(_SPACE)
    return scheme, rest


def _read(scheme: str | None, token: bytes) -> Token:
    if not token:
        return unread(Form.MALFORMED, "empty-token")
    # `Token eyJ…` and other words that we do not know: read the last word when it can be read.
    candidate = token.rsplit(None, 1)[-1] if scheme is None else token
    payload = read_payload(candidate)
    if payload is not None:
        inner = payload.get("at")
        if scheme in _PROVING and isinstance(inner, str) and inner.isascii():
            # A PoP token is made anew for each call; the access token inside it is the one to know.
            return _inner(inner.encode("ascii"))
        if scheme == "pop" and "aud" not in payload:
            return unread(Form.POP, "proof-of-possession")
        return _token(candidate, payload)
    return _unreadable(scheme, token)


def _inner(token: bytes) -> Token:
    payload = read_payload(token)
    return unread(Form.POP, "proof-of-possession") if payload is None else _token(token, payload)


def _unreadable(scheme: str | None, token: bytes) -> Token:
    """Why a token has no claims for us."""
    if (instead := _find_stand_in(token)) is not None:
        return unread(instead, instead.value)
    if scheme is None and not token.startswith(b"eyJ") and (_OTHER.match(token) or _OTHER_ALONE.match(token)):
        return unread(Form.OTHER_SCHEME, "other-scheme")
    if scheme in _PROVING:
        return unread(Form.POP, "proof-of-possession")
    parts = token.split(b".")
    if len(parts) == 5 and all(_BASE64.fullmatch(part) for part in (parts[0], *parts[2:])):
        return unread(Form.ENCRYPTED, "encrypted", _fingerprint(token))
    # Opaque tokens hold no dots; one that starts like a JWT is a JWT cut short.
    if (
        len(parts) == 1
        and token.isascii()
        and not token.startswith(b"eyJ")
        and not any(c <= 32 or c == 127 for c in token)
    ):
        return unread(Form.OPAQUE, "opaque", _fingerprint(token))
    return unread(Form.MALFORMED, "malformed", _fingerprint(token))


def _find_stand_in(token: bytes) -> Form | None:
    """What stands where a token should: a variable's name, or the mark of somebody who took the token out."""
    if len(token) <= LONGEST_VALUE and _NOT_FILLED_IN.fullmatch(token):
        return Form.NOT_FILLED_IN
    return Form.REDACTED if _is_redacted(token) else None


def _is_redacted(token: bytes) -> bool:
    """Whether somebody took the token out and left a mark, or left a part of a JWT and a mark."""
    shown = token[:LONGEST_VALUE].decode("utf-8", "replace")
    if token.startswith(b"ey") and _CUT.search(token.decode("utf-8", "replace")):
        return True
    found = [word.lower() for word in _WORD.findall(shown)]
    if not found:
        return "\ufffd" not in shown  # signs only, such as *** or ...
    if len(found) <= 6 and not _REDACTING.isdisjoint(found):
        return True
    if (shown[0], shown[-1]) == ("<", ">"):
        return True
    if "token" in found and _PLACEHOLDER.issuperset(found):
        return True
    signs = set("".join(found))
    return len(signs) == 1 and sum(map(len, found)) >= 3  # xxxxx


def _fingerprint(token: bytes) -> str | None:
    if len(token) < GUESSABLE or len(set(token)) < _PIECE:
        return None
    return hashlib.sha256(token).hexdigest()


def read_payload(token: bytes) -> dict[str, Any] | None:
    """The claims of a JWT as they are, or None.

    The real header is left out: PyJWT refuses an unknown `crit`, a `kid` that is no string and more,
    although the claims can be read. Standard base64 and padding are taken too.
    """
    parts = token.split(b".")
    if len(parts) not in (2, 3) or not parts[0] or not _BASE64.fullmatch(parts[1]):
        return None
    body = parts[1].rstrip(b"=").translate(_URL_SAFE)
    import jwt

    try:
        return jwt.decode(_FIXED_HEADER + body + b".", options={"verify_signature": False})
    except (
        Exception
    ):  # of any kind: RecursionError from 100,000 brackets, ValueError from a number of 5,000 digits
        return None


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def _token(token: bytes, payload: Mapping[str, Any]) -> Token:
    claims = _allowed(payload, token)
    form = _version(claims)
    verdict, reason = judge(form, claims)
    return Token(
        fingerprint=_fingerprint(token),
        form=form,
        verdict=verdict,
        reason=reason,
        claims=claims,
        app_id=_app_id(claims),
        user=user_of(claims),
        issued=_time(claims, "iat", "nbf"),
        expires=_time(claims, "exp"),
    )


def _app_id(claims: Mapping[str, Any]) -> str | None:
    app_id = text(claims, "appid", "azp")
    return None if app_id is None else app_id.lower()


def _version(claims: Mapping[str, Any]) -> Form:
    """Which of Entra's two formats this is: by `ver`, else the issuer, else the claim that names the
    client."""
    version = str(claims.get("ver", "")).strip()
    issuer = (text(claims, "iss") or "").lower().rstrip("/")
    if version in ("1", "1.0"):
        return Form.V1
    if version in ("2", "2.0"):
        return Form.V2
    if issuer.endswith("/v2.0"):
        return Form.V2
    if issuer.startswith(("https://sts.windows.net/", "https://sts.chinacloudapi.cn/")):
        return Form.V1
    if text(claims, "appid"):
        return Form.V1
    return Form.V2 if text(claims, "azp") else Form.JWT


def user_of(claims: Mapping[str, Any]) -> User | None:
    """The user behind these claims; None for an app's own token and where nothing names one."""
    if caller(claims) is Caller.APP:
        return None
    tenant, object_id = text(claims, "tid"), text(claims, "oid", "sub")
    name = text(claims, *USER_NAMES, "name")
    if object_id is None and name is None:
        return None
    return User(tenant, object_id, name)


def _time(claims: Mapping[str, Any], *names: str) -> float | None:
    """The first of these claims that is a moment, in seconds since 1970 (UTC); some issuers write it as
    text."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            seconds = float(value)
        except (ValueError, OverflowError):
            continue
        if 0 < seconds <= LAST_SECOND:
            return seconds
    return None


def _allowed(payload: Mapping[str, Any], token: bytes) -> dict[str, Any]:
    # What is signed cannot hold its own signature, so only header and payload can be repeated in a claim.
    said = b".".join(token.split(b".")[:2]).decode("ascii", "replace")
    blocks = frozenset(said[at : at + _BLOCK] for at in range(0, len(said) - _BLOCK + 1, _BLOCK))
    claims = {}
    room = ROOM
    for name in CLAIMS:
        value = payload.get(name)
        if isinstance(value, list):
            kept, room = _keep_list(value, blocks, room)
        else:
            kept = _keep(value, blocks)
        if kept is not None:
            claims[name] = kept
    return claims


def _keep_list(values: list[Any], blocks: frozenset[str], room: int) -> tuple[Any, int]:
    """What of a list is kept, and how much room is left for others."""
    kept = []
    for value in values[:MOST_VALUES]:
        room -= min(len(value), LONGEST_VALUE) if isinstance(value, str) else 1
        if room < 0:
            break
        if (one := _keep(value, blocks)) is not None:
            kept.append(one)
    return kept, room


def _keep(value: object, blocks: frozenset[str]) -> Any:
    """The value if JSON and SQLite can hold it, cut to size; None for what they cannot, and for nested
    values."""
    if isinstance(value, str):
        return _clean(value, blocks)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None


def _clean(value: str, blocks: frozenset[str]) -> str:
    """The text cut to size, storable, and without any piece of the token itself."""
    short = value[:LONGEST_VALUE].replace("\x00", "\ufffd")
    if not short.isascii():
        short = short.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
    for run in _RUN.findall(short):
        if not blocks.isdisjoint(run[at : at + _BLOCK] for at in range(len(run) - _BLOCK + 1)):
            return "(part of the token)"
    # Tokens of one app share most values: one object each, however many tokens are held.
    return _shared(short)


@lru_cache(maxsize=8192)
def _shared(value: str) -> str:
    return value

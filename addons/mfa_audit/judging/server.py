"""The server's own word on a call: whether it took the token, judged it, or refused it because MFA was missing.

What a refusal means is read from tables: `_REFUSALS` for MFA, `_OTHERS` for causes that are known to be something else.
A 401 that neither knows is a refusal of unknown cause, and is told as such: nobody ever published the body of 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from mfa_audit.exchanges.bodies import REFUSING
from mfa_audit.judging.reasons import AUTHENTICATION, REQUIREMENTS, Source


class Cause(StrEnum):
    """Why a call was refused."""

    MFA = "mfa"
    OTHER = "other"
    UNKNOWN = "unknown"


class _Place(StrEnum):
    """Where in an answer a pattern is looked for."""

    CODE = "code"  # a value of the body that is called a code
    TEXT = "text"  # the reason phrase, WWW-Authenticate, or any text of the body
    CHALLENGE = "challenge"  # WWW-Authenticate


class _Refusal(NamedTuple):
    """One form of refusal: with which statuses, where, what stands there, and how we know."""

    statuses: frozenset[int]
    place: _Place
    pattern: re.Pattern[str]
    source: Source
    at: str | None


def _refusal(statuses: set[int], place: _Place, pattern: str, source: Source, at: str | None) -> _Refusal:
    return _Refusal(frozenset(statuses), place, re.compile(pattern, re.IGNORECASE), source, at)


_MODULE: Final = "https://github.com/microsoft/Partner-Center-PowerShell"
_EITHER: Final = {401, 403}
_MFA: Final = r"(?:\bmfa\b|\bmulti[ -]?factor\b)"
# Some words within the same sentence, and no denial among them.
_FEW_WORDS: Final = r"(?:(?!\bnot\b)[^.;\n]){0,60}?"

_REFUSALS: Final[tuple[_Refusal, ...]] = (
    # 2026: error code 900421. Its body was never published, so it counts as a whole number in any code and any text.
    _refusal(_EITHER, _Place.CODE, r"\s*900421(?:\.0)?\s*", Source.DOCUMENTED, AUTHENTICATION),
    _refusal(_EITHER, _Place.TEXT, r"(?<![\w.-])900421(?![\w-]|\.\d)", Source.INFERRED, AUTHENTICATION),
    # 2019: the reason phrase `Unauthorized - MFA required`, unknown to HTTP/2. 2020 (Microsoft's SDK): the body
    # `MFA required. (10001)`. Microsoft's sample: `MFA claim is missing from the token`. Others in like words.
    _refusal(
        _EITHER,
        _Place.TEXT,
        _MFA + _FEW_WORDS + r"\b(?:required|missing|claims?)\b",
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    _refusal(
        _EITHER,
        _Place.TEXT,
        r"\b(?:missing|requires?|without|lacks?)\b" + _FEW_WORDS + _MFA,
        Source.INFERRED,
        None,
    ),
    # Graph's own words for the same rule, seen in public issues.
    _refusal(_EITHER, _Place.TEXT, r"\bUnauthorized_MissingMFA\b", Source.INFERRED, None),
)
# Close to it but something else: wrong audience, rights, conditional access, app-only refused, and a challenge of
# continuous access evaluation.
_OTHERS: Final[tuple[_Refusal, ...]] = (
    _refusal(_EITHER, _Place.CODE, r"\s*(?:900420|900308|900309|900329)\s*", Source.INFERRED, _MODULE),
    _refusal(
        _EITHER, _Place.TEXT, r"(?<![\w.-])(?:900420|900308|900309|900329)(?![\w-])", Source.INFERRED, None
    ),
    _refusal({401}, _Place.CHALLENGE, r"\binsufficient_claims\b", Source.DOCUMENTED, AUTHENTICATION),
)

# Refusals that come after the token was looked at, where Partner Center itself gives them.
_LOOKED_AT: Final = frozenset({403, 404, 409})
# What stands between us and Partner Center says so by these.
_IN_BETWEEN: Final = frozenset({407, 502, 503, 504})
_CODE_NAMES: Final = frozenset({"code", "errorcode", "error_code", "statuscode", "errorid", "error"})
# A real error body is a few hundred bytes. All calls wait while a hook reads one (scripts/bench/one_call.py): 64 KiB of
# words that nearly match took 22 ms.
_LONGEST_BODY: Final = 8 * 1024
_MOST_VALUES: Final = 2_000


def accepted(status: int | None, *, own_id: bool = False) -> bool:
    """Whether the answer shows that Partner Center took the token; `own_id`: it bears a request id of its own.

    A 2xx does; so does a 403, 404 or 409 of Partner Center itself, which come after the token was looked at. A 3xx may
    be a cache's or a sign-in page's, 401 and 407 refuse it, and the rest may come before it is looked at.
    """
    if status is None:
        return False
    return 200 <= status < 300 or (status in _LOOKED_AT and own_id)


def unanswered(status: int | None, *, own_id: bool = False) -> bool:
    """Whether no answer of Partner Center came: none at all, or one of something in between."""
    return status is None or (status in _IN_BETWEEN and not own_id)


def word(mfa_compliant: str | None) -> bool | None:
    """What an `isMfaCompliant` header says; None where there is none or it says neither true nor false.

    Of several values, joined by commas, one "false" decides.
    """
    if mfa_compliant is None:
        return None
    said = {value.strip().strip("\"'").lower() for value in mfa_compliant.split(",")}
    if "false" in said:
        return False
    return True if said == {"true"} else None


def refusal(
    status: int | None,
    reason_phrase: str = "",
    body: bytes | None = None,
    www_authenticate: str | None = None,
) -> Cause | None:
    """Why the server refused the call; None where the status is no refusal of the token."""
    if status not in REFUSING:
        return None
    challenge = (www_authenticate or "")[:4000]
    found = {_Place.TEXT: [reason_phrase[:1000], challenge], _Place.CHALLENGE: [challenge], _Place.CODE: []}
    for place, value in _read_body(body[:_LONGEST_BODY]) if body else ():
        found[place].append(value)
    for cause, rows in ((Cause.MFA, _REFUSALS), (Cause.OTHER, _OTHERS)):
        if any(status in row.statuses and _stands_in(row, found[row.place]) for row in rows):
            return cause
    return Cause.UNKNOWN if status == 401 else Cause.OTHER


def _stands_in(row: _Refusal, texts: list[str]) -> bool:
    if row.place is _Place.CODE:
        return any(row.pattern.fullmatch(text) for text in texts)
    return any(row.pattern.search(text) for text in texts)


def _read_body(body: bytes) -> Iterator[tuple[_Place, str]]:
    """The codes and texts of an error body, wherever they stand in it; without recursion."""
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    content = body.decode(encoding, "replace")
    try:
        waiting: list[Any] = [json.loads(content)]
    except (ValueError, RecursionError):
        # XML, HTML, or JSON cut short.
        yield _Place.TEXT, content
        return
    seen = 0
    while waiting and seen < _MOST_VALUES:
        value = waiting.pop()
        seen += 1
        if isinstance(value, str):
            yield _Place.TEXT, value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for name, item in value.items():
                is_code = name.lower() in _CODE_NAMES and isinstance(item, str | int | float)
                if is_code and not isinstance(item, bool):
                    yield _Place.CODE, str(item)
                waiting.append(item)

"""From whatever a person pastes for "the token" to the Authorization values in it. Pure, and raises
nothing."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

from mfa_audit.exchanges.exchange import Secret

# A header line as browsers, Fiddler and `curl -v` show it, inside a curl command, or in a PowerShell or
# Python table of headers: up to the closing quote or the end of the line.
_HEADER: Final = re.compile(r"\bauthorization[\"']?\s*[:=]\s*[\"']?([^\"'\r\n]+)", re.IGNORECASE)
# With the scheme before it, since PoP wraps another token. Padding may stand in each part.
_JWT: Final = re.compile(
    r"(?:(?<![A-Za-z0-9_])(?:bearer|pop|mtls_pop|dpop)\s+)?(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]+=*(?:\.[A-Za-z0-9_=-]*){1,4}",
    re.IGNORECASE,
)
_PIECE: Final = re.compile(r"[A-Za-z0-9_.=/+-]+")
_SCHEME_ONLY: Final = re.compile(r"(?:authorization\s*:\s*)?(?:bearer|pop|mtls_pop)\s*", re.IGNORECASE)
# `az account get-access-token`, `Get-AzAccessToken | ConvertTo-Json`, and the token endpoint's own answer.
_JSON_NAMES: Final = ("access_token", "accesstoken", "token", "authorization")
_DEEPEST: Final = 4


def values_in(pasted: bytes) -> tuple[Secret, ...]:
    """The Authorization values in a pasted token, header line, curl command or JSON; none where nothing is
    there.

    Text may be UTF-8 or, with its byte order mark, UTF-16 (Windows PowerShell's `>`). A token may be broken over
    several lines, and several may follow one another.
    """
    text = _text(pasted).strip("\ufeff \t\r\n\x00").strip()
    if not text:
        return ()
    found = _from_json(text) or [match.strip() for match in _HEADER.findall(text)]
    if len(found) == 1 and not _JWT.search(found[0]):
        found = []  # a header line broken after its first words: take the text as a whole
    if not found:
        found = _from_lines(text)
    each = (
        one for value in found for one in (_JWT.findall(value) if value.count("eyJ") > 2 else ()) or [value]
    )
    values = dict.fromkeys(map(_trim, each))
    return tuple(Secret(value.encode("utf-8", "surrogateescape")) for value in values)


def _trim(value: str) -> str:
    """Without the full stop or comma of the sentence that a token stood in; a JWT has three parts or five."""
    value = value.rstrip(",;")
    while value.endswith(".") and value.count(".") in (3, 5):
        value = value[:-1]
    return value


def _text(pasted: bytes) -> str:
    if pasted.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return pasted.decode("utf-16", "replace")
    return pasted.decode("utf-8", "surrogateescape")


def _from_json(text: str) -> list[str]:
    if text[0] not in '{["':
        return []
    try:
        return _tokens_of(json.loads(text), 0)
    except (ValueError, RecursionError):
        return []


def _tokens_of(value: Any, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth == _DEEPEST:
        return []
    if isinstance(value, list):
        return [token for item in value for token in _tokens_of(item, depth + 1) if isinstance(item, dict)]
    if isinstance(value, dict):
        for name, item in value.items():
            if name.lower() in _JSON_NAMES and isinstance(item, str) and item.strip():
                return [item.strip()]
        return [
            token
            for item in value.values()
            if isinstance(item, dict)
            for token in _tokens_of(item, depth + 1)
        ]
    return []


def _from_lines(text: str) -> list[str]:
    """The JWTs in a text, each put together where it was wrapped into several lines; else the text as one value."""
    values: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if values and _PIECE.fullmatch(line) and not (line.startswith("eyJ") and _is_whole(values[-1])):
            values[-1] += (" " if _SCHEME_ONLY.fullmatch(values[-1]) else "") + line
        else:
            values.append(line)
    jwts = [match.group() for value in values for match in _JWT.finditer(value)]
    return jwts or [re.sub(r"^authorization\s*[:=]\s*", "", " ".join(values), flags=re.IGNORECASE)]


def _is_whole(value: str) -> bool:
    """Whether a value ends in a JWT with its signature, so that what follows is another one."""
    match = _JWT.search(value)
    return (
        match is not None
        and match.end() == len(value)
        and len(value.rpartition(".")[2]) > 1 < value.count(".")
    )

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
_JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_=-]*){1,4}")
_SCHEME_ONLY: Final = re.compile(r"(?:authorization\s*:\s*)?(?:bearer|pop|mtls_pop)\s*", re.IGNORECASE)
# `az account get-access-token`, `Get-AzAccessToken | ConvertTo-Json`, and the token endpoint's own answer.
_JSON_NAMES: Final = ("access_token", "accesstoken", "token", "authorization")
_DEEPEST: Final = 4


def values_in(pasted: bytes) -> tuple[Secret, ...]:
    """The Authorization values in a pasted token, header line, curl command or JSON; none where nothing is
    there.

    Text may be UTF-8 or, with its byte order mark, UTF-16 (Windows PowerShell's `>`), and a token may be
    broken over several lines.
    """
    text = _text(pasted).strip("\ufeff \t\r\n\x00").strip()
    if not text:
        return ()
    found = _from_json(text) or [match.strip() for match in _HEADER.findall(text)]
    if len(found) == 1 and not _JWT.search(found[0]):
        found = []  # a header line broken after its first words: take the text as a whole
    if not found:
        found = [_joined(text)]
    return tuple(Secret(value.encode("utf-8", "surrogateescape")) for value in dict.fromkeys(found))


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


def _joined(text: str) -> str:
    """A token that was wrapped into several lines as one; the one JWT in a longer text; else the text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = _SCHEME_ONLY.fullmatch(lines[0])
    value = lines[0] + (" " if first else "") + "".join(lines[1:])
    value = re.sub(r"^authorization\s*[:=]\s*", "", value, flags=re.IGNORECASE)
    jwts: set[str] = set(_JWT.findall(value))
    return jwts.pop() if " " in value and len(jwts) == 1 else value

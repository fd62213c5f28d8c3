"""Files that are no captures: what such a file is instead, and what to do, as far as its beginning tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from mfa_audit.captures.json_texts import find_encoding

_LISTS: Final = "docs/captures.md shows how to fetch Microsoft's lists"
NOT_KNOWN: Final = (
    "none of the captures that can be read: mitmproxy flows, HAR, Fiddler SAZ, one of Microsoft's lists as "
    "JSON, or a sign-in log of Entra"
)


# Bytes of the beginning that are looked at.
_SHOWN: Final = 4096


class _Beginning(NamedTuple):
    """The first bytes of a file, and the same as text without the spaces before it.

    Of JSON the keys in lower case: of the outermost object, and of what is in it.
    """

    data: bytes
    text: str
    outer: Collection[str]
    inner: Collection[str]


def _is_table(it: _Beginning) -> bool:
    """Whether a table of text names one of the columns of Microsoft's lists, or three columns of anything."""
    first = it.text.partition("\n")[0].lower()
    if re.search(
        r'(?:^|[,;\t])"?(?:requestid|applicationid|mfacompliant|upn|logindate)"?\s*(?:[,;\t]|$)', first
    ):
        return True
    return any(
        re.fullmatch(rf'\s*(?:"?[\w .-]{{1,60}}"?{mark}){{2,}}"?[\w .-]{{1,60}}"?\s*', first)
        for mark in ",;\t"
    )


def _is_error(it: _Beginning) -> bool:
    keys = set(it.outer)
    return (
        "error" in keys
        or ("code" in keys and bool(keys & {"description", "message"}))
        or "error_description" in keys
    )


# The first row whose test is true says what a file is, and what to do. Each text completes "FILE is …".
_ROWS: Final[tuple[tuple[Callable[[_Beginning], object], str], ...]] = (
    (
        lambda it: it.data.startswith(b"SQLite format 3\0"),
        "a database, not a capture: `mfa-audit report --db FILE` reports on an audit database",
    ),
    (
        lambda it: it.data.startswith((b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\n\r\r\n")),
        "a capture of network packets, which are encrypted: record with `mfa-audit proxy`, or save a HAR",
    ),
    (
        lambda it: it.text.startswith("eyJ"),
        "a token, not a capture: `mfa-audit check < FILE` says Yes or No for it",
    ),
    (
        lambda it: re.match(r"(?:HTTP/[\d.]+ \d{3}|[\w-]+: [^\n]*\n[\w-]+: [^\n]*\n\s*\n?\s*[\[{])", it.text),
        "an answer with its header fields before the JSON, as `curl -i` prints it: fetch it again without -i "
        "(--include)",
    ),
    (
        lambda it: it.text.startswith("@{") or re.match(r"\w+ *: .*\r?\n\w+ *: ", it.text),
        "what PowerShell shows of objects, not JSON: save with `Invoke-WebRequest … -OutFile list.json`, or pipe the "
        "objects through `ConvertTo-Json -Depth 5`",
    ),
    (
        lambda it: re.match(r"[^\n]*\r?\n-{3,}[- ]*\r?\n", it.text),
        "a table that PowerShell shows of objects, not JSON: save with `Invoke-WebRequest … -OutFile list.json`, or "
        "pipe the objects through `ConvertTo-Json -Depth 5`",
    ),
    (
        lambda it: it.text.startswith("<Objs"),
        "what `Export-Clixml` writes, not JSON: pipe the objects through `ConvertTo-Json -Depth 5`",
    ),
    (
        lambda it: re.match(r"<(?:!doctype html|html)", it.text, re.IGNORECASE),
        f"a web page, perhaps a sign-in page that came instead of the answer: {_LISTS}",
    ),
    (
        lambda it: re.match(r"<[?!\w]", it.text),
        'XML, not JSON: fetch it again with the header "Accept: application/json"',
    ),
    (
        lambda it: {"schema_version", "answer", "tools"} <= set(it.outer),
        "a report of mfa-audit, not a capture: import what it was made from",
    ),
    (
        _is_error,
        "an error that came instead of the answer, not a list: fetch it again with a token of a user, with MFA, of "
        "the partner tenant",
    ),
    (
        lambda it: "@odata.context" in it.outer,
        f"an answer of Microsoft Graph or another OData service, not one of Partner Center's lists: {_LISTS}",
    ),
    (
        lambda it: it.outer and {"value", "items", "count"}.issuperset({*it.outer, *it.inner}),
        f"an empty list that does not say of what: {_LISTS}",
    ),
    (
        lambda it: it.text[:1] not in "[{" and _is_table(it),
        f"a table of text (CSV), and Microsoft's lists are read as JSON: {_LISTS}",
    ),
)


def describe(start: bytes, outer: Collection[str] = (), inner: Collection[str] = ()) -> str:
    """What completes the sentence "FILE is …": what it is instead of a capture, and what to do.

    `start` are the file's first bytes. Of JSON `outer` are the keys, in lower case, of the outermost object, and
    `inner` those of what is in it.
    """
    text = start[:_SHOWN].decode(find_encoding(start), "replace").lstrip("\ufeff \t\r\n")
    it = _Beginning(start, text, outer, inner)
    return next((what for is_this, what in _ROWS if is_this(it)), NOT_KNOWN)


def describe_zip(names: Collection[str]) -> str:
    """The same of a zip with these members."""
    if any(name.startswith(("xl/", "word/")) for name in names):
        return f"an Office document: {_LISTS}"
    return "a zip with neither Fiddler's sessions nor a HAR in it"

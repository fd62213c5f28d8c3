"""Hostile text made harmless, and numbers and times written for people. Pure: knows nothing of reports.

User-Agents, program names, claims: all of it comes from the network or from a capture file, and any of it may
be an attempt on the reader's terminal, browser or spreadsheet. `line` takes everything out that could act;
what a format adds on top is in `csv_cell` and `markdown_code`. (HTML and XML escape in their own writers.)
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Final

ELLIPSIS: Final = "…"

# Categories of Unicode that act or hide instead of showing: controls (ANSI sequences, newlines), formats
# (bidi overrides and isolates, zero-width characters, tags), lone surrogates, private use, unassigned, and
# the two separators that some programs take for a newline.
_ACTING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks by category that show nothing all the same: fillers, joiners, variation selectors.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, range(0x180B, 0x1810)))
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
# More marks on one letter than any language needs reach into the lines above and below.
_MOST_MARKS: Final = 2
_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def line(text: str, limit: int = 200) -> str:
    """`text` as one harmless line of at most `limit` characters, cut with "…".

    Nothing in the result moves a cursor, colours, reorders, hides or ends the line, and all of it encodes
    as UTF-8. What would act is spelled instead (`\\x1b`, `\\u202e`, `\\n`), so that the reader sees the
    attempt; every kind of space becomes a plain one. A backslash stays: Windows paths are full of them.
    """
    head = text[: limit + 1]
    if not (head.isascii() and head.isprintable()):
        head = "".join(_spelled(head))
    return head if len(head) <= limit else head[: max(limit - 1, 0)] + ELLIPSIS


def _spelled(text: str) -> list[str]:
    pieces = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in _ACTING or character in _INVISIBLE or marks > _MOST_MARKS:
            pieces.append(_NAMED.get(character) or _escape(character))
        else:
            pieces.append(" " if category == "Zs" else character)
    return pieces


def _escape(character: str) -> str:
    point = ord(character)
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


# Excel and LibreOffice take a cell for a formula by its first character; Japanese Excel also by the
# full-width forms. Where the list separator is a semicolon, Excel splits our cells there, so that any part
# may come first.
_FORMULA: Final = re.compile(r"(^|[;,\"])(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
# Excel keeps 32,767 characters in a cell; nobody reads so many.
_CELL_LIMIT: Final = 2000


def csv_cell(text: str) -> str:
    """`text` for a spreadsheet: one line (`line`), and no part of it that a spreadsheet would compute.

    An apostrophe stands before what would start a formula, in front or after a separator, as OWASP's "CSV
    injection" advises.
    """
    return _FORMULA.sub(r"\1\2'", line(text, _CELL_LIMIT))


def markdown_code(text: str, limit: int = 200) -> str:
    """`text` as a Markdown code span, where no flavour finds links, HTML, mentions or issue numbers.

    The backtick, which would end the span, and the bar, which would end a table's cell, are spelled.
    """
    shown = line(text, limit).replace("`", r"\x60").replace("|", r"\x7c").strip()
    return f"`{shown}`" if shown else "(empty)"


# A sentence in which no Markdown flavour finds anything but words: no list, no link, no emphasis.
_PLAIN: Final = re.compile(r"(?!\d+[.)])[^\W_](?:[^\W_]|[ .,;:()'\"%?!+-]|/(?!/))*")


def markdown_text(text: str, limit: int = 400) -> str:
    """`text` as it is where it is plain words, else as a code span."""
    shown = line(text, limit)
    plain = _PLAIN.fullmatch(shown) and "www." not in shown.lower()
    return shown if plain else markdown_code(shown, limit)


def count(number: int, thing: str, things: str | None = None) -> str:
    """ "1 call", "4,210 calls"; `things` is the plural where it is not `thing` with an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def duration(seconds: float) -> str:
    """A length of time in its largest unit, rounded down: "45 s", "12 min", "3 h", "2 days"."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"


def share(part_seconds: float, whole_seconds: float) -> str:
    """How much of a length of time: "61 of 168 hours", "12 of 40 minutes"; never more than the whole."""
    unit, thing = 1, "second"
    if whole_seconds >= 2 * 3600:
        unit, thing = 3600, "hour"
    elif whole_seconds >= 2 * 60:
        unit, thing = 60, "minute"
    whole = round(whole_seconds / unit)
    part = min(round(part_seconds / unit), whole)
    return f"{part:,} of {count(whole, thing)}"


# English whatever the process's locale says, as is everything else on the screen.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def utc(when: datetime) -> str:
    """An aware time for data, in whole seconds: "2026-11-07T02:00:00Z"."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(when: datetime, now: datetime | None = None) -> str:
    """An aware time for people, in this machine's zone, without its name: "7 Nov 03:00".

    The year is left out when it is that of `now` (default: the time it is).
    """
    local = when.astimezone()
    return f"{day(when, now)} {local.hour:02}:{local.minute:02}"


def day(when: datetime, now: datetime | None = None) -> str:
    """The local date of an aware time: "7 Nov", or "7 Nov 2025" when that is not the year of `now`."""
    return date_name(when.astimezone().date(), now)


def date_name(when: date, now: datetime | None = None) -> str:
    """A date that is local already, as `day` has it."""
    this_year = (now or datetime.now(UTC)).astimezone().year
    text = f"{when.day} {_MONTHS[when.month - 1]}"
    return text if when.year == this_year else f"{text} {when.year}"


def zone(when: datetime) -> str:
    """The name of this machine's zone at that time, such as "CET"; "UTC+1" where the name is no short one.

    Windows calls zones "W. Europe Standard Time", in the language of the system.
    """
    local = when.astimezone()
    name = local.tzname() or ""
    if re.fullmatch(r"[A-Z]{2,5}", name):
        return name
    offset = local.utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset else 0
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02}" if rest else "")


def days(start: datetime, end: datetime, now: datetime | None = None) -> str:
    """A span of days with its zone: "7 Nov, CET", "1-7 Nov, CET", "28 Oct-7 Nov, CET"."""
    first, last = day(start, now), day(end, now)
    if first == last:
        text = last
    elif first.split()[1:] == last.split()[1:]:
        text = f"{first.split()[0]}-{last}"
    else:
        text = f"{first}-{last}"
    zones = list(dict.fromkeys((zone(start), zone(end))))
    return f"{text}, {'/'.join(zones)}"

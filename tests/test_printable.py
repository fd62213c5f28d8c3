"""Hostile text made harmless; numbers and times for people."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit import printable

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("plain text, déjà vu, 日本", "plain text, déjà vu, 日本"),
        (r"\x1b]0;title\x07", "\x1b]0;title\x07"),
        (r"\x9b31m", "\x9b31m"),
        (r"a\nb\r\tc", "a\nb\r\tc"),
        (r"invoice\u202efdp.exe", "invoice\u202efdp.exe"),
        (r"a\u2066b\u2069\u200f", "a\u2066b\u2069\u200f"),
        (r"pay\u200bpal\ufeff", "pay\u200bpal\ufeff"),
        (r"\u3164\u2800\ufe0f", "\u3164\u2800\ufe0f"),
        (r"\ud800", "\ud800"),
        (r"\U000e0041", "\U000e0041"),
        (r"a\u2028b\u2029", "a\u2028b\u2029"),
        ("a b c", "a\u00a0b\u3000c"),
        ("Z\u0335\u0321" + r"\u031b", "Z\u0335\u0321\u031b"),
        (r"C:\Users\x", r"C:\Users\x"),
        ("[bold red]x[/]", "[bold red]x[/]"),
    ],
)
def test_line_spells_what_acts_or_hides(shown: str, text: str) -> None:
    """Controls, bidi, zero-width characters and lone surrogates are spelled; what shows itself stays."""
    assert shown == printable.line(text)


def test_line_cuts_long_text() -> None:
    """64 kB of A become 199 and an ellipsis, and a text of just the limit is left whole."""
    assert printable.line("A" * 65536) == "A" * 199 + "…"
    assert printable.line("A" * 200) == "A" * 200
    assert printable.line("\x1b" * 100, 10) == r"\x1b\x1b\…"


@given(st.text(st.characters(codec=None)), st.integers(1, 300))
def test_line_is_always_one_printable_line(text: str, limit: int) -> None:
    """Whatever comes in, out comes one line that encodes, within the limit, of printable characters only."""
    shown = printable.line(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("'+1", "+1"),
        ("'-1", "-1"),
        ("'@SUM(1)", "@SUM(1)"),
        (r"\t=1", "\t=1"),
        (r"\r=1", "\r=1"),
        ("  '=1", "  =1"),
        ("'＝1", "＝1"),
        ("a;'=1", "a;=1"),
        ("x\"'=1", 'x"=1'),
        ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
    ],
)
def test_csv_cell_starts_no_formula(cell: str, text: str) -> None:
    """No part that a spreadsheet may take for a cell begins with a formula's first character."""
    assert cell == printable.csv_cell(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        ("`<script>alert(1)</script>`", "<script>alert(1)</script>"),
        (r"`a\x60b\x7cc`", "a`b|c"),
        ("`@octocat #1 https://x.example`", "@octocat #1 https://x.example"),
        ("(empty)", "  "),
    ],
)
def test_markdown_code_holds_its_text(span: str, text: str) -> None:
    """The text can neither end its code span nor the table cell around it."""
    assert span == printable.markdown_code(text)


def test_count_agrees_with_its_noun() -> None:
    """One is singular, everything else plural, thousands are grouped."""
    assert printable.count(1, "call") == "1 call"
    assert printable.count(0, "call") == "0 calls"
    assert printable.count(4210, "call") == "4,210 calls"
    assert printable.count(2, "query", "queries") == "2 queries"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 s", -3),
        ("45 s", 45.9),
        ("1 min", 60),
        ("3 h", 3 * 3600),
        ("47 h", 47 * 3600),
        ("2 days", 48 * 3600),
    ],
)
def test_duration_uses_its_largest_unit(text: str, seconds: float) -> None:
    """A length of time is one number with one unit."""
    assert text == printable.duration(seconds)


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("61 of 168 hours", 61 * 3600, 168 * 3600),
        ("40 of 40 minutes", 2500, 2400),
        ("1 of 1 second", 1, 1),
        ("0 of 0 seconds", 0, 0),
    ],
)
def test_share_never_exceeds_the_whole(text: str, part: float, whole: float) -> None:
    """Both numbers share the unit of the whole."""
    assert text == printable.share(part, whole)


@pytest.mark.usefixtures("berlin")
def test_people_read_local_times_with_their_zone() -> None:
    """Times for people are local, name the zone, and the year only when it is another."""
    start = datetime(2026, 10, 31, 23, 0, tzinfo=UTC)
    end = datetime(2026, 11, 7, 2, 0, tzinfo=UTC)
    assert printable.moment(end, NOW) == "7 Nov 03:00"
    assert printable.days(start, end, NOW) == "1-7 Nov, CET"
    assert printable.days(end, end, NOW) == "7 Nov, CET"
    assert printable.days(datetime(2025, 12, 30, tzinfo=UTC), end, NOW) == "30 Dec 2025-7 Nov, CET"
    assert printable.days(datetime(2026, 10, 3, tzinfo=UTC), end, NOW) == "3 Oct-7 Nov, CEST/CET"


def test_zone_without_a_short_name_is_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone that the system names by a number or a sentence is shown as its distance from UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process can only be set on POSIX")
    monkeypatch.setenv("TZ", "<+0530>-5:30")
    time.tzset()
    assert printable.zone(NOW) == "UTC+5:30"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_data_is_in_utc() -> None:
    """Times in data end in Z whatever the machine's zone is."""
    assert printable.utc(NOW.astimezone()) == "2026-11-07T12:00:00Z"

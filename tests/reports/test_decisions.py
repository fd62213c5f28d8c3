"""Decisions about tools: what a file may say, which rows an entry is about, and how an entry is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.errors import AuditError
from mfa_audit.reports.decisions import Accepted, Rhythm, parse, stanza


@dataclass(frozen=True)
class Row:
    name: str = "Windows PowerShell"
    program: str | None = "nightly-sync.ps1"
    machine: str | None = "PC17"
    app_ids: Sequence[str] = ("31d9ed98-a469-4536-ade2-f981bc1d6050",)
    people: Sequence[str] = ("svc-pc@contoso.example",)


WHOLE = """
[[tool]]
match = { program = "nightly-*.ps1", machine = "pc17" }
name = "Nightly sync"
owner = "Dana"
ticket = "OPS-7"
due = 2026-12-01
accept = { until = 2026-12-31, reason = "the vendor delivers in December" }
fixed = 2026-11-24
retired = 2026-11-20
expect = "weekly"
decided_by = "dana"
decided_at = 2026-11-25
"""


def test_an_entry_is_read_whole() -> None:
    """Every key of an entry is kept, and the file's SHA-256 is known."""
    found = parse(WHOLE.encode(), "decisions.toml")
    entry = found.of(Row())
    assert entry is not None
    assert ("Nightly sync", "Dana", "OPS-7", Rhythm.WEEKLY) == (
        entry.name,
        entry.owner,
        entry.ticket,
        entry.expect,
    )
    assert Accepted(date(2026, 12, 31), "the vendor delivers in December") == entry.accept
    assert (date(2026, 11, 24), date(2026, 11, 20)) == (entry.fixed, entry.retired)
    assert ("dana", date(2026, 11, 25), 64) == (entry.decided_by, entry.decided_at, len(found.sha256 or ""))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ('tool = "windows powershell"', True),
        ('program = "nightly-sync.ps1", machine = "PC18"', False),
        ('app_id = "31D9ED98-A469-4536-ADE2-F981BC1D6050"', True),
        ('user = "svc-*"', True),
        ('user = "somebody"', False),
        ('program = "[n]ightly-sync.ps1"', False),
    ],
)
def test_which_rows_an_entry_is_about(match: str, fits: bool) -> None:
    """All that an entry names must fit, in any letters' case; only * and ? are wildcards."""
    found = parse(f"[[tool]]\nmatch = {{ {match} }}\n".encode(), "d")
    assert fits is (found.of(Row()) is not None)
    assert ((), 1)[not fits] == (len(found.unmatched([Row()])) if not fits else found.unmatched([Row()]))


def test_the_entry_that_names_more_counts() -> None:
    """Of two entries about one row, the more exact one counts, wherever it stands."""
    text = '[[tool]]\nmatch = { program = "nightly-sync.ps1", machine = "PC17" }\nowner = "exact"\n'
    text += '[[tool]]\nmatch = { program = "nightly-sync.ps1" }\nowner = "wide"\n'
    entry = parse(text.encode(), "d").of(Row())
    assert entry is not None
    assert "exact" == entry.owner


def test_a_row_with_others_does_not_fit() -> None:
    """What is decided about one user, or one app id, is not decided about a row that has others too."""
    found = parse(b'[[tool]]\nmatch = { user = "ada@*" }\nowner = "Dana"\n', "d")
    assert found.of(Row(people=("ada@contoso.example",))) is not None
    assert found.of(Row(people=("ada@contoso.example", "bob@contoso.example"))) is None
    assert found.of(Row(people=())) is None


def test_entries_about_one_row_add_up() -> None:
    """A later entry takes nothing back that it does not speak of: an owner stays when the fix is noted."""
    text = '[[tool]]\nmatch = { tool = "windows*" }\nowner = "Dana"\nticket = "OPS-7"\n'
    text += '[[tool]]\nmatch = { tool = "windows*" }\nticket = "OPS-8"\nfixed = 2026-11-24\n'
    entry = parse(text.encode(), "d").of(Row())
    assert entry is not None
    assert ("Dana", "OPS-8", date(2026, 11, 24)) == (entry.owner, entry.ticket, entry.fixed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[tool]\n", "is not TOML"),
        ("[tools]\n", "[[tool]] entries only"),
        ('[[tool]]\nmatch = { program = "x" }\nowned = "y"\n', "entry 1: 'owned' is not a key"),
        ("[[tool]]\nowner = 'x'\n", "match must name at least one of"),
        ("[[tool]]\nmatch = { host = 'x' }\n", "match takes tool, program, machine, app_id, user"),
        ("[[tool]]\nmatch = { tool = '*' }\n", "match fits every tool"),
        (
            "[[tool]]\nmatch = { tool = 'x' }\nfixed = 'yesterday'\n",
            "fixed must be a date such as 2026-12-31",
        ),
        ("[[tool]]\nmatch = { tool = 'x' }\naccept = { until = 2026-12-31 }\n", "accept takes until"),
        ("[[tool]]\nmatch = { tool = 'x' }\nexpect = 'often'\n", "expect must be daily, weekly, monthly"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, words: str) -> None:
    """What is wrong is said with the entry and the key, and nothing of the file is followed."""
    with pytest.raises(AuditError) as raised:
        parse(text.encode(), "decisions.toml")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.strip() == text and set(text) - set("*?")))
def test_what_is_written_can_be_read(text: str) -> None:
    """Any name that a report shows comes back from the entry that is printed for it."""
    written = stanza(
        {"program": text}, {"accept": Accepted(date(2026, 12, 31), "because"), "fixed": date(2026, 1, 2)}
    )
    (entry,) = parse(written.encode("utf-8", "replace"), "d").entries
    assert (text.encode("utf-8", "replace").decode(), date(2026, 1, 2)) == (
        entry.match["program"],
        entry.fixed,
    )

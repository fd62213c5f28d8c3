"""The table: what an admin reads on the first screen."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

import reports_samples as samples
from mfa_audit.formats import render

SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.usefixtures("berlin")
def test_first_screen_says_everything_in_order() -> None:
    """Answer, period, what was not seen, what to fix with cause and link, the rest, gaps, the caveat."""
    assert (
        render("table", samples.rich()).splitlines()
        == f"""\
NO - 2 of 6 tools call Partner Center without MFA. 1 is blocked now.
Period    1-7 Nov, CET. Recorded 61 of 168 hours on PC17. 1 file imported. 4,210
          calls.
Not seen  powershell.exe refused our certificate (12 times). Run mfa-audit
          trust. Java/21.0.4 was passed through unread (once). Run mfa-audit
          doctor. 2 calls were lost before being stored. 12 calls carried no
          token. Cloud tools and other machines are not in this report.
Fix first
 1 nightly-sync.ps1 (Azure PowerShell)  BLOCKED NOW  412 calls,
   svc-pc@contoso.example, last 7 Nov 03:00
   Likely a saved password (amr: pwd). Use the Secure Application Model:
   {samples.SECURE_APP_MODEL}
 2 Partner Center PowerShell  would be blocked  1,490 calls,
   tech1@contoso.example and 4 more, last 7 Nov 03:00
   Likely a sign-in on which MFA is not enforced (amr: pwd). Enforce MFA for the
   account:
   {samples.MANDATE}
Cannot tell
 3 Contoso Billing  88 calls, no user, last 7 Nov 03:00
   The token is encrypted and cannot be read. Ask the tool's vendor:
   {samples.SECURE_APP_MODEL}
With MFA
   CIPP                           1,204 calls  last 7 Nov 03:00
   renew-licenses.py (Azure CLI)    964 calls  last 7 Nov 03:00
     Fixed: 3 good tokens since 5 Nov 12:30, and no call without MFA came back.
App-only: the rule does not apply
   Inventory                         52 calls  last 7 Nov 03:00
Quiet in this period, but without MFA when last seen
   Quarterly export                 412 calls  last 27 Sep 13:30
Recorder was off
 2 Nov 12:30 to 18:30, 6 h (it was stopped)
 4 Nov 12:30 to 5 Nov 12:30, 24 h (the machine slept)
 7 Nov 07:30 to 07:31, 1 min (it could not keep up, 2 calls lost)
2 calls were refused because mfa-audit asked the server to check.
Where no script or program of its own is known, one row may stand for several
jobs.
Token signatures were not checked.
""".splitlines()
    )


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", samples.ALL)
def test_fits_the_screen(name: str, colour: bool, width: int) -> None:
    """No line is wider than the screen, except one that is nothing but a link."""
    for row in SGR.sub("", render("table", samples.ALL[name](), width=width, colour=colour)).splitlines():
        assert cell_len(row) <= width or re.fullmatch(r" *https://\S+", row), row


def test_uses_the_width_there_is() -> None:
    """A wider screen needs fewer lines."""
    lines = [len(render("table", samples.rich(), width=width).splitlines()) for width in (80, 160)]
    assert lines[1] < lines[0]


@pytest.mark.parametrize("name", samples.ALL)
def test_colour_only_repeats_the_words(name: str) -> None:
    """Without colour there is not one escape sequence, and with it the same text."""
    report = samples.ALL[name]()
    plain, coloured = (render("table", report, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain
    assert coloured != plain
    assert plain == SGR.sub("", coloured)


def test_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller decided about width and colour stands, whatever COLUMNS and FORCE_COLOR say."""
    before = render("table", samples.rich())
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert before == render("table", samples.rich())


@pytest.mark.parametrize("text", samples.HOSTILE.values(), ids=samples.HOSTILE)
def test_hostile_text_only_shows_itself(text: str) -> None:
    """Harmless on a terminal: printable characters only, markup and emoji codes as typed, not too long."""
    shown = render("table", samples.report(samples.tool(text, program=text), notes=(text, ":boom:")))
    assert shown.replace("\n", "").isprintable()
    assert len(shown) < 3000
    assert ":boom:" in shown
    if text == samples.HOSTILE["markup"]:
        assert "[bold red]x[/]" in shown


def test_empty_report_helps() -> None:
    """Nothing seen: the answer is no Yes, and the report says where it looked and what to try."""
    shown = render("table", samples.empty())
    assert shown.startswith("CANNOT TELL YET - no call to Partner Center with a token was seen.")
    assert r"C:\Users\jo\AppData\Local\mfa-audit\audit.db, as CONTOSO\jo on PC17" in shown
    assert "mfa-audit run -- COMMAND" in shown
    assert "mfa-audit report --since all" in shown


def test_singular_is_right() -> None:
    """One call, one tool, one second."""
    shown = render("table", samples.tiny())
    assert "NO - 1 of 1 tool calls Partner Center without MFA. 1 is blocked now." in shown
    assert "Recorded 1 of 1 second on PC17. 1 call." in shown


def test_yes_comes_with_its_limits() -> None:
    """There is no bare Yes: it says for what, and what was not seen."""
    first, *_ = shown = render("table", samples.clean()).splitlines()
    assert first.startswith("YES, for what was seen - ")
    assert shown[-1] == "Token signatures were not checked."
    assert any("other machines are not in this report" in row for row in shown)

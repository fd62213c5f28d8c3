"""The table: what an admin reads on the first screen."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

import reports_samples as samples
from mfa_audit.formats import render
from mfa_audit.reports.model import NotAudited

SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.usefixtures("berlin")
def test_first_screen_says_everything_in_order() -> None:
    """Answer, period, what was not seen, each fix with cause and link, a line per tool, the rest, gaps, the caveat."""
    assert (
        render("table", samples.rich()).splitlines()
        == f"""\
NO - 2 of 6 tools call Partner Center without MFA. 1 is blocked now.
Period    1-7 Nov, CET. Recorded 61 of 168 hours on PC17. 1 file imported. 4,210
          calls.
Not seen  powershell.exe refused our certificate (12 times). Java/21.0.4 was
          passed through unread (once). 2 calls were lost before being stored.
          12 calls carried no token. Cloud tools and other machines are not in
          this report.
Fix first: 2 fixes close 2 tools
 1  1 tool, 1 blocked: Likely a saved password (amr: pwd). Use the Secure
    Application Model.
    {samples.SECURE_APP_MODEL}
 2  1 tool: Likely a sign-in on which MFA is not enforced (amr: pwd). Enforce
    MFA for the account.
{samples.MANDATE}
Fix Tool                      Signs in as         Calls Last seen    State
 1  nightly-sync.ps1          svc-pc@contoso.exa…   412 7 Nov 03:00  BLOCKED NOW
 2  Partner Center PowerShell tech1@contoso.exam… 1,490 7 Nov 03:00  Without MFA
Cannot tell
 3  1 tool: The token is encrypted and cannot be read. Ask the tool's vendor.
    {samples.SECURE_APP_MODEL}
Fix Tool                      Signs in as         Calls Last seen    State
 3  Contoso Billing           no user                88 7 Nov 03:00  Cannot tell
Make readable
  powershell.exe refused our certificate (12 times).
     Run mfa-audit trust.
  Java/21.0.4 was passed through unread (once).
     Run mfa-audit doctor.
Nothing to do
    CIPP                      ann@contoso.example 1,204 7 Nov 03:00  With MFA
    renew-licenses.py         ann@contoso.example   964 7 Nov 03:00  With MFA
     Fixed: 3 good tokens since 5 Nov 12:30, and no call without MFA came back.
    Inventory                 no user                52 7 Nov 03:00  App-only
Quiet in this period, but without MFA when last seen
    Quarterly export          svc-pc@contoso.exa…   412 27 Sep 13:30 Without MFA
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


def _tall(width: int, height: int, **how: bool) -> list[str]:
    report = samples.report(
        *(
            samples.tool("PowerShell", program=f"job-{number}.ps1", blocked=number % 2)
            for number in range(20)
        ),
        samples.fine("CIPP"),
    )
    return render("table", report, width=width, height=height, **how).splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 16), (200, 30)])
def test_fits_the_height(width: int, height: int) -> None:
    """On a terminal that is too low the first screen is one screen, and counts the tools that have no room."""
    shown = _tall(width, height)
    assert len(shown) < height
    assert shown[0].startswith("NO - 20 of 21 tools")
    assert "Token signatures were not checked." == shown[-1]
    listed = sum(bool(re.match(r" 1 +job-", row)) for row in shown)
    assert listed >= 1
    told = " ".join(shown)
    assert f"and {20 - listed} more to fix, 1 fine: mfa-audit report --all" in told
    assert samples.SECURE_APP_MODEL in told


def test_all_says_the_answer_again() -> None:
    """With all tools on a low terminal the answer stands at the end too, where the reader is; a pipe has no end."""
    shown = _tall(80, 24, every=True)
    assert 20 == sum(bool(re.match(r" 1 +job-", row)) for row in shown)
    assert shown[0] == shown[-2]
    assert "Token signatures were not checked." == shown[-1]
    assert 1 == sum(row.startswith("NO - ") for row in render("table", samples.rich()).splitlines())


def test_details_are_asked_for() -> None:
    """Dates, what started it and who signs in come with --verbose only."""
    report = samples.report(
        samples.tool("x", started_by="cron", users=(samples.user("dana@contoso.example"),))
    )
    short, long = (" ".join(render("table", report, verbose=how).split()) for how in (False, True))
    assert "started by cron" not in short
    assert "Runs on PC17, started by cron." in long
    assert "Signs in as dana@contoso.example." in long


def test_lines_to_copy_hold_nothing_of_the_network() -> None:
    """Whatever programs are called, the commands to type are ours."""
    ours = {
        "     Start it through `mfa-audit run -- ...`, or in its terminal:",
        '       eval "$(mfa-audit env)"',
        *(f"     Run mfa-audit {command}." for command in ("trust", "trust --store java", "browse")),
    }
    for text in ("stock.exe", *samples.HOSTILE.values()):
        unread = NotAudited("h", text, text, "certificate-refused", 2, samples.NOW, samples.NOW)
        shown = render("table", samples.report(samples.tool(text, program=text), not_audited=(unread,)))
        found = [row for row in shown.splitlines() if "mfa-audit" in row]
        assert found
        assert [] == [row for row in found if row not in ours]


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

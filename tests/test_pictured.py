"""What README.md and docs show of a report is what the program prints."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from mfa_audit.commands.demo import sample_clients
from processes import Audit

ROOT = Path(__file__).parents[1]
MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
DATE = rf"\d\d? {MONTH}(?: \d{{4}})?"


def steady(text: str) -> str:
    """A report without what differs from day to day and from machine to machine, in one line."""
    text = re.sub(r"^Period +\S.*?\. Recorded", "Period SPAN. Recorded", text, flags=re.MULTILINE)
    text = re.sub(rf"{DATE}\s+\d\d:\d\d", "TIME", text)
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.skipif(
    not (sample_clients.has_node() and sample_clients.has_curl()),
    reason="without Node and a curl of OpenSSL's the demonstration has other programs",
)
def test_shows_what_the_demonstration_prints(audit: Audit) -> None:
    """The report in the README is the demonstration's, but for days, times and the machine's name."""
    shown = re.search(
        r"It ends with this report:\n\n```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert shown
    printed = audit.run("demo", "--quiet").stdout.replace(f" on {platform.node()}.", " on PC17.")
    assert steady(printed) == steady(shown[1])


def test_pictures_are_there_and_ask_for_nothing() -> None:
    """Every picture that the docs show exists, and the terminal's loads nothing from elsewhere."""
    for page in (ROOT / "README.md", ROOT / "docs" / "reports.md"):
        names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
        assert names, page
        assert [] == [name for name in names if not (page.parent / name).is_file()]
    svg = (ROOT / "docs" / "images" / "terminal.svg").read_text("utf-8")
    assert [] == re.findall(r"@font-face|@import|url\(http|href=", svg)

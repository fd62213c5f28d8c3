"""Make docs/images anew: the HTML report and the terminal's first screen, from the made-up partner's database.

Run it from a checkout with the package installed: `python scripts/pictures.py`. Needs Chromium on PATH.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from mfa_audit.formats import render
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Report
from mfa_audit.reports.periods import read_period
from realistic_partner import make

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
MACHINE: Final = "PC17"
# rich's picture would load its font from the network.
FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def read_partner(folder: Path) -> Report:
    """The report on the made-up partner, without this machine's name and paths."""
    database = folder / "audit.db"
    make(database)
    report = report_on([database], read_period("35d", None, datetime.now(UTC)))
    return replace(report, machine=MACHINE, account="admin", databases=("audit.db",))


def draw_page(report: Report, folder: Path, target: Path) -> None:
    """The first screen of the HTML report, as Chromium shows it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("There is no Chromium on PATH to make the picture with.")
    page = folder / "report.html"
    page.write_text(render("html", report), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1280,1420"]
    subprocess.run(
        [
            chromium,
            *options,
            f"--user-data-dir={folder / 'profile'}",
            f"--screenshot={target}",
            page.as_uri(),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def draw_terminal(report: Report, target: Path) -> None:
    """The table as a terminal of 100 columns and 32 lines shows it."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(render("table", report, width=100, height=32, colour=True).rstrip("\n")))
    svg = console.export_svg(title="mfa-audit report", unique_id="terminal")
    target.write_text(FONTS.sub("", svg), encoding="utf-8")


def main() -> None:
    """Write both pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        report = read_partner(Path(name))
        draw_page(report, Path(name), IMAGES / "report.png")
        draw_terminal(report, IMAGES / "terminal.svg")


if __name__ == "__main__":
    main()

"""Make docs/images anew: the HTML report and the terminal, from the demonstration's own recording.

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
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from mfa_audit.formats import render
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period, Report

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
MACHINE: Final = "PC17"
# rich's picture would load its font from the network.
FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def read_demonstration(folder: Path) -> Report:
    """The report on a demonstration that is run now, without this machine's name and paths."""
    database = folder / "demo.db"
    command = [sys.executable, "-m", "mfa_audit", "demo", "--quiet", "--keep", str(database)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = report_on([database], Period(None, None))
    sources = tuple(
        replace(source, machine=MACHINE, name=MACHINE, account="admin") for source in report.sources
    )
    return replace(report, machine=MACHINE, account="admin", databases=("audit.db",), sources=sources)


def draw_page(report: Report, folder: Path, target: Path) -> None:
    """The first screen of the HTML report, as Chromium shows it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("There is no Chromium on PATH to make the picture with.")
    page = folder / "report.html"
    page.write_text(render("html", report), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=880,725"]
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
    """The table as a terminal of 80 columns shows it."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(render("table", report, width=80, colour=True).rstrip("\n")))
    svg = console.export_svg(title="mfa-audit report", unique_id="terminal")
    target.write_text(FONTS.sub("", svg), encoding="utf-8")


def main() -> None:
    """Write both pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        report = read_demonstration(Path(name))
        draw_page(report, Path(name), IMAGES / "report.png")
        draw_terminal(report, IMAGES / "terminal.svg")


if __name__ == "__main__":
    main()

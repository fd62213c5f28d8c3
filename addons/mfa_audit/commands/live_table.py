"""What `proxy` shows on a terminal while it runs: the report itself, in place, no taller than the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mfa_audit.errors import AuditError
from mfa_audit.formats import render
from mfa_audit.printable import count
from mfa_audit.proxy.live_report import LatestReport
from mfa_audit.reports.model import Report

_PAUSE: Final = 1.0  # seconds between two looks
_LEAST: Final = 6  # lines of the report at least, where the terminal has as many
WAITING: Final = "No call yet. `mfa-audit env` in another terminal sends its programs here."


def lines(report: Report, width: int, height: int) -> list[Text]:
    """The report in at most `height` lines of at most `width` columns; a last one says how many are left out."""
    if not (report.tools or report.not_audited or report.totals.without_token):
        return [_cut(Text(WAITING), width)]
    every = [Text.from_ansi(text) for text in render("table", report, width=width, colour=True).splitlines()]
    shown = every if len(every) <= height else every[: height - 1]
    if len(shown) < len(every):
        left_out = count(len(every) - len(shown), "more line")
        shown.append(Text(f"and {left_out}: see the report page, or the report at the end", style="dim"))
    return [_cut(text, width) for text in shown]


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


async def show(latest: LatestReport, said: list[str]) -> None:
    """Show the report until cancelled, then take it away again.

    `said` is what stands above it on the terminal, and is to stay in sight.
    """
    console = Console(file=sys.stderr)
    while True:
        await _show_at(console, latest, said)
        # A terminal that was made narrower has broken every line anew, and the table cannot be found any more.
        console.clear()
        for text in said:
            console.print(Text(text), soft_wrap=True)


async def _show_at(console: Console, latest: LatestReport, said: list[str]) -> None:
    """Show the report until the terminal has another size."""
    size = console.size
    above = sum(math.ceil(max(cell_len(text), 1) / size.width) for text in said)
    room = min(max(size.height - above - 1, _LEAST), size.height - 1)
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while console.size == size:
            with contextlib.suppress(AuditError):  # locked or gone for a moment: the recorder says so itself
                live.update(Group(*lines(await latest.read(), size.width, room)), refresh=True)
            await asyncio.sleep(_PAUSE)

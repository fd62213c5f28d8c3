"""What `proxy` shows on a terminal while it runs: the answer, and a line for each tool, no taller than the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from datetime import timedelta
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mfa_audit.errors import AuditError
from mfa_audit.formats import answer_words, recording_words, words
from mfa_audit.formats.tool_lines import Columns
from mfa_audit.printable import count
from mfa_audit.proxy.live_report import LatestReport
from mfa_audit.reports.model import Report

_PAUSE: Final = 1.0  # seconds between two looks
_LEAST: Final = 6  # lines of the table at least, where the terminal has as many
_JUST_NOW: Final = timedelta(seconds=10)
_ANSWER: Final = 3  # lines at most
WAITING: Final = "No call yet. `mfa-audit env` in another terminal sends its programs here."


def lines(report: Report, width: int, height: int) -> list[Text]:
    """The answer and the tools, failing ones first, in at most `height` lines of at most `width` columns.

    A tool that called in the last ten seconds is marked. A last line says how many tools are left out.
    """
    if not (report.tools or report.not_audited or report.totals.without_token):
        return [_cut(Text(WAITING), width)]
    console = Console(width=width, legacy_windows=False, _environ={})
    head = [Text(answer_words.headline(report), style="bold")]
    found = [*head[0].wrap(console, width)][:_ANSWER]
    unread = recording_words.not_seen_in_short(report)[:-1]  # the last sentence is about elsewhere
    if unread:
        found.append(Text(" ".join(unread), style="yellow"))
    columns = Columns(report.tools, width, report.generated_at)
    if report.tools:
        found.append(Text(columns.header(""), style="dim"))
    rows = [
        columns.line(row, words.NOW if report.generated_at - row.last_seen < _JUST_NOW else "")
        for row in report.tools
    ]
    room = max(height - len(found), 1)
    shown = rows if len(rows) <= room else rows[: room - 1]
    if len(shown) < len(rows):
        left_out = count(len(rows) - len(shown), "more tool")
        shown.append(Text(f"and {left_out}: see the report page, or the report at the end", style="dim"))
    return [_cut(text, width) for text in (*found, *shown)][:height]


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


async def show(latest: LatestReport, said: list[str]) -> None:
    """Show the table until cancelled, then take it away again.

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
    """Show the table until the terminal has another size."""
    size = console.size
    above = sum(math.ceil(max(cell_len(text), 1) / size.width) for text in said)
    room = min(max(size.height - above - 1, _LEAST), size.height - 1)
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while console.size == size:
            with contextlib.suppress(AuditError):  # locked or gone for a moment: the recorder says so itself
                live.update(Group(*lines(await latest.read(), size.width, room)), refresh=True)
            await asyncio.sleep(_PAUSE)

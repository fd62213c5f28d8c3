"""The report for a terminal, and as plain text for a file or a pipe. The only module here that uses rich.

The first screen is in the order in which an admin asks: is it a Yes or a No, of what, what is missing, what
do I mend first. Words carry the meaning; colour only repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mfa_audit.formats import cause_words, decision_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, line, moment
from mfa_audit.reports.model import Report, ToolRow

_COLOURS: Final = {
    Verdict.COMPLIANT: "green",
    Verdict.NON_COMPLIANT: "bold red",
    Verdict.EXEMPT: "green",
    Verdict.UNDETERMINED: "yellow",
}
_ANSWER_COLOURS: Final = {Answer.YES: "bold green", Answer.NO: "bold red", Answer.UNCLEAR: "bold yellow"}
_FILLING: Final = re.compile(r"(?:\x1b\[[0-9;]*m| )+$", re.MULTILINE)
_NARROWEST: Final = 40
# The first screen names this many of each; the HTML report names all.
_MOST: Final = 3
_LABEL: Final = 10


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
    """The report as lines of at most `width` columns (40 at least), except a longer link, which is not cut.

    `colour`: with ANSI sequences. Without it, plain text.
    """
    page = _Page(max(width, _NARROWEST), colour)
    _write_head(page, report)
    _write_list(page, decision_words.CHANGED, decision_words.changed(report))
    if report.whole.tools:
        _write_tools(page, report)
    else:
        _write_help(page, report)
    _write_quiet(page, report)
    _write_microsoft(page, report)
    _write_signed_in(page, report)
    _write_list(
        page,
        decision_words.RETIRED,
        [decision_words.retired(row, report.generated_at) for row in report.retired],
    )
    _write_list(page, decision_words.DECISIONS, decision_words.followed(report))
    _write_tail(page, report)
    return page.text()


def _write_list(page: _Page, title: str, texts: Sequence[str]) -> None:
    if texts:
        page.write(Text(title, style="bold"))
        for text in texts:
            page.write(Text(text), 1)


class _Page:
    """Lines on a screen. Takes Text only, never a string, so that nothing is read as markup."""

    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self._file = StringIO()
        self._console = Console(
            file=self._file,
            width=width,
            force_terminal=colour,
            color_system="standard" if colour else None,
            no_color=not colour,
            highlight=False,
            legacy_windows=False,
            # rich would ask the environment about all these; the caller has asked it already.
            _environ={},
        )

    def write(self, text: Text, indent: int = 0) -> None:
        """A paragraph, wrapped between words."""
        self._console.print(Padding(text, (0, 0, 0, indent), expand=False))

    def write_labelled(self, label: str, texts: Iterable[Text]) -> None:
        """A label in a column of its own, and paragraphs beside it."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_LABEL - 1, no_wrap=True)
        grid.add_column(overflow="fold")
        for number, text in enumerate(texts):
            grid.add_row(Text(label if number == 0 else "", style="bold"), text)
        self._console.print(grid)

    def write_grid(self, grid: Table) -> None:
        self._console.print(grid)

    def write_link(self, link: str, indent: int) -> None:
        """A link in one piece, also where it is wider than the screen."""
        text = Text(" " * indent + link, style="underline")
        text.stylize("not underline", 0, indent)
        self._console.print(text, soft_wrap=True)

    def text(self) -> str:
        """All lines; without the blanks that rich fills lines up with."""
        return _FILLING.sub(lambda match: match[0].replace(" ", ""), self._file.getvalue())


def _write_head(page: _Page, report: Report) -> None:
    head = Text(words.ANSWERS[report.answer], style=_ANSWER_COLOURS[report.answer])
    page.write(head.append(f" - {words.answer(report)}", style="bold"))
    page.write_labelled("Period", [Text(words.period(report))])
    page.write_labelled("Not seen", [Text(" ".join(words.not_seen(report, _MOST)))])


def _write_tools(page: _Page, report: Report) -> None:
    number = 1
    for title, verdict in (("Fix first", Verdict.NON_COMPLIANT), ("Cannot tell", Verdict.UNDETERMINED)):
        rows = words.with_verdict(report, verdict)
        if rows:
            page.write(Text(title, style="bold"))
        for tool in rows:
            _write_tool(page, report, number, tool)
            number += 1
    for verdict in (Verdict.COMPLIANT, Verdict.EXEMPT):
        rows = words.with_verdict(report, verdict)
        if rows:
            page.write(Text(words.VERDICTS[verdict], style=_COLOURS[verdict]))
            _write_in_short(page, report, rows)


def _write_tool(page: _Page, report: Report, number: int, tool: ToolRow) -> None:
    now = report.generated_at
    head = Text(f"{number:>2} ").append(line(tool.title, 120), style="bold")
    if words.is_blocked(tool):
        head.append("  ").append(words.BLOCKED, style="bold white on red")
    elif tool.verdict is Verdict.NON_COMPLIANT:
        head.append("  would be blocked", style="red")
    facts = f"{count(tool.requests, 'call')}, {words.who(tool)}, last {moment(tool.last_seen, now)}"
    head.append(f"  {facts}")
    hanging = Table.grid()
    hanging.add_column(width=3)
    hanging.add_column(overflow="fold")
    hanging.add_row(head[:3], head[3:])
    page.write_grid(hanging)
    if tool.why is not None and tool.why.kind != "failing":  # of a tool that just fails, all is said
        page.write(Text(words.why_now(tool, now) or ""), 3)
    if decided := decision_words.decided(tool, now):
        page.write(Text(" ".join(decided)), 3)
    if tool.advice is None:
        page.write(Text(words.why(tool.reasons)), 3)
        return
    advice, link = f"{words.cause(tool)} {words.fix(tool)}", line(tool.advice.link, 300)
    if len(link) <= page.width - 3:
        page.write(Text(advice.rstrip(".") + ": ").append(link, style="underline"), 3)
    else:
        page.write(Text(advice.rstrip(".") + ":"), 3)
        page.write_link(link, 3)


def _write_in_short(page: _Page, report: Report, tools: Sequence[ToolRow]) -> None:
    """Tools a line each, all in the same columns; a second one for what they were before they were mended."""
    shown = (*words.with_verdict(report, Verdict.COMPLIANT, Verdict.EXEMPT), *report.quiet)
    names = max(cell_len(line(tool.title, 120)) for tool in shown)
    calls = max(len(count(tool.requests, "call")) for tool in shown)
    for tool in tools:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=1)
        grid.add_column(width=min(names, page.width - calls - 30), overflow="fold")
        grid.add_column(width=calls, justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        last = f"last {moment(tool.last_seen, report.generated_at)}"
        grid.add_row(Text(), Text(line(tool.title, 120)), Text(count(tool.requests, "call")), Text(last))
        page.write_grid(grid)
        now = report.generated_at
        told = [words.why_now(tool, now) or "", *decision_words.decided(tool, now)]
        if any(told):
            page.write(Text(" ".join(told).strip(), style="dim"), 5)


def _write_help(page: _Page, report: Report) -> None:
    page.write_labelled("Looked at", [Text(words.looked_at(report))])
    page.write(Text("Why that may be, and what to try", style="bold"))
    for attempt in words.tries(report):
        hanging = Table.grid()
        hanging.add_column(width=3)
        hanging.add_column(overflow="fold")
        hanging.add_row(Text(" - "), Text(attempt.cause))
        page.write_grid(hanging)
        if attempt.command:
            page.write(Text(attempt.command, style="bold"), 5)


def _write_quiet(page: _Page, report: Report) -> None:
    if report.quiet:
        page.write(Text("Quiet in this period, but without MFA when last seen", style="bold"))
        _write_in_short(page, report, report.quiet)


def _write_microsoft(page: _Page, report: Report) -> None:
    if report.microsoft is None:
        return
    unseen = words.microsoft_unseen(report)
    page.write(Text(words.MICROSOFT, style="bold"))
    for one in unseen[:_MOST]:
        page.write(
            Text(words.microsoft_application(one, report.generated_at), style="red" if one.failing else ""), 1
        )
    if len(unseen) > _MOST:
        page.write(Text(f"and {count(len(unseen) - _MOST, 'more application')}"), 1)
    for told in (words.microsoft_users(report), words.microsoft_coverage(report)):
        if told:
            page.write(Text(told), 1)
    for match in report.microsoft.matches[:_MOST]:
        page.write(Text(words.microsoft_match(match), style="red" if match.disagree else ""), 3)


def _write_tail(page: _Page, report: Report) -> None:
    gaps = report.recording.gaps
    if gaps:
        # The longest tell most; they are shown in the order of time.
        longest = sorted(sorted(gaps, key=lambda row: row.start - row.end)[:_MOST], key=lambda row: row.start)
        told = [words.gap(row, report.generated_at) for row in longest]
        if len(gaps) > _MOST:
            told.append(f"and {count(len(gaps) - _MOST, 'shorter time')}")
        page.write(Text(words.GAP, style="bold"))
        for text in told:
            page.write(Text(text), 1)
    for note in (words.tested(report), *words.notes(report), words.UNSIGNED):
        if note:
            page.write(Text(note))


def _write_signed_in(page: _Page, report: Report) -> None:
    if not report.signed_in:
        return
    page.write(Text(cause_words.SIGNED_IN, style="bold"))
    for one in report.signed_in[:_MOST]:
        page.write(
            Text(cause_words.signed_in(one, report.generated_at), style="red" if one.failing else ""), 1
        )
    if len(report.signed_in) > _MOST:
        page.write(Text(f"and {len(report.signed_in) - _MOST:,} more: mfa-audit report --format html"), 1)

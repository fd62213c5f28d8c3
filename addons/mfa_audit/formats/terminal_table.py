"""The report for a terminal, and as plain text for a file or a pipe. The only module here that uses rich.

The first screen is in the order in which an admin asks: is it a Yes or a No, of what, what is missing, what do I fix
first. Where the report is taller than the terminal it ends there, with as many tools as fit. Words carry the meaning;
colour only repeats it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mfa_audit.formats import (
    answer_words,
    cause_words,
    decision_words,
    fix_words,
    help_words,
    microsoft_words,
    recording_words,
    words,
)
from mfa_audit.formats.tool_lines import Columns
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, line
from mfa_audit.reports.fixes import Group, Remedy, by_group, remedies
from mfa_audit.reports.model import Report, ToolRow

_ANSWER_COLOURS: Final = {Answer.YES: "bold green", Answer.NO: "bold red", Answer.UNCLEAR: "bold yellow"}
_FILLING: Final = re.compile(r"(?:\x1b\[[0-9;]*m| )+$", re.MULTILINE)
_NARROWEST: Final = 40
_MOST: Final = 3  # of what is told in a sentence each
_LABEL: Final = 10
# Tools in sight that are worth cutting the fixes down to a line each.
_ENOUGH: Final = 8


def render(
    report: Report,
    *,
    width: int = 80,
    colour: bool = False,
    height: int | None = None,
    every: bool = False,
    verbose: bool = False,
) -> str:
    """The report as lines of at most `width` columns (40 at least), except a longer link, which is not cut.

    `colour`: with ANSI sequences; without it, plain text. `height`: the terminal's lines; None where there is no end.
    `every`: all tools, however many lines that takes; `verbose`: with all that is known of each.
    """
    page = _Page(max(width, _NARROWEST), colour)
    head = _head(page, report)
    tail = page.paragraphs([words.UNSIGNED])
    blocks = list(_blocks(page, report, verbose=verbose))
    notes = _notes(page, report, verbose=verbose)
    whole = [*head, *(row for block in blocks for row in block.lines), *notes, *tail]
    if height is None or page.rows(whole) < height:
        shown = whole
    elif every or verbose:
        shown = [*whole[: -len(tail)], *_answer(page, report), *tail]
    else:
        head = _head(page, report, short=True)
        shown = [*head, *_fitting(page, blocks, height - 1 - page.rows([*head, *tail])), *tail]
    return "".join(f"{row}\n" for row in shown)


@dataclass(slots=True)
class _Block:
    """A part of the report: its title's lines, then entries of lines each; `short` are the title's where room is
    little. `left_out` is said of entries that have no room, after their number."""

    title: list[str]
    entries: list[list[str]]
    left_out: str
    short: list[str] = field(default_factory=list)

    @property
    def lines(self) -> Iterator[str]:
        yield from self.title
        for entry in self.entries:
            yield from entry


class _Page:
    """Makes lines for a screen. Takes Text or our own sentences, so that nothing is read as markup."""

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

    def paragraphs(self, texts: Iterable[str | Text], indent: int = 0, style: str = "") -> list[str]:
        """Each wrapped between words."""
        for text in texts:
            shown = text if isinstance(text, Text) else Text(text, style=style)
            self._console.print(Padding(shown, (0, 0, 0, indent), expand=False))
        return self._taken()

    def labelled(self, label: str, text: Text) -> list[str]:
        """A label in a column of its own, and a paragraph beside it."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_LABEL - 1, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(label, style="bold"), text)
        self._console.print(grid)
        return self._taken()

    def hanging(self, first: Text, text: Text, indent: int) -> list[str]:
        """A paragraph that begins beside a number."""
        grid = Table.grid()
        grid.add_column(width=indent, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(first, text)
        self._console.print(grid)
        return self._taken()

    def single(self, text: Text) -> list[str]:
        """One line in one piece: a link, also where it is wider than the screen, or a row that fits."""
        self._console.print(text, soft_wrap=True)
        return self._taken()

    def link(self, link: str, indent: int, before: str = "") -> list[str]:
        """A link in one piece at the end of a line."""
        return self.single(Text(" " * indent + before).append(line(link, 300), style="underline"))

    def rows(self, lines: Iterable[str]) -> int:
        """How many of the terminal's lines these take."""
        plain = (re.sub(r"\x1b\[[0-9;]*m", "", row) for row in lines)
        return sum(max(1, math.ceil(cell_len(row) / self.width)) for row in plain)

    def _taken(self) -> list[str]:
        """What was printed, without the blanks that rich fills lines up with."""
        text = _FILLING.sub(lambda match: match[0].replace(" ", ""), self._file.getvalue())
        self._file.seek(0)
        self._file.truncate()
        return text.split("\n")[:-1]


def _answer(page: _Page, report: Report) -> list[str]:
    head = Text(words.ANSWERS[report.answer], style=_ANSWER_COLOURS[report.answer])
    return page.paragraphs([head.append(f" - {answer_words.answer(report)}", style="bold")])


def _head(page: _Page, report: Report, *, short: bool = False) -> list[str]:
    unseen = (
        recording_words.not_seen_in_short(report)
        if short
        else recording_words.not_seen(report, _MOST, repairs=False)
    )
    return [
        *_answer(page, report),
        *page.labelled("Period", Text(recording_words.period(report))),
        *page.labelled("Not seen", Text(" ".join(unseen))),
    ]


def _blocks(page: _Page, report: Report, *, verbose: bool) -> Iterator[_Block]:
    groups = by_group(report.tools)
    fixes = 0
    columns = Columns([*report.tools, *report.quiet, *report.retired], page.width, report.generated_at)
    changed = decision_words.changed(report)
    if changed:
        yield _list(page, decision_words.CHANGED, changed, "changed")
    if not report.whole.tools:
        yield _help(page, report)
    for group in Group:
        rows = groups[group]
        if group is Group.NOTHING and report.not_audited:
            yield _readable(page, report)
        if not rows:
            continue
        if group in (Group.FIX_FIRST, Group.CANNOT_TELL):
            found = remedies(rows, fixes + 1)
            fixes += len(found)
            yield _with_remedies(page, report, columns, group=group, found=found, verbose=verbose)
        else:
            entries = [_row(page, report, row, columns, verbose=verbose) for row in rows]
            title = page.paragraphs([fix_words.GROUPS[group]], style="bold")
            yield _Block(title, entries, fix_words.LEFT_OUT[group])
    if report.quiet:
        entries = [_row(page, report, row, columns, verbose=verbose) for row in report.quiet]
        yield _Block(page.paragraphs([words.QUIET], style="bold"), entries, "quiet")
    if report.retired:
        entries = [_row(page, report, row, columns, verbose=verbose) for row in report.retired]
        yield _Block(page.paragraphs([decision_words.RETIRED], style="bold"), entries, "retired")
    elsewhere = _elsewhere(page, report, verbose=verbose)
    if elsewhere is not None:
        yield elsewhere
    followed = decision_words.followed(report)
    if followed:
        yield _list(page, decision_words.DECISIONS, followed, "about decisions")


def _list(page: _Page, title: str, texts: Sequence[str], left_out: str) -> _Block:
    entries = [page.paragraphs([text], 2) for text in texts]
    return _Block(page.paragraphs([title], style="bold"), entries, left_out)


def _with_remedies(
    page: _Page,
    report: Report,
    columns: Columns,
    *,
    group: Group,
    found: Sequence[Remedy],
    verbose: bool,
) -> _Block:
    """The fixes, then a line for each tool with the number of its fix."""
    number_of = {id(row): one.number for one in found for row in one.rows}
    rows = by_group(report.tools)[group]
    title = page.paragraphs([fix_words.title(group, found)], style="bold")
    header = page.single(Text(columns.header("Fix"), style="dim"))
    long = [text for one in found for text in _remedy(page, one)]
    short = [text for one in found for text in _remedy_in_short(page, one)] + _links(page, found)
    entries = [_row(page, report, row, columns, number_of[id(row)], verbose=verbose) for row in rows]
    return _Block(
        [*title, *long, *header], entries, fix_words.LEFT_OUT[group], short=[*title, *short, *header]
    )


def _remedy(page: _Page, one: Remedy) -> list[str]:
    told = Text(f"{fix_words.closes(one)}: ", style="bold").append(fix_words.told(one), style="not bold")
    found = page.hanging(Text(f"{one.number:>2}"), told, 4)
    if one.advice is None:
        return found
    return found + page.link(one.advice.link, 4 if cell_len(one.advice.link) + 4 <= page.width else 0)


def _remedy_in_short(page: _Page, one: Remedy) -> list[str]:
    told = Text(f"{one.number:>2}  ").append(f"{fix_words.closes(one)}: ", style="bold")
    told.append(fix_words.fix(one))
    told.truncate(page.width, overflow="ellipsis")
    return page.single(told)


def _links(page: _Page, found: Sequence[Remedy]) -> list[str]:
    """Each link once, after the numbers of the fixes that it explains."""
    numbers: dict[str, list[str]] = {}
    for one in found:
        if one.advice is not None:
            numbers.setdefault(one.advice.link, []).append(str(one.number))
    return [
        row for link, those in numbers.items() for row in page.link(link, 0, before=f"{','.join(those):<3} ")
    ]


def _row(
    page: _Page, report: Report, row: ToolRow, columns: Columns, fix: int | None = None, *, verbose: bool
) -> list[str]:
    found = page.single(columns.line(row, "" if fix is None else str(fix)))
    now = report.generated_at
    told = [words.why_now(row, now) or ""] if words.is_news(row) else []
    told += decision_words.decided(row, now)
    if verbose:
        return [*found, *page.paragraphs(fix_words.details(row, report.generated_at), 5, "dim")]
    return [*found, *page.paragraphs([" ".join(told)], 5, "dim")] if told else found


def _readable(page: _Page, report: Report) -> _Block:
    """Programs that could not be read, the most connections first, each with the line that repairs it."""
    entries = []
    for row in report.not_audited:
        told = [*page.hanging(Text(""), Text(recording_words.unreadable(row)), 2)]
        sentence, colon, command = recording_words.repair(row).rpartition(": ")
        if colon:  # a line to copy is never broken
            told += page.paragraphs([f"{sentence}:"], 5) + page.single(Text(" " * 7 + command.rstrip(".")))
        elif command:
            told += page.paragraphs([command], 5)
        entries.append(told)
    return _Block(page.paragraphs([words.READABLE], style="bold"), entries, "unreadable")


def _elsewhere(page: _Page, report: Report, *, verbose: bool) -> _Block | None:
    """What only Microsoft's lists or Entra's log show."""
    now = report.generated_at
    entries = []
    for one in microsoft_words.unseen(report):
        text = microsoft_words.application(one, now)
        entries.append(page.paragraphs([text], 2, "red" if one.failing else ""))
    for other in report.signed_in:
        text = cause_words.signed_in(other, now)
        entries.append(page.paragraphs([text], 2, "red" if other.failing else ""))
    further = [*microsoft_words.further(report)]
    if verbose and report.microsoft is not None:
        further += [microsoft_words.match(one) for one in report.microsoft.matches if one.disagree]
    entries += [page.paragraphs([text], 2) for text in further]
    if not entries:
        return None
    title = microsoft_words.title(report)
    return _Block(page.paragraphs([title], style="bold"), entries, "elsewhere")


def _help(page: _Page, report: Report) -> _Block:
    entries = []
    for attempt in help_words.tries(report):
        told = page.hanging(Text(" - "), Text(attempt.cause), 3)
        entries.append([*told, *page.paragraphs(filter(None, [attempt.command]), 5, "bold")])
    title = page.labelled("Looked at", Text(help_words.looked_at(report)))
    title += page.paragraphs(["Why that may be, and what to try"], style="bold")
    return _Block(title, entries, "to try")


def _notes(page: _Page, report: Report, *, verbose: bool) -> list[str]:
    """When the recorder was off, and what else is to be known of the whole report."""
    gaps, now = report.recording.gaps, report.generated_at
    found = []
    if gaps:
        # The longest tell most; they are shown in the order of time.
        longest = sorted(gaps, key=lambda row: row.start - row.end)[: len(gaps) if verbose else _MOST]
        told = [recording_words.gap(row, now) for row in sorted(longest, key=lambda row: row.start)]
        if len(gaps) > len(longest):
            told.append(f"and {count(len(gaps) - len(longest), 'shorter time')}")
        found += page.paragraphs([words.GAP], style="bold") + page.paragraphs(told, 1)
    return found + page.paragraphs(filter(None, (answer_words.tested(report), *answer_words.notes(report))))


def _fitting(page: _Page, blocks: Sequence[_Block], room: int) -> list[str]:
    """As many entries as fit into `room` lines, and one sentence that counts the others."""
    first = blocks[0] if blocks else None
    long = first is not None and page.rows(first.title) + min(len(first.entries), _ENOUGH) + 2 <= room
    shown: list[str] = []
    left: list[tuple[int, str]] = []
    for block in blocks:
        title = block.title if block is not first or long or not block.short else block.short
        # Two lines are kept for the sentence at the end.
        if left or page.rows([*shown, *title]) + 1 + 2 > room:
            left.append((len(block.entries), block.left_out))
            continue
        shown += title
        for number, entry in enumerate(block.entries):
            if page.rows([*shown, *entry]) + 2 > room:
                left.append((len(block.entries) - number, block.left_out))
                break
            shown += entry
    return shown + page.paragraphs([fix_words.left_out(left)], style="dim")

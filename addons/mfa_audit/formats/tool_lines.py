"""A line for each tool of a report, all in the same columns of one width."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from mfa_audit.formats import words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import line, moment
from mfa_audit.reports.fixes import is_blocked
from mfa_audit.reports.model import ToolRow

_COLOURS: Final = {
    Verdict.COMPLIANT: "green",
    Verdict.NON_COMPLIANT: "bold red",
    Verdict.EXEMPT: "green",
    Verdict.UNDETERMINED: "yellow",
}
_NUMBER: Final = 3  # the width of a fix's number
_LONGEST: Final = 48
# How narrow a column may become, and how many columns sooner than others it is cut.
_LEAST: Final = {"tool": 14, "account": 10, "user": 8, "machine": 4}
_SOONER: Final = {"account": 6, "user": 10}
# From here on there is room for one more column.
_WIDE: Final = 110
# Below that there is none for people.
_NARROW: Final = 72


def colour_of(row: ToolRow) -> str:
    """The style of a tool's name; it only repeats what words say."""
    return _COLOURS[row.verdict]


class Columns:
    """The widths of the columns for these tools on a screen of `width` columns; `now` is when the report was made."""

    def __init__(self, rows: Sequence[ToolRow], width: int, now: datetime) -> None:
        self._width = width
        self._now = now
        self._names = words.row_names(rows)
        titles = {"tool": "Tool", "machine": "Machine", "account": "Account", "user": "Signs in as"}
        self._titles = titles
        self._keys = self._chosen(rows)
        wanted = {
            key: max([cell_len(titles[key]), *(cell_len(self._cell(row, key)) for row in rows)])
            for key in self._keys
        }
        self._calls = max([5, *(len(f"{row.requests:,}") for row in rows)])
        self._last = max([9, *(len(moment(row.last_seen, now)) for row in rows)])
        state = max([5, *(len(words.state(row)) for row in rows)])
        for self._gap in (2, 1):
            fixed = _NUMBER + self._calls + self._last + state + self._gap * (len(self._keys) + 3)
            room = width - fixed
            if sum(wanted[key] for key in self._keys) <= room:
                break
        self._widths = _shrink({key: wanted[key] for key in self._keys}, room)

    def _chosen(self, rows: Sequence[ToolRow]) -> list[str]:
        """The columns: machine and account where they differ, who signs in where there is room."""
        found = ["tool"]
        if len({row.machine for row in rows}) > 1:
            found.append("machine")
        if self._width < _NARROW:
            return found
        if len({self._cell(row, "account") for row in rows}) > 1:
            found.append("account")
        if self._width >= _WIDE or "account" not in found:
            found.append("user")
        return found

    def header(self, fix: str) -> str:
        """The columns' titles."""
        gap = " " * self._gap
        cells = [self._titles[key].ljust(self._widths[key])[: self._widths[key]] for key in self._keys]
        text = gap.join(
            (fix.ljust(_NUMBER), *cells, "Calls".rjust(self._calls), "Last seen".ljust(self._last), "State")
        )
        return text[: self._width]

    def line(self, row: ToolRow, fix: str = "") -> Text:
        """One tool's line; `fix` is the number of its fix."""
        gap = " " * self._gap
        found = Text(f"{fix:>{_NUMBER - 1}} ")
        for key in self._keys:
            cell = Text(self._cell(row, key), style=colour_of(row) if key == "tool" else "")
            cell.truncate(self._widths[key], overflow="ellipsis", pad=True)
            found.append(gap).append_text(cell)
        found.append(gap + f"{row.requests:>{self._calls},}")
        found.append(gap + moment(row.last_seen, self._now).ljust(self._last))
        style = "bold white on red" if is_blocked(row) else colour_of(row)
        found.append(gap).append(words.state(row), style=style)
        found.truncate(self._width)
        return found

    def _cell(self, row: ToolRow, key: str) -> str:
        if key == "tool":
            return line(self._names(row), _LONGEST)
        if key == "machine":
            return line(row.machine, 30)
        if key == "user":
            return words.who(row)
        return line(row.account or "", 40) if row.capture is None else f"in {line(row.capture, 36)}"


def _shrink(widths: dict[str, int], room: int) -> dict[str, int]:
    """These widths, the widest cut first until they fit."""
    found = dict(widths)
    while sum(found.values()) > room:
        able = [key for key in found if found[key] > _LEAST[key]]
        if not able:
            break
        found[max(able, key=lambda key: found[key] + _SOONER.get(key, 0))] -= 1
    return found

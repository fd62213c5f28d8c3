"""Entra sign-in logs, in the five shapes in which a partner can save them: rows of one kind.

- Graph JSON: `auditLogs/signIns`, pages or arrays, and the portal's JSON download
  (https://learn.microsoft.com/graph/api/resources/signin);
- Log Analytics: `SigninLogs`, `AADNonInteractiveUserSignInLogs`, `AADServicePrincipalSignInLogs`
  (https://learn.microsoft.com/azure/azure-monitor/reference/tables/signinlogs);
- diagnostic settings: JSON lines or `{"records": [...]}`, with the row under `properties`;
- the portal's CSV download (https://learn.microsoft.com/entra/identity/monitoring-health/howto-download-logs).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.sign_in_columns import WANTED, SignIn, column, has_columns, read_row

_CONTAINERS: Final = ("value", "records", "items", "tables")
_MOST_COLUMNS: Final = 200
_DEEPEST: Final = 4


def looks_like_row(found: object, depth: int = 0) -> bool:
    """Whether a JSON object is a row of a sign-in log, a page of them, or holds one under `properties`."""
    if not isinstance(found, dict) or depth > _DEEPEST:
        return False
    names = {column(str(name)) for name in found}
    rows = next((found[name] for name in found if name.lower() in _CONTAINERS), None)
    if isinstance(rows, list) and rows:
        return looks_like_row(rows[0], depth + 1)
    if "properties" in names and isinstance(found.get("properties"), dict):
        return looks_like_row(found["properties"], depth + 1)
    return has_columns(names)


def looks_like_heading(line: str) -> bool:
    """Whether the first line of a CSV file is that of the portal's download or of a Log Analytics export."""
    try:
        names = {
            column(cell) for cell in next(csv.reader([line.lstrip("\ufeff")], delimiter=_delimiter(line)))
        }
    except (csv.Error, StopIteration):
        return False
    return has_columns(names)


def _delimiter(line: str) -> str:
    # Excel in many languages saves with semicolons.
    return max(",;\t", key=line.count)


def read_json(text: JsonText, remarks: Remarks) -> Iterator[SignIn]:
    """The rows of pages, arrays or JSON lines, to the end of the text; never raises on bad content."""
    counting = itertools.count(1)
    try:
        # A page holds its rows in one of its values and may be of any size; a line is small, and is read at once.
        lines = False
        while text.peek():
            if lines:
                yield from _read_values(_value(text, remarks), remarks, counting)
            elif text.peek() == "{":
                page = _Object(text, remarks, counting)
                yield from page
                lines = not page.held_rows
            else:
                yield from _read_array(text, remarks, counting)
            text.take(",")
    except CutOffError:
        remarks.cut_off("the rest of the file could not be read")


class _Object:
    """The object that begins here, column by column: rows in it as they come, else the one row that it is."""

    def __init__(self, text: JsonText, remarks: Remarks, counting: Iterator[int]) -> None:
        self._text, self._remarks, self._counting = text, remarks, counting
        self.held_rows = False

    def __iter__(self) -> Iterator[SignIn]:
        row: dict[str, Any] = {}
        for key in self._text.keys():  # noqa: SIM118  (not a dictionary)
            if key.lower() in _CONTAINERS and self._text.peek() == "[":
                self.held_rows = True
                yield from _read_array(self._text, self._remarks, self._counting)
                continue
            value = _value(self._text, self._remarks)
            if len(row) < _MOST_COLUMNS:
                row[column(key)] = value
        if not self.held_rows and row:
            yield from _read_values(row, self._remarks, self._counting)


def _read_array(
    text: JsonText, remarks: Remarks, counting: Iterator[int], depth: int = 0
) -> Iterator[SignIn]:
    if text.peek() != "[":
        _value(text, remarks)
        raise CutOffError
    for _ in text.items():
        if text.peek() == "[" and depth < _DEEPEST:
            yield from _read_array(text, remarks, counting, depth + 1)
        else:
            yield from _read_values(_value(text, remarks), remarks, counting)


def _value(text: JsonText, remarks: Remarks) -> Any:
    try:
        return text.value()
    except BrokenError as error:
        remarks.skip(str(error), "a row")
        return None


def _read_values(found: Any, remarks: Remarks, counting: Iterator[int], depth: int = 0) -> Iterator[SignIn]:
    """The row that an object is, or those of the page that it is."""
    if found is None:
        return
    if not isinstance(found, dict):
        remarks.skip("not a row of a sign-in log", f"row {next(counting)}")
        return
    for key, rows in found.items():
        if key.lower() in _CONTAINERS and isinstance(rows, list) and depth < _DEEPEST:
            for row in rows:
                yield from _read_values(row, remarks, counting, depth + 1)
            return
    row = {name: value for key, value in found.items() if (name := column(key)) in WANTED}
    read = read_row(row, remarks, f"row {next(counting)}")
    if read is not None:
        yield read


def read_csv(lines: Iterable[str], remarks: Remarks) -> Iterator[SignIn]:
    """The rows of a CSV text, whose first line is its heading; never raises on bad content."""
    stream = iter(lines)
    heading = next(stream, "").lstrip("\ufeff")
    delimiter = _delimiter(heading)
    names = [column(cell) for cell in next(csv.reader([heading], delimiter=delimiter), [])]
    reader = csv.reader((line.replace("\x00", "") for line in stream), delimiter=delimiter)
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            remarks.skip("not a line of CSV", f"line {number}")
            continue
        if not any(cells):
            continue
        # Of two columns with one name (the portal has some twice), the first that is filled counts.
        row: dict[str, Any] = {}
        for name, cell in zip(names, cells, strict=False):
            if name in WANTED and cell.strip() and name not in row:
                row[name] = cell
        found = read_row(row, remarks, f"line {number}")
        if found is not None:
            yield found

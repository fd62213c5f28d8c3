"""Finding the row that a person means by a name; a wrong name gets suggestions. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from mfa_audit.errors import AuditError
from mfa_audit.printable import line
from mfa_audit.reports.model import Report, ToolRow

_MOST = 5


def find_rows(report: Report, name: str) -> list[ToolRow]:
    """The rows that a key, title, program, name or app id means, in any letters' case; else those whose title holds it.

    Raises AuditError where none does, with the likeliest, and where a part of a title fits several.
    """
    rows = [*report.tools, *report.quiet, *report.retired]
    wanted = name.strip().lower()
    for exact in ((lambda row: (row.key,)), (lambda row: (row.title,)), _names):
        found = [row for row in rows if wanted in (one.lower() for one in exact(row) if one)]
        if found:
            return found
    found = [row for row in rows if wanted and wanted in row.title.lower()]
    if len(found) == 1:
        return found
    shown = line(name, 60)
    if found:
        raise AuditError(f"several tools have {shown} in their names: {_list(found)}.")
    if not rows:
        raise AuditError("there is no tool in this period; --since all looks at everything.")
    known = {one.lower(): row for row in rows for one in (row.title, *_names(row)) if one}
    close = difflib.get_close_matches(wanted, known, n=_MOST, cutoff=0.5)
    likely = list({known[one].key: known[one] for one in close}.values())
    raise AuditError(
        f"there is no tool {shown}. "
        + (f"Did you mean {_list(likely)}?" if likely else f"There are {_list(rows)}.")
    )


def find_row(report: Report, name: str) -> ToolRow:
    """The one row that is meant. Raises AuditError where several are."""
    found = find_rows(report, name)
    if len(found) > 1:
        raise AuditError(f"{line(name, 60)} is several rows; name one by its key: {_list(found)}.")
    return found[0]


def _names(row: ToolRow) -> tuple[str, ...]:
    called = row.decided.called if row.decided else ""
    return (row.name, called, row.program or "", row.app_id or "", *row.programs)


def _list(rows: Sequence[ToolRow]) -> str:
    more = f" and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    return ", ".join(f"{line(row.title, 80)} ({row.key})" for row in rows[:_MOST]) + more

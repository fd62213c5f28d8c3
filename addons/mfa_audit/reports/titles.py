"""What tells rows of equal titles apart. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mfa_audit.reports.model import ToolRow


def tell_apart(rows: Sequence[ToolRow]) -> list[ToolRow]:
    """The rows, those of equal titles with what tells them apart: the machine, account, starter, app id, product."""
    titles = Counter(row.title for row in rows)
    several = {title for title, count in titles.items() if count > 1}
    found = []
    for row in rows:
        if row.title in several:
            same = [other for other in rows if other.title == row.title]
            parts = [
                str(read(row))
                for read in _APART
                if len({read(other) for other in same}) > 1 and read(row) is not None
            ]
            found.append(replace(row, apart=", ".join(parts)))
        else:
            found.append(row)
    return _number(found)


_APART: Final[tuple[Callable[[ToolRow], str | None], ...]] = (
    lambda row: row.machine or None,
    lambda row: None if row.capture is None else f"from {row.capture}",
    lambda row: row.account,
    lambda row: None if row.started_by is None else f"started by {row.started_by}",
    lambda row: row.app_id,
    lambda row: row.client,
    lambda row: row.user_agents[0] if len(row.user_agents) == 1 else None,
)


def _number(rows: Sequence[ToolRow]) -> list[ToolRow]:
    """What still has one title is numbered."""
    titles = Counter(row.title for row in rows)
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row.title] += 1
        if titles[row.title] > 1:
            number = f"no. {seen[row.title]}"
            found.append(replace(row, apart=f"{row.apart}, {number}" if row.apart else number))
        else:
            found.append(row)
    return found

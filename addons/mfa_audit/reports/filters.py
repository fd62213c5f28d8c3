"""Filters of a report: they choose which rows are listed, and never what is judged or answered. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.model import Report, ToolRow


@dataclass(frozen=True, slots=True)
class Filters:
    """What a row must have to be listed: one of each kind that is given.

    Texts in any letters' case; `*` and `?` stand for any text. `tools`: a row's title, key or app id; without a
    wildcard a part of it will do.
    """

    tools: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    def take(self, row: ToolRow) -> bool:
        """Whether the row is listed."""
        titles = [one if set(one) & set("*?") else f"*{one}*" for one in self.tools]
        return (
            _any(titles, (row.title, row.key, row.app_id or ""))
            and _any(self.machines, (row.machine,))
            and _any(self.users, [user.name for user in row.users])
            and _any(self.tenants, row.tenants)
            and (not self.verdicts or row.verdict in self.verdicts)
        )


def choose(report: Report, filters: Filters) -> Report:
    """The report that lists only what the filters take."""
    if filters == Filters():
        return report
    return replace(
        report,
        tools=_taken(report.tools, filters),
        quiet=_taken(report.quiet, filters),
        retired=_taken(report.retired, filters),
        unfiltered=report,
    )


def _taken(rows: Iterable[ToolRow], filters: Filters) -> tuple[ToolRow, ...]:
    return tuple(row for row in rows if filters.take(row))


def _any(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return not patterns or any(
        fnmatch.fnmatchcase(value.lower(), pattern.lower().replace("[", "[[]"))
        for pattern in patterns
        for value in values
    )

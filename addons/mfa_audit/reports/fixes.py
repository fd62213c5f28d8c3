"""What to do about the rows of a report: groups of them, and one remedy for all that the same change fixes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mfa_audit.judging.reasons import Advice, Verdict
from mfa_audit.reports.model import ToolRow


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do, and the rows that it fixes, worst first; `advice` None: only a newer version knows it.

    `number` is the one that a report shows it under. `side_effect`: what else the fix changes, where that is known.
    """

    number: int
    advice: Advice | None
    side_effect: str | None
    rows: tuple[ToolRow, ...]

    @property
    def blocked(self) -> int:
        """How many of its rows Partner Center refuses now."""
        return sum(is_blocked(row) for row in self.rows)

    @property
    def requests(self) -> int:
        """How many calls its rows made."""
        return sum(row.requests for row in self.rows)


def is_blocked(row: ToolRow) -> bool:
    """Whether the server refuses this tool now: it was refused because MFA was missing and is not fixed since."""
    return row.counts.blocked > 0 and row.verdict is Verdict.NON_COMPLIANT


def remedies(rows: Iterable[ToolRow], first: int = 1) -> tuple[Remedy, ...]:
    """What fixes these rows: those with the most blocked tools first, then with the most tools, then by calls.

    Numbered from `first` on.
    """
    groups: dict[Advice | None, list[ToolRow]] = {}
    for row in rows:
        groups.setdefault(row.advice, []).append(row)
    found = [Remedy(0, advice, _side_effect(same), tuple(same)) for advice, same in groups.items()]
    found.sort(key=lambda one: (-one.blocked, -len(one.rows), -one.requests))
    return tuple(
        Remedy(number, one.advice, one.side_effect, one.rows) for number, one in enumerate(found, first)
    )


def _side_effect(rows: Sequence[ToolRow]) -> str | None:
    """That of the cause which Entra's log proves, where the advice is that cause's."""
    causes = (row.causes[0].row for row in rows if row.causes and row.causes[0].row.advice == row.advice)
    return next((cause.side_effect for cause in causes if cause.side_effect), None)


class Group(StrEnum):
    """What is to be done about a row, in the order in which reports show it."""

    FIX_FIRST = "fix-first"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    CANNOT_TELL = "cannot-tell"
    NOTHING = "nothing-to-do"


def group_of(row: ToolRow) -> Group:
    """The group that a row belongs to."""
    if row.verdict is not Verdict.COMPLIANT and row.decided is not None and row.decided.accepted:
        return Group.ACCEPTED
    if row.verdict is Verdict.NON_COMPLIANT:
        return Group.FIX_FIRST
    if row.verdict is Verdict.UNDETERMINED:
        waiting = row.why is not None and row.why.kind in ("waiting", "captured")
        return Group.WAITING if waiting else Group.CANNOT_TELL
    return Group.NOTHING


def by_group(rows: Iterable[ToolRow]) -> dict[Group, list[ToolRow]]:
    """The rows of each group, in their order."""
    found: dict[Group, list[ToolRow]] = {group: [] for group in Group}
    for row in rows:
        found[group_of(row)].append(row)
    return found

"""What the calls of each day were: with MFA, without, refused or unknown. For people to look at; no verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from mfa_audit.judging.evidence import Stretch
from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.model import DayParts
from mfa_audit.store.ledger import Ledger, Party, Use


class Group(Protocol):
    """A row's calls: its parties, what they did in the period, and how many calls on each local day (ISO date)."""

    @property
    def parties(self) -> Iterable[Party]: ...
    @property
    def listed(self) -> Sequence[Use]: ...
    @property
    def days(self) -> Mapping[str, int]: ...


def parts_of(stretch: Stretch) -> DayParts:
    """What one token's calls were, by the server's refusals first, then by the token, then by the server's word."""
    counts = stretch.counts
    refused = min(counts.blocked + counts.blocked_by_test, counts.calls)
    rest = counts.calls - refused
    if stretch.verdict is Verdict.NON_COMPLIANT:
        return DayParts(without_mfa=rest, refused=refused)
    if stretch.verdict in (Verdict.COMPLIANT, Verdict.EXEMPT):
        return DayParts(with_mfa=rest, refused=refused)
    good = min(counts.server_compliant, rest)
    bad = min(counts.server_non_compliant, rest - good)
    return DayParts(good, bad, refused, rest - good - bad)


def is_mixed(uses: Iterable[Use]) -> bool:
    """Whether these calls were of several sorts, so that only their times tell which sort a day's were."""
    return sum(map(bool, _sum(parts_of(use.stretch) for use in uses))) > 1


def split_days(group: Group, ledger: Ledger) -> tuple[DayParts, ...]:
    """The parts of each of the row's days, in order; they add up to the day's calls."""
    by_day: dict[str, list[DayParts]] = {}
    for party in group.parties:
        for _, stretch in ledger.times.get(party, ()):
            if ledger.start is None or stretch.last >= ledger.start:
                day = datetime.fromtimestamp(stretch.first, UTC).astimezone().date().isoformat()
                by_day.setdefault(day, []).append(parts_of(stretch))
    whole = _sum(parts_of(use.stretch) for use in group.listed)
    return tuple(
        _fill(_sum(by_day[day]) if day in by_day else whole, calls)
        for day, calls in sorted(group.days.items())
    )


def _sum(parts: Iterable[DayParts]) -> DayParts:
    return DayParts(*map(sum, zip(*parts, strict=True))) if (parts := list(parts)) else DayParts()


def _fill(parts: DayParts, calls: int) -> DayParts:
    """The parts for this many calls: the first hour of a period may be in it in part only."""
    most = max(range(len(parts)), key=lambda place: parts[place])
    others = [min(part, calls) if place != most else 0 for place, part in enumerate(parts)]
    if parts[most] == sum(parts):
        others = [0] * len(parts)
    others[most] = max(calls - sum(others), 0)
    return DayParts(*others)

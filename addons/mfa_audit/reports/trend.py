"""How many tools called without MFA, week by week. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from mfa_audit.judging.evidence import Credential, RowFacts, Stretch
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.standings import weigh
from mfa_audit.reports.decided import Week
from mfa_audit.reports.tool_rows import Grouping, Identity
from mfa_audit.store.ledger import WeekUse

_FIRST_MONDAY: Final = date(1969, 12, 29)


def count_by_week(uses: Iterable[WeekUse], grouping: Grouping) -> tuple[Week, ...]:
    """A Week for each local week with calls, in order; nothing is forgiven for a later week."""
    weeks: dict[int, dict[Identity, list[Stretch]]] = {}
    for use in uses:
        rows = weeks.setdefault(use.week, {})
        rows.setdefault(grouping.group(use.party).identity, []).append(use.stretch)
    return tuple(_week(number, rows) for number, rows in sorted(weeks.items()))


def _week(number: int, rows: dict[Identity, list[Stretch]]) -> Week:
    verdicts: Counter[Verdict] = Counter()
    blocked = 0
    for identity, stretches in rows.items():
        facts = RowFacts({Credential(): stretches}, specific=identity.tool is None)
        verdicts[weigh(facts, (), 0.0, strict=True).verdict] += 1
        blocked += any(one.counts.blocked for one in stretches)
    return Week(
        _FIRST_MONDAY + timedelta(weeks=number),
        len(rows),
        verdicts[Verdict.NON_COMPLIANT],
        blocked,
        verdicts[Verdict.UNDETERMINED],
    )

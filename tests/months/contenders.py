"""The rules that are measured: the one in use, the one that the project had first, and the steps between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mfa_audit.judging.standings import weigh
from months.designed_rule import judge_designed
from months.older_rules import judge_none_before, judge_per_credential, judge_today
from months.rows import Contender, Row, row_now, row_today


def judge_present(row: Row, now: float) -> str:
    """The verdict by `judging/standings.py`, and for "cannot tell" its cause."""
    standing = weigh(row.facts(now), row.watched(now), now)
    verdict = str(standing.verdict)
    if verdict != "undetermined":
        return verdict
    return f"{verdict}: {standing.why.kind if standing.why else standing.reasons[0]}"


CONTENDERS: Final[Mapping[str, Contender]] = {
    "first": Contender("first", row_today, judge_today),
    "two good tokens": Contender("two good tokens", row_now, judge_none_before),
    "per credential": Contender("per credential", row_now, judge_per_credential),
    "designed": Contender("designed", row_now, judge_designed),
    "present": Contender("present", row_now, judge_present),
}
PRESENT: Final = CONTENDERS["present"]

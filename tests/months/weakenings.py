"""The rule with one of its lines made weaker, each in its turn: the laboratory must find what that lets through."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final
from unittest.mock import patch

from mfa_audit.judging import proofs
from mfa_audit.judging.evidence import Credential, RowFacts, Watched
from mfa_audit.judging.fix_rule import RULE, Rule
from mfa_audit.judging.standings import weigh
from months.partners import Call
from months.rows import Contender, Row, row_now

ALWAYS: Final = (Watched(float("-inf"), float("inf")),)


def _as_it_is(facts: RowFacts) -> RowFacts:
    return facts


@dataclass(frozen=True, slots=True)
class Weakening:
    """What is weaker: the rule's numbers and conditions, a row of its table of bad evidence, or what it knows."""

    rule: Rule = RULE
    without_bad: str | None = None
    facts: Callable[[RowFacts], RowFacts] = _as_it_is
    row: Callable[[Call], Hashable] = row_now
    always_watched: bool = False

    def contender(self, name: str) -> Contender:
        """The weaker rule, to be measured."""

        def judge(row: Row, now: float) -> str:
            watched = ALWAYS if self.always_watched else row.watched(now)
            return str(weigh(self.facts(row.facts(now)), watched, now, rule=self.rule).verdict)

        return Contender(name, self.row, judge)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The time in which a row of the table of bad evidence is missing."""
        if self.without_bad is None:
            yield
            return
        rows = tuple(row for row in proofs.BAD_LINES if (row[1] or "token") != self.without_bad)
        assert len(rows) == len(proofs.BAD_LINES) - 1
        proofs.prove.cache_clear()
        with patch.object(proofs, "BAD_LINES", rows):
            yield
        proofs.prove.cache_clear()


def _one_credential(facts: RowFacts) -> RowFacts:
    everything = sorted(
        (one for stretches in facts.evidence.values() for one in stretches), key=lambda one: one.first
    )
    return replace(facts, evidence={Credential(): everything})


def _accepted_only(facts: RowFacts) -> RowFacts:
    """Bad tokens count only where Partner Center took them, as good ones do."""
    return replace(
        facts,
        evidence={
            credential: [one for one in stretches if one.counts.accepted or one.counts.blocked]
            for credential, stretches in facts.evidence.items()
        },
    )


def _by_tool(call: Call) -> Hashable:
    """Over all machines."""
    return row_now(call._replace(place=call.place._replace(machine="any", account="any")))


def _without_starter(call: Call) -> Hashable:
    """Runs by hand and by schedule in one row."""
    return row_now(call._replace(place=call.place._replace(account="any", started_by="cron")))


def _without(line: str, number: int) -> Rule:
    """The rule without one of the conditions of a line."""
    conditions = getattr(RULE, line)
    return replace(RULE, **{line: conditions[:number] + conditions[number + 1 :]})


WEAKENINGS: Final[Mapping[str, Weakening]] = {
    "one good token suffices": Weakening(replace(RULE, lasting=0.0)),
    "20 days are the longest wait": Weakening(replace(RULE, longest_wait=20.0)),
    "one bad day makes a rhythm": Weakening(replace(RULE, fewest_bad_days=1, shortest_span=0)),
    "three bad days in a row make a rhythm": Weakening(replace(RULE, shortest_span=0)),
    "no longer than the longest pause": Weakening(replace(RULE, margin=0.0)),
    "good calls at any hour": Weakening(replace(RULE, days_in_hour=0)),
    "a silent program is fixed": Weakening(replace(RULE, alive=False)),
    "what may be several jobs has a rhythm": Weakening(_without("by_rhythm", 0)),
    "a rhythm without hours": Weakening(_without("by_rhythm", 1)),
    "credentials side by side succeed each other": Weakening(replace(RULE, one_at_a_time=False)),
    "any program is started by something known": Weakening(_without("by_schedule", 0)),
    "good calls between bad ones": Weakening(_without("by_schedule", 1)),
    "a schedule without hours": Weakening(_without("by_schedule", 2)),
    "one bad call is a habit": Weakening(_without("by_schedule", 3)),
    "before the next bad call is due": Weakening(_without("by_schedule", 4)),
    "people at a terminal are schedules": Weakening(
        facts=lambda facts: replace(facts, starter_known=facts.specific)
    ),
    "one credential for all": Weakening(facts=_one_credential),
    "bad tokens need to be accepted": Weakening(facts=_accepted_only),
    "machines are one": Weakening(row=_by_tool),
    "by hand and by schedule are one": Weakening(row=_without_starter),
    "all time is watched": Weakening(always_watched=True),
    "a capture shows that something is fixed": Weakening(facts=lambda facts: replace(facts, captured=False)),
    "refusals are nothing": Weakening(without_bad="blocked"),
    "refusals by test are nothing": Weakening(without_bad="blocked-by-test"),
    "Partner Center's no is nothing": Weakening(without_bad="server-says-no"),
    "Microsoft's no is nothing": Weakening(without_bad="microsoft-says-no"),
    "tokens without MFA are nothing": Weakening(without_bad="token"),
}

"""What one Stretch proves: bad, good, exempt, unknown or nothing, by two tables whose order is their meaning.

Bad evidence needs no acceptance, since nobody forges a token that lacks MFA; good evidence does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from mfa_audit.judging.evidence import Stretch
from mfa_audit.judging.reasons import DECIDED_BY_SERVER, NOT_TOLD_APART, Verdict, verdict_of


class Looks(NamedTuple):
    """All that the tables below look at, so that like Stretches are looked at once."""

    reason: str
    accepted: bool
    blocked: bool
    tested: bool
    no: bool
    microsoft_no: bool
    yes: bool
    microsoft_yes: bool
    unexpired: bool
    unanswered: bool  # all of them
    refused: bool
    unsaid: bool  # Partner Center took a call of which neither it nor Microsoft said anything


class Kind(StrEnum):
    """What a Stretch proves."""

    BAD = "bad"
    UNKNOWN = "unknown"
    GOOD = "good"
    EXEMPT = "exempt"
    NOTHING = "nothing"


# Bad evidence, and its reason; None: the token's own. Any row suffices. It needs no acceptance: nobody forges a
# token that lacks MFA, and a refusal is the server's own word.
BAD_LINES: Final[tuple[tuple[Callable[[Looks], bool], str | None], ...]] = (
    (lambda one: one.blocked, "blocked"),
    (lambda one: one.tested, "blocked-by-test"),
    (lambda one: one.no, "server-says-no"),
    (lambda one: one.microsoft_no, "microsoft-says-no"),
    # An expired token may be one that nothing uses any more; but not where Partner Center took it all the same.
    (lambda one: _says(one, Verdict.NON_COMPLIANT) and (one.unexpired or one.accepted), None),
)
# What else a Stretch proves; the first row that applies decides. (holds, kind, reason beside the token's own)
ELSE_LINES: Final[tuple[tuple[Callable[[Looks], bool], Kind, str | None], ...]] = (
    # Microsoft's word, and the server's, decide where the token cannot be judged. Both are of an answered call.
    (lambda one: one.microsoft_yes and _is_said(one), Kind.GOOD, "microsoft-says-yes"),
    (lambda one: one.yes and one.accepted and _is_said(one), Kind.GOOD, "server-says-yes"),
    (lambda one: one.accepted and _says(one, Verdict.COMPLIANT), Kind.GOOD, None),
    (lambda one: one.accepted and _says(one, Verdict.EXEMPT), Kind.EXEMPT, None),
    (lambda one: one.accepted and one.yes, Kind.UNKNOWN, "server-says-yes"),
    (lambda one: one.accepted, Kind.UNKNOWN, None),
    # Nobody took it. Why not is said, so that advice never blames a token that was not looked at.
    (lambda one: one.unanswered, Kind.NOTHING, "not-reached"),
    (lambda one: not one.unexpired, Kind.NOTHING, "expired"),
    # Of a token that shows nothing, the unknown cause may be MFA.
    (lambda one: one.refused and _undecided(one), Kind.UNKNOWN, "refused-unknown"),
    (lambda one: one.refused, Kind.NOTHING, "refused-unknown"),
    (lambda one: True, Kind.NOTHING, "never-accepted"),
)
FINE: Final = frozenset({Kind.GOOD, Kind.EXEMPT})


def _says(one: Looks, verdict: Verdict) -> bool:
    return verdict_of(one.reason) is verdict


def _undecided(one: Looks) -> bool:
    return one.reason in DECIDED_BY_SERVER


def _is_said(one: Looks) -> bool:
    """Whether the word on some of these calls is one on all of them."""
    return _undecided(one) and not (one.unsaid and one.reason in NOT_TOLD_APART)


@lru_cache(maxsize=4096)
def prove(one: Looks) -> tuple[Kind, frozenset[str]]:
    """What such a Stretch proves, and the reasons to tell."""
    bad = {name or one.reason for holds, name in BAD_LINES if holds(one)}
    if bad:
        own = {one.reason} if _says(one, Verdict.NON_COMPLIANT) or one.no or one.microsoft_no else set()
        return Kind.BAD, frozenset(bad | own | ({"server-says-yes"} if one.yes else set()))
    kind, name = next((kind, name) for holds, kind, name in ELSE_LINES if holds(one))
    return kind, frozenset({one.reason} if name is None else {one.reason, name})


def look(one: Stretch) -> tuple[Kind, frozenset[str]]:
    """What this Stretch proves, and the reasons to tell."""
    counts = one.counts
    return prove(
        Looks(
            one.reason,
            counts.accepted > 0,
            counts.blocked > 0,
            counts.blocked_by_test > 0,
            counts.server_non_compliant > 0,
            counts.microsoft_non_compliant > 0,
            counts.server_compliant > 0,
            counts.microsoft_compliant > 0,
            counts.calls > counts.expired,
            counts.unanswered >= counts.calls,
            counts.refused > 0,
            counts.accepted > counts.server_compliant + counts.microsoft_compliant,
        )
    )


def depends_on_times(evidence: Iterable[Stretch]) -> bool:
    """Whether the verdict on a row with this evidence needs its Stretches token by token and hour by hour.

    It does where bad evidence stands beside other, and where refusals of unknown cause stand beside acceptance.
    """
    kinds = set()
    refused = False
    for one in evidence:
        kinds.add(look(one)[0])
        refused = refused or one.counts.refused > 0
    fine = bool(kinds - {Kind.BAD, Kind.NOTHING})
    return fine and (Kind.BAD in kinds or refused)


class Proof(NamedTuple):
    """A Stretch, what it proves, and why."""

    stretch: Stretch
    kind: Kind
    reasons: frozenset[str]

"""What is known of one row of the report, as the store hands it over: facts, and no opinion.

`proofs` says what each Stretch proves, `fix_rule` when a fix is confirmed, and `standings` weighs them into a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mfa_audit.judging.counts import Counts
from mfa_audit.judging.reasons import Verdict, verdict_of


class Credential(NamedTuple):
    """What a job signs in with: its app id, and the user behind the token (None: an app's own token, or unreadable).

    `person` is the user's object id, or the name where there is none. User-Agents are no part of it: they change
    with every update and prove nothing.
    """

    app_id: str | None = None
    tenant: str | None = None
    person: str | None = None


class Stretch(NamedTuple):
    """What one token did: a run of calls of one credential, in one row of the report.

    Times in seconds since 1970 (UTC). `issued` is when the token was issued, else when it was first seen at all.
    `reason` is the token's own (an id in REASONS), and says its verdict. In a row whose verdict depends on times
    (`depends_on_times`), a Stretch is of one token and lies within one whole hour. In any other it may stand for
    many tokens of one kind over any time: `tokens` of them, issued from `issued` to `issued_last`.
    """

    reason: str
    issued: float
    first: float
    last: float
    counts: Counts
    tokens: int = 1
    issued_last: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What the token says by itself."""
        return verdict_of(self.reason)


@dataclass(frozen=True, slots=True)
class RowFacts:
    """All that is known of one row of the report: what each credential did, ever.

    `starter_known`: it is one known program, and a scheduler or a service starts it (a scheduled task, cron, a unit):
    runs by hand are rows of their own, and are none of these. `specific`: it is one known program, not what may be
    several jobs. `captured`: it comes from a capture, which watches nothing.
    """

    evidence: Mapping[Credential, Sequence[Stretch]]
    starter_known: bool = False
    specific: bool = False
    captured: bool = False


class Watched(NamedTuple):
    """A time in which the row's recorder ran and kept up, in seconds since 1970 (UTC)."""

    start: float
    end: float


class Why(NamedTuple):
    """The dates behind a standing, for one sentence.

    `kind`: failing, waiting, side-by-side, captured or fixed. `first_bad` and `last_bad` are calls without MFA;
    `good_since` the first good call after the last of them, `good_tokens` how many good tokens since.
    `until`: what waiting ends at, or what fixed was confirmed at. Seconds since 1970 (UTC).
    """

    kind: str
    first_bad: float
    last_bad: float
    bad_calls: int
    good_since: float | None = None
    good_tokens: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict on one row of the report, or on one credential in it; reasons most telling first.

    `side_by_side`: calls with MFA came between calls without it: probably two jobs. `waiting_until` is the earliest
    moment (seconds since 1970) at which the row can turn compliant by itself, if nothing bad comes.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    why: Why | None = None
    side_by_side: bool = False
    waiting_until: float | None = None
    credentials: Mapping[Credential, Standing] = field(default_factory=dict)

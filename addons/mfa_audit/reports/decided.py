"""What people's decisions, an earlier report and the weeks add to a report: its further values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mfa_audit.judging.reasons import Verdict


class Fix(StrEnum):
    """What a decision `fixed = DATE` comes to today; only `CONFIRMED` takes the evidence before it away."""

    CONFIRMED = "confirmed"  # a good token since, and no bad call
    UNPROVEN = "unproven"  # no good token since
    SIDE_BY_SIDE = "side-by-side"  # good calls came between bad ones, and the next bad one is not due yet
    CONTRADICTED = "contradicted"  # a call without MFA since
    AHEAD = "ahead"  # the date is to come


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the file about a row: which keys it sets, and who decided it when."""

    number: int
    says: tuple[str, ...]
    by: str | None
    at: date | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about one row, and what that comes to today.

    Days are of the reader's zone. `called` is the tool's name without the decision's. `accepted`: the acceptance is in
    force; the row counts all the same. `last_bad` contradicts `fixed`; `called_again` ended `retired`.
    """

    called: str
    entries: tuple[Entry, ...]
    owner: str | None = None
    ticket: str | None = None
    due: date | None = None
    overdue: bool = False
    accepted: bool = False
    accepted_until: date | None = None
    reason: str | None = None
    fixed: date | None = None
    fix: Fix | None = None
    good_tokens: int = 0
    last_bad: datetime | None = None
    retired: date | None = None
    is_retired: bool = False
    called_again: datetime | None = None
    expect: str | None = None

    def who(self, key: str) -> Entry | None:
        """The entry that decides about this key."""
        return next((entry for entry in reversed(self.entries) if key in entry.says), None)


@dataclass(frozen=True, slots=True)
class Expected:
    """A tool that calls `rhythm` by a decision; `seen`: within that rhythm before the report's end."""

    title: str
    rhythm: str
    last_seen: datetime | None
    seen: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about an entry that its author should know; `kind` has its sentence in `formats/decision_words`."""

    kind: str
    entry: str
    at: date | None = None
    row: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionsRead:
    """The decisions that a report followed: `rows` of it are as they are because of the file, or name it.

    `problem`: why the file was not read at all, one sentence; then there is no `sha256`.
    """

    source: str
    sha256: str | None
    entries: int
    rows: int
    expected: tuple[Expected, ...]
    remarks: tuple[Remark, ...]
    problem: str | None = None

    @property
    def missing(self) -> tuple[Expected, ...]:
        """The expected tools that were not seen."""
        return tuple(one for one in self.expected if not one.seen)


@dataclass(frozen=True, slots=True)
class Week:
    """What the tools did from one Monday to the next (local days), by the calls of that week alone.

    A week without calls has none.

    `failing` of the `tools` called without MFA, `blocked` of those were refused for it, `unclear` cannot be told.
    """

    monday: date
    tools: int
    failing: int
    blocked: int
    unclear: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is not what it was; `before` None: it was not there."""

    key: str
    title: str
    verdict: Verdict | None
    before: Verdict | None
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed since an earlier report, made at `at`; `source` names it.

    `new` are without MFA now and were not, `waiting` were and cannot be told yet, `quiet` called in a time as long as
    that since the earlier report before it, and not since. `decided`: entries of the decisions made since.
    """

    at: datetime
    source: str
    new: tuple[Change, ...]
    fixed: tuple[Change, ...]
    waiting: tuple[Change, ...]
    newly_blocked: tuple[Change, ...]
    quiet: tuple[Change, ...]
    decided: tuple[str, ...]

"""Now and before: from all that one program of a tool did to its verdict today."""

from __future__ import annotations

from dataclasses import dataclass

from mfa_audit.judging.tokens import User
from mfa_audit.judging.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Use:
    """What one or more tokens of the same kind did for one client and program in the period.

    All `tokens` of a Use share verdict, reason and whether the server accepted, blocked or judged them.
    Where a program used both tokens with and without MFA, each token has a Use of its own. Times in seconds
    since 1970 (UTC); `issued` falls back to `first` where a token names none: (earliest, latest) of the
    tokens.
    """

    verdict: Verdict
    reason: str
    user: User | None
    tokens: int
    issued: tuple[float, float]
    first: float
    last: float
    requests: int
    accepted: int
    blocked: int
    blocked_by_test: int
    expired: int
    server_compliant: int
    server_non_compliant: int
    imported: bool


@dataclass(frozen=True, slots=True)
class Previously:
    """What a tool was before it was mended: its verdict, until when, and how many calls."""

    verdict: Verdict
    until: float
    requests: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict on one program of a tool: worst user first, reasons most telling first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    previously: Previously | None
    recently_changed_since: float | None = None

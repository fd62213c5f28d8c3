"""Now and before: from all that one program of a tool did to its verdict today.

Each user of a program is looked at alone, and the worst user is the program's verdict. What a token did (a
Use) is weighed first. The first line that applies decides:

    Partner Center refused a call for want of MFA        bad      blocked
    it refused one that mfa-audit asked it to test       bad      blocked-by-test
    it answered isMfaCompliant: false                    bad      server-says-no
    it never accepted the token (401, 5xx, no answer)    nothing  never-accepted
    it answered isMfaCompliant: true, token unreadable   good     server-says-yes
    anything else                                        as the token's own verdict and reason say

Then all Uses of one user together. The first line that applies decides:

    a bad one; two good tokens issued >= 24 h apart,     mended: the rest decides, and `previously`
      both after the last bad call                         says what was
    a bad one; a good token after the last bad call      undetermined, recently-changed
    a bad one                                            non-compliant
    one that cannot be told                              undetermined
    a good one                                           compliant
    an exempt one                                        exempt
    only ones that prove nothing                         undetermined, never-accepted

"After" compares the moment a token was issued (else first seen) with the last call of a bad one: a good
token that is older than that call stands beside the bad one and does not replace it. A refresh token may be
kept for months, so one good token does not show that the stored one was replaced; two with a day between
them do. Good evidence of imported captures never mends a tool that was recorded live. With `strict` nothing
mends: any bad call in the period makes the tool non-compliant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mfa_audit.judging.reasons import DECIDED_BY_SERVER as UNREADABLE
from mfa_audit.judging.reasons import Verdict, order
from mfa_audit.judging.tokens import User

# Seconds between the issue of two good tokens that show a lasting change.
LASTING: Final = 24 * 3600.0

# Worst first.
_WORST: Final = (Verdict.NON_COMPLIANT, Verdict.UNDETERMINED, Verdict.COMPLIANT, Verdict.EXEMPT)


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


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A Use and what it counts as; `verdict` None: it proves nothing."""

    use: Use
    verdict: Verdict | None
    reasons: frozenset[str]


def _weigh(use: Use) -> _Weighed:
    said = {"server-says-yes"} if use.server_compliant else set()
    if use.blocked:
        own = {use.reason} if use.verdict is Verdict.NON_COMPLIANT else set()
        denied = {"server-says-no"} if use.server_non_compliant else set()
        return _Weighed(use, Verdict.NON_COMPLIANT, frozenset({"blocked"} | own | denied | said))
    if use.blocked_by_test:
        own = {use.reason} if use.verdict is Verdict.NON_COMPLIANT else set()
        return _Weighed(use, Verdict.NON_COMPLIANT, frozenset({"blocked-by-test"} | own))
    if use.server_non_compliant:
        return _Weighed(use, Verdict.NON_COMPLIANT, frozenset({"server-says-no", use.reason} | said))
    if not use.accepted:
        return _Weighed(use, None, frozenset({"never-accepted", use.reason}))
    if use.server_compliant and use.reason in UNREADABLE:
        return _Weighed(use, Verdict.COMPLIANT, frozenset({"server-says-yes", use.reason}))
    # A "yes" beside an `amr` that lacks mfa, or beside a token that cannot be judged: both are shown.
    also = said if use.verdict in (Verdict.NON_COMPLIANT, Verdict.UNDETERMINED) else set()
    return _Weighed(use, use.verdict, frozenset({use.reason} | also))


def stand(uses: Iterable[Use], *, strict: bool = False) -> Standing:
    """The verdict on one user of one program of a tool, by the tables above; no Uses are undetermined,
    without reason."""
    weighed = [_weigh(use) for use in uses]
    bad = [one for one in weighed if one.verdict is Verdict.NON_COMPLIANT]
    if not bad:
        return _combine(weighed)
    previously = Previously(
        Verdict.NON_COMPLIANT, max(one.use.last for one in bad), sum(one.use.requests for one in bad)
    )
    live = any(not one.use.imported for one in weighed)
    good = [
        issued
        for one in weighed
        if one.verdict is Verdict.COMPLIANT and not (live and one.use.imported)
        for issued in one.use.issued
        if issued > previously.until
    ]
    if strict or not good:
        return Standing(Verdict.NON_COMPLIANT, _reasons(bad), None)
    if max(good) - min(good) < LASTING:
        reasons = order({"recently-changed"} | set(_reasons(bad)))
        return Standing(Verdict.UNDETERMINED, reasons, previously, min(good))
    now = _combine([one for one in weighed if one.verdict is not Verdict.NON_COMPLIANT])
    return Standing(now.verdict, now.reasons, previously)


def worst(standings: Sequence[Standing]) -> Standing:
    """The standing of all users of a program (or all programs of a tool) together: the worst one's verdict
    and reasons.

    What they were before is shown unless one of them still is non-compliant.
    """
    if not standings:
        return Standing(Verdict.UNDETERMINED, (), None)
    verdict = min((one.verdict for one in standings), key=_WORST.index)
    deciding = [one for one in standings if one.verdict is verdict]
    before = [one.previously for one in standings if one.previously is not None]
    previously = None
    if before and verdict is not Verdict.NON_COMPLIANT:
        previously = Previously(
            Verdict.NON_COMPLIANT, max(one.until for one in before), sum(one.requests for one in before)
        )
    changed = [one.recently_changed_since for one in deciding if one.recently_changed_since is not None]
    reasons = order({reason for one in deciding for reason in one.reasons})
    return Standing(verdict, reasons, previously, max(changed, default=None))


def _combine(weighed: Sequence[_Weighed]) -> Standing:
    """The standing of Uses of which none is bad."""
    for verdict in _WORST:
        found = [one for one in weighed if one.verdict is verdict]
        if found:
            return Standing(verdict, _reasons(found), None)
    return Standing(Verdict.UNDETERMINED, _reasons(weighed), None)


def _reasons(weighed: Iterable[_Weighed]) -> tuple[str, ...]:
    return order({reason for one in weighed for reason in one.reasons})

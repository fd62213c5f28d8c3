"""Rules to compare with: the one that the project had first, and simpler ones than the present.

Each takes a row and the moment of the report, and says a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from months.calendars import DAY
from months.partners import Call, Token
from months.rows import Row


@dataclass(slots=True)
class TokenUse:
    """What one token did in one row."""

    token: Token
    first: float
    last: float
    agent: str
    accepted: bool = False
    bad: list[float] = field(default_factory=list)
    words: set[bool] = field(default_factory=set)
    blocked: bool = False
    captured: bool = False

    @property
    def is_good(self) -> bool:
        """A token with MFA that Partner Center took, or whose MFA it confirmed where we cannot read it."""
        shown = self.token.mfa and not self.token.is_apps_own if self.token.readable else True in self.words
        return self.accepted and shown and not self.bad


def use_tokens(calls: Iterable[Call]) -> list[TokenUse]:
    """The calls of a row by token."""
    found: dict[tuple[int, bool], TokenUse] = {}
    for call in calls:
        key = call.token.number, call.source is not None
        use = found.get(key)
        if use is None:
            use = found[key] = TokenUse(call.token, call.at, call.at, call.agent, captured=key[1])
        use.last = call.at
        use.accepted |= 200 <= call.status < 500 and call.status not in (401, 407, 429)
        use.blocked |= call.refused and call.told
        if call.word is not None:
            use.words.add(call.word)
        if call.is_bad:
            use.bad.append(call.at)
    return list(found.values())


def judge_today(row: Row, now: float) -> str:
    """The project's first rule: two good tokens issued 24 hours apart after the last bad call, per user."""
    by_user: dict[str | None, list[TokenUse]] = {}
    for use in use_tokens(row.between(now - 35 * DAY, now)):
        by_user.setdefault(use.token.user if use.token.readable else None, []).append(use)
    verdicts = {_stand_today(uses) for uses in by_user.values()}
    return next(
        (one for one in ("non-compliant", "undetermined", "compliant", "exempt") if one in verdicts),
        "undetermined",
    )


def _weigh_today(use: TokenUse) -> str | None:
    if use.blocked or False in use.words:
        return "non-compliant"
    if not use.accepted:
        return None
    if not use.token.readable:
        return "compliant" if True in use.words else "undetermined"
    return "exempt" if use.token.is_apps_own else "compliant" if use.token.mfa else "non-compliant"


def _stand_today(uses: Sequence[TokenUse]) -> str:
    weighed = [(use, _weigh_today(use)) for use in uses]
    bad = [use.last for use, verdict in weighed if verdict == "non-compliant"]
    if bad:
        live = any(not use.captured for use in uses)
        good = [
            use.token.issued
            for use, verdict in weighed
            if verdict == "compliant" and not (live and use.captured) and use.token.issued > max(bad)
        ]
        if not good:
            return "non-compliant"
        if max(good) - min(good) < DAY:
            return "undetermined"
    rest = {verdict for _, verdict in weighed} - {"non-compliant"}
    return next((one for one in ("undetermined", "compliant", "exempt") if one in rest), "undetermined")


def judge_none_before(row: Row, now: float) -> str:
    """Two good tokens 24 hours apart after the last bad call, and none between the first and the last bad call."""
    return _judge_by(row, now, lambda use: None)


def judge_per_credential(row: Row, now: float) -> str:
    """The same for each app id and user: a bad one is not fixed by the good tokens of another."""
    return _judge_by(row, now, lambda use: (use.token.app, use.token.user) if use.token.readable else None)


def _judge_by(row: Row, now: float, credential: Callable[[TokenUse], Hashable]) -> str:
    by_credential: dict[Hashable, list[TokenUse]] = {}
    for use in use_tokens(row.between(now - 40 * DAY, now)):
        by_credential.setdefault(credential(use), []).append(use)
    verdicts = {_mended(uses) for uses in by_credential.values()}
    return next(
        (one for one in ("non-compliant", "undetermined", "compliant") if one in verdicts), "compliant"
    )


def _mended(uses: Sequence[TokenUse]) -> str:
    bad = sorted(at for use in uses for at in use.bad)
    good = [use for use in uses if use.is_good and not use.captured]
    apps_own = [use for use in uses if use.token.is_apps_own and use.accepted]
    if not bad:
        return "compliant" if good or apps_own else "undetermined"
    after = [use.token.issued for use in good if use.token.issued > bad[-1]]
    if not after:
        return "non-compliant"
    between = any(use.token.issued > bad[0] and use.first < bad[-1] for use in good)
    return "compliant" if max(after) - min(after) >= DAY and not between else "undetermined"

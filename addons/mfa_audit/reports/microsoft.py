"""Microsoft's own lists beside what was recorded: what only Microsoft saw, and where the two disagree. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.judging.clients import KNOWN_APPS
from mfa_audit.judging.fix_rule import RULE, longest_pause
from mfa_audit.judging.naming import stable_name
from mfa_audit.judging.tokens import User
from mfa_audit.reports.model import Match, Microsoft, MicrosoftApplication, MicrosoftUser
from mfa_audit.reports.tool_rows import Grouping
from mfa_audit.store.ledger import MicrosoftCall, MicrosoftDay, MicrosoftFacts

_DAY: Final = 24 * 3600
# So many later days with MFA only show that an application is fixed, as two good tokens a day apart do.
_GOOD_DAYS: Final = 2


def compare(
    facts: MicrosoftFacts, start: float | None, grouping: Grouping, label: Callable[[User], str]
) -> Microsoft | None:
    """What Microsoft's lists say of the period from `start` (seconds since 1970), None where none were imported.

    What they say of days before it is no part of the numbers, but an application that failed then fails until later
    days of its own show otherwise.
    """
    if not (facts.calls or facts.days or facts.principals):
        return None
    calls: dict[str | None, list[MicrosoftCall]] = {}
    for call in facts.calls:
        calls.setdefault(call.application_id, []).append(call)
    days: dict[str | None, list[MicrosoftDay]] = {}
    for day in facts.days:
        days.setdefault(day.application_id, []).append(day)
    rows = [
        _application(application, calls.get(application, ()), days.get(application, ()), start, label)
        for application in calls.keys() | days.keys()
    ]
    listed = [call for call in facts.calls if _is_in(call.at, start)]
    shown = [row for row in rows if row.calls or row.failing]
    users = [(user, at) for user, at in facts.principals if _is_in(at, start)]
    return Microsoft(
        calls=len(listed),
        seen=sum(call.seen is not None for call in listed),
        applications=tuple(
            sorted(shown, key=lambda row: (not row.failing, -row.without_mfa, -row.calls, row.name))
        ),
        users=tuple(
            MicrosoftUser(label(user), user.tenant, _time(at))
            for user, at in sorted(set(users), key=lambda one: (-(one[1] or 0), str(one[0])))
        ),
        matches=tuple(_matches(listed, {row.application_id: row.name for row in rows}, grouping)),
    )


def _application(
    application: str | None,
    calls: Sequence[MicrosoftCall],
    days: Sequence[MicrosoftDay],
    start: float | None,
    label: Callable[[User], str],
) -> MicrosoftApplication:
    listed = [call for call in calls if _is_in(call.at, start)]
    first_day = None if start is None else int(start // _DAY)
    listed_days = [day for day in days if day.day is None or first_day is None or day.day >= first_day]
    # Both lists count the same calls: the summary all of them, the other list 10,000 at most.
    total, compliant = sum(day.requests for day in listed_days), sum(day.mfa_requests for day in listed_days)
    without = total - compliant
    if len(listed) > total:
        total, compliant = len(listed), sum(call.mfa_compliant is True for call in listed)
        without = sum(call.mfa_compliant is False for call in listed)
    named = next((day.name for day in days if day.name != application), None)
    times = [call.at for call in calls if call.at is not None]
    return MicrosoftApplication(
        application_id=application,
        name=named or KNOWN_APPS.get(application or "") or application or "unknown application",
        calls=total,
        with_mfa=compliant,
        without_mfa=without,
        seen=sum(call.seen is not None for call in listed),
        failing=_fails(calls, days),
        users=tuple(sorted({label(call.user) for call in listed if call.user is not None})),
        last_seen=_time(
            max([*times, *(day.day * _DAY for day in days if day.day is not None)], default=None)
        ),
    )


def _fails(calls: Sequence[MicrosoftCall], days: Sequence[MicrosoftDay]) -> bool:
    """Whether calls without MFA were made that no recorder of ours saw, and no later days with MFA only follow.

    What a recorder saw too decides the row of the tool that it was. Rows without a time are of any day.
    """
    seen_bad: dict[int, int] = {}
    bad: set[int] = set()
    good: set[int] = set()
    with_mfa: set[int] = set()
    for call in calls:
        day = _day_of(call)
        if call.mfa_compliant is False:
            if call.seen is None:
                bad.add(day)
            else:
                seen_bad[day] = seen_bad.get(day, 0) + 1
        elif call.mfa_compliant is True:
            good.add(day)
            with_mfa.add(day)
    for one in days:
        day = _ANY_DAY if one.day is None else one.day
        without = one.requests - one.mfa_requests
        if without > seen_bad.get(day, 0):
            bad.add(day)
        elif not without and one.requests:
            good.add(day)
        if one.mfa_requests:
            with_mfa.add(day)
    if not bad:
        return False
    last = max(bad)
    later = {day for day in good - bad - seen_bad.keys() if last < day < _ANY_DAY}
    if len(later) < _GOOD_DAYS:
        return True
    # Where calls with MFA came beside those without, they are probably two jobs', and the later ones the good one's.
    side_by_side = any(day <= last for day in with_mfa)
    wait = RULE.wait_of(bad) if side_by_side else longest_pause(sorted(bad))
    return max(later) - last < wait


def _matches(
    calls: Iterable[MicrosoftCall], titles: Mapping[str | None, str], grouping: Grouping
) -> list[Match]:
    """Calls that both saw, grouped; disagreements first, then the most calls."""
    groups: dict[tuple[object, ...], list[MicrosoftCall]] = {}
    for call in calls:
        if call.seen is not None:
            client, program, _ = call.seen.party
            key = (
                call.application_id,
                client,
                program and stable_name(program.name),
                call.seen.verdict,
                call.mfa_compliant,
            )
            groups.setdefault(key, []).append(call)
    matches = [
        Match(
            application=titles[group[0].application_id],
            tool=grouping.tool(seen.party.client).name,
            program=seen.party.program and stable_name(seen.party.program.name),
            user_agent=seen.party.client.user_agent,
            verdict=seen.verdict,
            microsoft_compliant=group[0].mfa_compliant,
            calls=len(group),
            request_id=group[-1].request_id,
        )
        for group in groups.values()
        if (seen := group[0].seen) is not None
    ]
    return sorted(
        matches, key=lambda match: (not match.disagree, -match.calls, match.tool, match.program or "")
    )


_ANY_DAY: Final = 1 << 40


def _day_of(call: MicrosoftCall) -> int:
    return _ANY_DAY if call.at is None else int(call.at // _DAY)


def _is_in(at: float | None, start: float | None) -> bool:
    return at is None or start is None or at >= start


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

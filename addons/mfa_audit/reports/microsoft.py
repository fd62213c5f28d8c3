"""Microsoft's own lists beside what was recorded: what only Microsoft saw, and where the two disagree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.judging.clients import KNOWN_APPS, Names, tool_of
from mfa_audit.judging.people import People
from mfa_audit.reports.model import Match, Microsoft, MicrosoftApplication, MicrosoftUser
from mfa_audit.store.ledger import Ledger, MicrosoftCall, MicrosoftDay

_DAY: Final = 24 * 3600
# Microsoft's lists show the last seven days. What failed in the seven days up to the newest row still does; what
# failed earlier, and not since, was mended.
_CURRENT_DAYS: Final = 7


def compare(ledgers: Sequence[Ledger], names: Names | None, people: People) -> Microsoft | None:
    """What Microsoft's lists in these ledgers say; None where none were imported."""
    facts = [ledger.microsoft for ledger in ledgers]
    # The same list may have been imported into several databases; the row that knows more counts.
    calls: dict[tuple[object, ...], MicrosoftCall] = {}
    for call in (call for fact in facts for call in fact.calls):
        key = (call.request_id, call.at, call.application_id, call.operation)
        if key not in calls or calls[key].seen is None:
            calls[key] = call
    days: dict[tuple[object, ...], MicrosoftDay] = {}
    for day in (day for fact in facts for day in fact.days):
        date = (day.application_id, day.day)
        if date not in days or days[date].requests < day.requests:
            days[date] = day
    users = {principal for fact in facts for principal in fact.principals}
    if not (calls or days or users):
        return None
    newest = max(
        [_day_of(call) for call in calls.values()] + [day.day or 0 for day in days.values()], default=0
    )
    applications = {call.application_id for call in calls.values()} | {
        day.application_id for day in days.values()
    }
    rows = [
        _application(
            application,
            [call for call in calls.values() if call.application_id == application],
            [day for day in days.values() if day.application_id == application],
            newest - _CURRENT_DAYS + 1,
            people,
        )
        for application in applications
    ]
    return Microsoft(
        calls=len(calls),
        seen=sum(call.seen is not None for call in calls.values()),
        applications=tuple(
            sorted(rows, key=lambda row: (not row.failing, -(row.calls - row.with_mfa), -row.calls, row.name))
        ),
        users=tuple(
            MicrosoftUser(people.label(user), user.tenant, _time(at))
            for user, at in sorted(users, key=lambda one: (-(one[1] or 0), str(one[0])))
        ),
        matches=tuple(_matches(calls.values(), {row.application_id: row.name for row in rows}, names)),
    )


def _application(
    application: str | None,
    calls: Sequence[MicrosoftCall],
    days: Sequence[MicrosoftDay],
    current: int,
    people: People,
) -> MicrosoftApplication:
    # Both lists count the same calls: the summary all of them, the other list 10,000 at most.
    total, compliant = sum(day.requests for day in days), sum(day.mfa_requests for day in days)
    if len(calls) > total:
        total, compliant = len(calls), sum(call.mfa_compliant is True for call in calls)
    failing = any(day.requests > day.mfa_requests and (day.day or current) >= current for day in days) or any(
        call.mfa_compliant is False and (_day_of(call) or current) >= current for call in calls
    )
    named = next((day.name for day in days if day.name != application), None)
    times = [call.at for call in calls if call.at is not None]
    return MicrosoftApplication(
        application_id=application,
        name=named or KNOWN_APPS.get(application or "") or application or "unknown application",
        calls=total,
        with_mfa=compliant,
        seen=sum(call.seen is not None for call in calls),
        failing=failing,
        users=tuple(sorted({people.label(call.user) for call in calls if call.user is not None})),
        last_seen=_time(
            max([*times, *(day.day * _DAY for day in days if day.day is not None)], default=None)
        ),
    )


def _matches(
    calls: Iterable[MicrosoftCall], titles: Mapping[str | None, str], names: Names | None
) -> list[Match]:
    """Calls that both saw, grouped; disagreements first, then the most calls."""
    groups: dict[tuple[object, ...], list[MicrosoftCall]] = {}
    for call in calls:
        if call.seen is not None:
            key = (
                call.application_id,
                call.seen.client,
                call.seen.program and call.seen.program.name,
                call.seen.verdict,
                call.mfa_compliant,
            )
            groups.setdefault(key, []).append(call)
    matches = [
        Match(
            application=titles[group[0].application_id],
            tool=tool_of(seen.client, names).name,
            program=seen.program and seen.program.name,
            user_agent=seen.client.user_agent,
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


def _day_of(call: MicrosoftCall) -> int:
    return 0 if call.at is None else int(call.at // _DAY)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

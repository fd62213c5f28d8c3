"""Microsoft's own lists beside what was recorded: what Microsoft saw and we did not, and where the two disagree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.judging.clients import KNOWN_APPS, Names, tool_of
from mfa_audit.judging.people import People
from mfa_audit.judging.verdicts import Verdict
from mfa_audit.reports import Disagreement, Microsoft, MicrosoftApplication, MicrosoftUser
from mfa_audit.store.ledger import Ledger, MicrosoftCall, MicrosoftDay

_DAY: Final = 24 * 3600
# Microsoft's lists show the last seven days. What failed in the seven days up to the newest row still does; what
# failed earlier, and not since, was mended.
_CURRENT_DAYS: Final = 7
_MOST: Final = 1_000


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
        key = (day.application_id, day.day)
        if key not in days or days[key].requests < day.requests:
            days[key] = day
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
        disagreements=tuple(_disagreements(calls.values(), names, people))[:_MOST],
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
        last_seen=_time(max([*times, *(day.day * _DAY for day in days if day.day is not None)], default=None)),
    )


def _disagreements(
    calls: Iterable[MicrosoftCall], names: Names | None, people: People
) -> Iterable[Disagreement]:
    for call in calls:
        if call.seen is None or call.mfa_compliant is None:
            continue
        ours = {Verdict.COMPLIANT: True, Verdict.NON_COMPLIANT: False}.get(call.seen.verdict)
        if ours is not None and ours != call.mfa_compliant:
            yield Disagreement(
                at=_time(call.at),
                request_id=call.request_id,
                operation=call.operation,
                tool=tool_of(call.seen.client, names).name,
                program=call.seen.program,
                user_agent=call.seen.client.user_agent,
                user=None if call.user is None else people.label(call.user),
                verdict=call.seen.verdict,
                microsoft_compliant=call.mfa_compliant,
            )


def _day_of(call: MicrosoftCall) -> int:
    return 0 if call.at is None else int(call.at // _DAY)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

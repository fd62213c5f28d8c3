"""From ledgers to the report: tools, their verdicts, and what could not be seen. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.advice import advise
from mfa_audit.judging.clients import Client, Names, Tool, tool_of
from mfa_audit.judging.history import Standing, stand, worst
from mfa_audit.judging.people import NAMES, People
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import User
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.gaps import cover
from mfa_audit.reports.microsoft import compare
from mfa_audit.reports.model import Microsoft, NotAudited, Period, Report, Source, ToolRow, Totals, UserRow
from mfa_audit.store.ledger import ClientUse, Ledger, SessionFacts

# Worst first; also the order in which a tool takes the verdict of its users.
_WORST_FIRST: Final = (Verdict.NON_COMPLIANT, Verdict.UNDETERMINED, Verdict.COMPLIANT, Verdict.EXEMPT)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to report: the partner's own names for tools, how to show people, and whether any call without MFA counts."""

    names: Names | None = None
    people: People = NAMES
    strict: bool = False


@dataclass(slots=True)
class _Group:
    """All that one program of one tool did."""

    tool: Tool
    program: Program | None
    uses: list[ClientUse] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)


def summarise(
    ledgers: Sequence[Ledger],
    period: Period,
    *,
    now: float,
    before: Sequence[Ledger] = (),
    own: bool = False,
    unsaved: int = 0,
    settings: Settings | None = None,
) -> Report:
    """The report over several databases at once.

    `before` are the ledgers of the time before the period, for tools that failed and went quiet. `own`: one
    recording reports on itself, whatever kind it is. `unsaved` rows of it never reached the disk. `now` in seconds
    since 1970 (UTC).
    """
    settings = settings or Settings()
    groups = _gather(ledgers, settings)
    tools = _sort(_row(group, settings) for group in groups.values() if group.uses)
    quiet = _sort(
        row
        for key, group in _gather(before, settings).items()
        if group.uses
        and key not in groups
        and (row := _row(group, settings)).verdict is Verdict.NON_COMPLIANT
    )
    sessions = [session for ledger in ledgers for session in ledger.sessions]
    recording = cover(
        sessions, [gap for ledger in ledgers for gap in ledger.gaps], period, now, own=own, unsaved=unsaved
    )
    not_audited = tuple(
        NotAudited(
            unread.host,
            unread.user_agent,
            None if unread.program is None else unread.program.name,
            unread.reason,
            unread.count,
            _time(unread.first),
            _time(unread.last),
            account=unread.program and unread.program.account,
            started_by=unread.program and unread.program.started_by,
        )
        for ledger in ledgers
        for unread in ledger.not_audited
    )
    sanitised = [session for session in sessions if session.sanitised and session.requests]
    totals = Totals(
        tools=len(tools),
        tokens=sum(ledger.tokens for ledger in ledgers),
        requests=sum(row.requests for row in tools),
        without_token=sum(ledger.without_token for ledger in ledgers),
        sanitised=sum(session.sanitised for session in sanitised),
    )
    blind = bool(not_audited or recording.lost or any(gap.reason != "stopped" for gap in recording.gaps))
    microsoft = compare(ledgers, settings.names, settings.people)
    answer, because = _answer(
        tools,
        totals,
        not_audited,
        lost=recording.lost,
        blind=blind,
        microsoft=_told_by_microsoft(microsoft),
        sanitised=_told_of(sanitised),
    )
    shown = [session for session in sessions if session.requests or _overlaps(session, period)]
    return Report(
        generated_at=_time(now),
        answer=answer,
        because=because,
        period=period,
        totals=totals,
        tools=tools,
        quiet=quiet,
        not_audited=not_audited,
        recording=recording,
        sources=tuple(_source(session) for session in shown),
        databases=tuple(str(ledger.database) for ledger in ledgers),
        notes=tuple(_notes(tools, shown, period)),
        microsoft=microsoft,
    )


def _gather(ledgers: Iterable[Ledger], settings: Settings) -> dict[tuple[Tool, Program | None], _Group]:
    groups: dict[tuple[Tool, Program | None], _Group] = {}

    tools: dict[Client, Tool] = {}
    days: dict[str | float, str] = {}

    def group(client: Client, program: Program | None) -> _Group:
        tool = tools.get(client)
        if tool is None:
            tool = tools[client] = tool_of(client, settings.names)
        return groups.setdefault((tool, program), _Group(tool, program))

    for ledger in ledgers:
        for use in ledger.uses:
            group(use.client, use.program).uses.append(use)
        for count in ledger.operations:
            group(count.client, count.program).operations[str(count.label)] += count.calls
        for count in ledger.days:
            day = days.get(count.label)
            if day is None:
                day = days[count.label] = (
                    datetime.fromtimestamp(float(count.label), UTC).astimezone().date().isoformat()
                )
            group(count.client, count.program).days[day] += count.calls
    return groups


def _row(group: _Group, settings: Settings) -> ToolRow:
    by_user: dict[tuple[str | None, str | None], list[ClientUse]] = {}
    for use in group.uses:
        user = use.use.user
        key = (None, None) if user is None else (user.tenant, user.object_id or user.name)
        by_user.setdefault(key, []).append(use)
    standings = {
        key: stand([use.use for use in uses], strict=settings.strict) for key, uses in by_user.items()
    }
    whole = worst(list(standings.values()))
    users = [
        _user_row(number, uses, standings[key], settings.people)
        for number, (key, uses) in enumerate(sorted(by_user.items(), key=lambda item: str(item[0])), 1)
        if key != (None, None)
    ]
    uses = [use.use for use in group.uses]
    clients = {use.client for use in group.uses}
    return ToolRow(
        name=group.tool.name,
        app_id=group.tool.app_id,
        client=group.tool.client,
        application=group.tool.application,
        program=group.program and group.program.name,
        account=group.program and group.program.account,
        started_by=group.program and group.program.started_by,
        sdk_versions=_texts(client.sdk_version for client in clients),
        user_agents=_texts(client.user_agent for client in clients),
        verdict=whole.verdict,
        reasons=whole.reasons,
        previously=whole.previously,
        requests=sum(use.requests for use in uses),
        tokens=sum(use.tokens for use in uses),
        blocked=sum(use.blocked for use in uses),
        blocked_by_test=sum(use.blocked_by_test for use in uses),
        expired=sum(use.expired for use in uses),
        server_compliant=sum(use.server_compliant for use in uses),
        server_non_compliant=sum(use.server_non_compliant for use in uses),
        users=tuple(
            sorted(users, key=lambda row: (_WORST_FIRST.index(row.verdict), -row.requests, row.name))
        ),
        tenants=_texts(use.claims.get("tid") for use in group.uses),
        amr=_texts(_amr(use.claims) for use in group.uses if use.claims),
        operations=tuple(group.operations.most_common()),
        days=tuple(sorted(group.days.items())),
        first_seen=_time(min(use.first for use in uses)),
        last_seen=_time(max(use.last for use in uses)),
        advice=advise(whole.verdict, whole.reasons, _telling_claims(group.uses, whole)),
    )


def _user_row(number: int, uses: Sequence[ClientUse], standing: Standing, people: People) -> UserRow:
    user: User | None = max(uses, key=lambda use: use.use.last).use.user
    return UserRow(
        name=people.label(user, number),
        tenant=None if user is None else user.tenant,
        verdict=standing.verdict,
        reasons=standing.reasons,
        requests=sum(use.use.requests for use in uses),
        first_seen=_time(min(use.use.first for use in uses)),
        last_seen=_time(max(use.use.last for use in uses)),
    )


def _telling_claims(uses: Sequence[ClientUse], standing: Standing) -> list[Mapping[str, Any]]:
    """The claims of the tokens that brought the verdict, latest first; of all, where the server's word brought it."""
    latest = sorted(uses, key=lambda use: -use.use.last)
    return [use.claims for use in latest if use.use.verdict is standing.verdict] or [
        use.claims for use in latest
    ]


def _amr(claims: Mapping[str, Any]) -> str:
    value = claims.get("amr")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "(empty)"
    return "(none)" if value is None else str(value)


def _answer(
    tools: Sequence[ToolRow],
    totals: Totals,
    not_audited: Sequence[NotAudited],
    *,
    lost: int,
    blind: bool,
    microsoft: Sequence[str],
    sanitised: Sequence[str],
) -> tuple[Answer, tuple[str, ...]]:
    """The first match of: a tool without MFA (no), anything not known (unclear), else yes; and why, in sentences."""
    counts = Counter(row.verdict for row in tools)
    reasons = []
    if counts[Verdict.NON_COMPLIANT]:
        reasons.append(f"{_of(counts[Verdict.NON_COMPLIANT], len(tools))} Partner Center without MFA.")
    reasons += microsoft
    if not tools:
        reasons.append(
            "No call with a token was seen."
            if not totals.without_token
            else f"{totals.without_token} {_plural(totals.without_token, 'call')} seen, none with a token."
        )
    if counts[Verdict.UNDETERMINED]:
        reasons.append(f"{counts[Verdict.UNDETERMINED]} of {len(tools)} tools cannot be told.")
    if not_audited:
        count = sum(unread.count for unread in not_audited)
        reasons.append(f"{count} {_plural(count, 'connection')} to Partner Center could not be read.")
    if lost:
        reasons.append(f"{lost} {_plural(lost, 'call')} could not be stored.")
    if blind and not (not_audited or lost):
        reasons.append("The recorder was off at times, and not because it was stopped.")
    reasons += sanitised
    if counts[Verdict.NON_COMPLIANT] or microsoft:
        return Answer.NO, tuple(reasons)
    if reasons:
        return Answer.UNCLEAR, tuple(reasons)
    return Answer.YES, (f"All {len(tools)} {_plural(len(tools), 'tool')} seen used MFA or are exempt.",)


def _told_by_microsoft(microsoft: Microsoft | None) -> list[str]:
    """A sentence where Microsoft counts applications as calling without MFA."""
    failing = [one.name for one in microsoft.applications if one.failing] if microsoft else []
    if not failing:
        return []
    shown = ", ".join(failing[:3]) + (f" and {len(failing) - 3} more" if len(failing) > 3 else "")
    return [
        f"Microsoft counts {len(failing)} {_plural(len(failing), 'application')} as calling without MFA: {shown}."
    ]


def _told_of(sanitised: Sequence[SessionFacts]) -> list[str]:
    """A sentence where captures had their tokens taken out."""
    if not sanitised:
        return []
    calls = sum(session.sanitised for session in sanitised)
    files = ", ".join(session.source or "a capture" for session in sanitised[:3])
    return [
        f"{calls} {_plural(calls, 'call')} had the token taken out of the capture ({files}): export it again."
    ]


def _of(count: int, total: int) -> str:
    return f"{count} of {total} {_plural(total, 'tool')} {'calls' if count == 1 else 'call'}"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"


def _notes(tools: Sequence[ToolRow], sessions: Sequence[SessionFacts], period: Period) -> Iterable[str]:
    if period.rounded:
        yield "The period is rounded to whole hours: older calls are kept as hourly totals only."
    if any(row.program is None for row in tools) and any(row.program is not None for row in tools):
        yield "Programs not told apart: where no program is named, one row may stand for several."
    if any(session.programs_denied for session in sessions):
        yield "Some programs could not be named for want of rights: run the recorder elevated to name them."
    if any(session.folded for session in sessions):
        yield "More different callers came than are kept apart: the newest are counted under (other)."
    if any(session.validate for session in sessions):
        yield "ValidateMfa: true was added to calls, as asked for with --validate."
    if any(session.enforce for session in sessions):
        yield "MS-Enforce-MFA: True was added to calls, as asked for with --enforce."


def _source(session: SessionFacts) -> Source:
    return Source(
        kind=session.kind,
        name=session.source or session.machine,
        sha256=session.sha256,
        machine=session.machine,
        account=session.account,
        version=session.version,
        started=_time(session.started),
        ended=None if session.ended is None else _time(session.ended),
        validate=session.validate,
        enforce=session.enforce,
        requests=session.requests,
    )


def _overlaps(session: SessionFacts, period: Period) -> bool:
    if session.kind == "import":
        return False  # an import's time is not its calls' time
    last = max(session.last_beat, session.ended or 0.0)
    return (period.end is None or session.started < period.end.timestamp()) and (
        period.start is None or last >= period.start.timestamp()
    )


def _sort(rows: Iterable[ToolRow]) -> tuple[ToolRow, ...]:
    """Worst first: blocked before would-be-blocked, then by calls, then by name."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (_WORST_FIRST.index(row.verdict), not row.blocked, -row.requests, row.title),
        )
    )


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if isinstance(value, str) and value}))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""From a ledger to the report: tools, their verdicts, and what could not be seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from mfa_audit.judging.naming import is_browser, stable_program
from mfa_audit.judging.people import People
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import User
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.gaps import cover, watched_by
from mfa_audit.reports.microsoft import compare
from mfa_audit.reports.model import Microsoft, NotAudited, Period, Report, Source, ToolRow, Totals
from mfa_audit.reports.proven_causes import applications_signed_in, causes_of, facts_by_party, with_causes
from mfa_audit.reports.rulings import FAILING, Ruling, Rulings
from mfa_audit.reports.settings import Settings
from mfa_audit.reports.titles import tell_apart
from mfa_audit.reports.tool_rows import (
    Grouping,
    evidence_of,
    judge_row,
    make_row,
    moment_of,
    sort,
)
from mfa_audit.reports.trend import count_by_week
from mfa_audit.store.ledger import Ledger, SessionFacts, UnreadConnections


def summarise(
    ledger: Ledger,
    period: Period,
    databases: Sequence[str],
    *,
    now: float,
    own: bool = False,
    unsaved: int = 0,
    settings: Settings | None = None,
) -> Report:
    """The report on what the ledger says.

    `own`: one recording reports on itself, whatever kind it is. `unsaved` rows of it never reached the disk. `now` in
    seconds since 1970 (UTC).
    """
    settings = settings or Settings()
    grouping = Grouping(settings)
    grouping.add_uses(ledger.uses)
    grouping.add_counts(ledger)
    label = settings.people.labels(_users(ledger))
    watched = watched_by(ledger.sessions, ledger.gaps, now)
    end = now if ledger.end is None else min(now, ledger.end)
    sign_ins = facts_by_party(ledger.sign_ins)
    rulings = Rulings(settings, grouping, end)
    tools: list[ToolRow] = []
    quiet: list[ToolRow] = []
    retired: list[ToolRow] = []
    ruled: list[tuple[Ruling, str | None]] = []
    for group in grouping.groups.values():
        if not group.uses:
            continue
        ruling = rulings.of(group)
        standing = rulings.judge(
            ruling,
            evidence_of(group, ledger),
            partial(judge_row, group, watched=watched, now=end, since=ledger.start, strict=settings.strict),
            strict=settings.strict,
        )
        if not group.listed and (standing.why is None or standing.why.kind == "fixed"):
            ruled.append((ruling, None))
            continue
        row = make_row(group, standing, grouping, label, group.listed or group.uses)
        if group.listed:
            row = with_causes(row, causes_of(group.parties, sign_ins))
        row = rulings.mark(ruling, row)
        ruled.append((ruling, row.key))
        if ruling.is_retired and row.verdict in FAILING:
            retired.append(row)
        else:
            (tools if group.listed else quiet).append(row)
    rows = tell_apart([*sort(tools), *sort(quiet), *sort(retired)])
    titles = {row.key: row.title for row in rows}
    retired = rows[len(tools) + len(quiet) :]
    tools, quiet = rows[: len(tools)], rows[len(tools) : len(tools) + len(quiet)]
    recording = cover(ledger.sessions, ledger.gaps, period, now, own=own, unsaved=unsaved)
    unread = tuple(
        sorted(_unread(ledger.not_audited, settings.people), key=lambda one: (-one.count, one.first_seen))
    )
    sanitised = [session for session in ledger.sessions if session.sanitised and session.requests]
    shown = [session for session in ledger.sessions if session.requests or _overlaps(session, period)]
    report = Report(
        generated_at=moment_of(now),
        answer=Answer.UNCLEAR,
        period=period,
        totals=Totals(
            tools=len(tools),
            tokens=ledger.tokens,
            requests=sum(row.requests for row in tools),
            without_token=ledger.without_token,
            sanitised=sum(session.sanitised for session in sanitised),
        ),
        tools=tuple(tools),
        quiet=tuple(quiet),
        not_audited=unread,
        recording=recording,
        sources=tuple(map(_source, shown)),
        databases=tuple(databases),
        notes=tuple(_notes(tools, shown, ledger, own=own)),
        microsoft=compare(ledger.microsoft, ledger.start, grouping, label),
        sanitised_sources=tuple(session.source or "a capture" for session in sanitised),
        own=own,
        signed_in=() if own else applications_signed_in(ledger, settings.people),
        retired=tuple(retired),
        decisions=rulings.sum_up([(one, key and titles[key]) for one, key in ruled]),
        weeks=count_by_week(ledger.weeks, grouping),
    )
    return replace(report, answer=answer_of(report))


def _users(ledger: Ledger) -> Iterable[User]:
    """Everybody who may appear in the report."""
    yield from (use.user for use in ledger.uses if use.user is not None)
    yield from (call.user for call in ledger.microsoft.calls if call.user is not None)
    yield from (user for user, _ in ledger.microsoft.principals)


def answer_of(report: Report, *, without_accepted: bool = False) -> Answer:
    """The first match of: a tool without MFA (no), anything not known (unclear), else yes.

    `without_accepted`: what it would be if accepted tools did not count, for `--fail-on unaccepted`.
    """
    counted = [row for row in report.tools if not (without_accepted and is_accepted(row))]
    quiet = [row for row in report.quiet if not (without_accepted and is_accepted(row))]
    verdicts = {row.verdict for row in counted}
    if (
        Verdict.NON_COMPLIANT in verdicts
        or _fails_at_microsoft(report.microsoft)
        or any(one.failing for one in report.signed_in)
    ):
        return Answer.NO
    unclear = (
        not report.tools,
        Verdict.UNDETERMINED in verdicts,
        # A tool that failed when last seen has not been fixed by not running.
        quiet,
        report.not_audited,
        report.recording.lost,
        any(gap.is_blind for gap in report.recording.gaps),
        report.totals.sanitised,
        report.decisions is not None and report.decisions.missing,
    )
    return Answer.UNCLEAR if any(unclear) else Answer.YES


def is_accepted(row: ToolRow) -> bool:
    """Whether a person accepted the row, and the time for that is not over."""
    return row.decided is not None and row.decided.accepted


def _fails_at_microsoft(microsoft: Microsoft | None) -> bool:
    return microsoft is not None and any(one.failing for one in microsoft.applications)


def _unread(facts: Iterable[UnreadConnections], people: People) -> Iterable[NotAudited]:
    """What could not be read, and may have been a call.

    A healthy browser opens connections that it does not use; that its others could be read shows that it takes our
    certificate (measured with Chromium and Firefox). Nothing else is excused by what a namesake did.
    """
    found: dict[tuple[str | None, ...], NotAudited] = {}
    for one in facts:
        program = people.program(stable_program(one.program))
        name = program and program.name
        if one.reason == "no-request" and one.others_read and is_browser(name, one.user_agent):
            continue
        account, starter = (None, None) if program is None else (program.account, program.started_by)
        key = (one.host, one.user_agent, name, one.reason, account, starter, one.origin.machine)
        first, last = moment_of(one.first), moment_of(one.last)
        same = found.get(key)  # another run of one program
        found[key] = NotAudited(
            one.host,
            one.user_agent,
            name,
            one.reason,
            one.count + (same.count if same else 0),
            min(first, same.first_seen) if same else first,
            max(last, same.last_seen) if same else last,
            account,
            starter,
            one.origin.machine,
        )
    return found.values()


def _notes(
    tools: Sequence[ToolRow], sessions: Sequence[SessionFacts], ledger: Ledger, *, own: bool
) -> Iterable[str]:
    """Ids of further sentences for people, which `formats/words` has."""
    found = {
        "rounded": ledger.rounded,
        "several-jobs": any(not row.specific for row in tools),
        "programs-denied": any(session.programs_denied for session in sessions),
        "folded": any(session.folded for session in sessions),
        "validate": any(session.validate for session in sessions),
        "enforce": any(session.enforce for session in sessions),
        "own": own and bool(tools),
        "counted-twice": ledger.counted_twice > 0,
    }
    return (note for note, holds in found.items() if holds)


def _source(session: SessionFacts) -> Source:
    return Source(
        kind=session.kind,
        name=session.source or session.machine,
        sha256=session.sha256,
        machine=session.machine,
        account=session.account,
        version=session.version,
        started=moment_of(session.started),
        ended=None if session.ended is None else moment_of(session.ended),
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

"""The sentences that every report for people shares. Each is plain text, already harmless on one line.

Two formats that say the same thing say it in the same words, because both take them from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mfa_audit.formats.cause_words import proven
from mfa_audit.formats.decision_words import accepted, filtered, missing
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, day, days, duration, line, moment, share
from mfa_audit.reports.model import Gap, Match, MicrosoftApplication, NotAudited, Report, Source, ToolRow

VERDICTS: Final = {
    Verdict.COMPLIANT: "With MFA",
    Verdict.NON_COMPLIANT: "Without MFA",
    Verdict.EXEMPT: "App-only: the rule does not apply",
    Verdict.UNDETERMINED: "Cannot tell",
}
ANSWERS: Final = {
    Answer.YES: "YES, for what was seen",
    Answer.NO: "NO",
    Answer.UNCLEAR: "CANNOT TELL YET",
}
MICROSOFT: Final = "Microsoft saw, this recorder did not"
NOT_AUDITED: Final = "Seen but unreadable"
GAP: Final = "Recorder was off"
BLOCKED: Final = "BLOCKED NOW"
UNSIGNED: Final = "Token signatures were not checked."
ELSEWHERE: Final = "Cloud tools and other machines are not in this report."

# What holds for every report, whatever its answer; for the formats that have room for it.
PROVES: Final = (
    "What is said of a tool is what its tokens said. Microsoft documents the claim it asks for: mfa in amr.",
    "A call that Partner Center refused because MFA was missing is certain: it is the server's own word.",
)
PROVES_NOT: Final = (
    UNSIGNED + " Reading a token is not trusting it.",
    "A tool that did not call Partner Center through this recorder in the period is not here.",
    ELSEWHERE,
    "A call that went through proves nothing: Microsoft blocks step by step.",
    "With MFA today is not with MFA for ever: a later sign-in or a changed policy can take it away.",
)

# Why a program that reached the proxy could not be read, as the end of a sentence about it.
_UNREADABLE: Final = {
    "certificate-refused": "refused our certificate",
    "upstream-tls-failed": "was passed through unread, because the server's TLS failed",
    "tunnelled": "was passed through unread",
    "no-request": "connected and asked for nothing",
    "unreachable": "could not reach Partner Center through the proxy",
    "refused-before": "was passed through unread, because it had just refused our certificate",
    "known-to-refuse": "was passed through unread, because it is known to refuse our certificate",
    "authority-ended": "was passed through unread, because the proxy's certificate authority is at its end",
    "other-name": "was passed through unread, because it asked for another host by name",
    "proxy-password": "did not give the proxy's password",
    "tls-version": "offered a TLS version that is too old",
}
_LASTING: Final = frozenset({"proxy", "addon"})
_OFF: Final = {
    "stopped": "it was stopped",
    "crashed": "it crashed",
    "slept": "the machine slept",
    "unloaded": "the addon was unloaded",
    "behind": "it could not keep up",
    "unread": "a journal beside the database cannot be read",
}


def is_recording(source: Source) -> bool:
    """Whether a source was recorded live, rather than imported from a file."""
    return source.kind != "import"


def title_of(reason: str) -> str:
    """The human title of a reason's id; an id that this version does not know, without its hyphens."""
    known = REASONS.get(reason)
    return known.title if known else line(reason, 60).replace("-", " ").capitalize()


def is_known(reason: str) -> bool:
    """Whether this version has a title for the reason's id."""
    return reason in REASONS


def why(reasons: Sequence[str]) -> str:
    """The titles of the reasons, a sentence each."""
    return " ".join(sentence(title_of(reason)) for reason in reasons)


def sentence(text: str) -> str:
    """`text` harmless and with a full stop; empty where there is none."""
    shown = line(text.strip(), 400)
    return shown if not shown or shown[-1] in ".!?…" else f"{shown}."


Show = Callable[[str], str]


def name(text: str) -> str:
    """A name within a sentence: harmless, and not so long that the sentence is lost."""
    return line(text, 60)


def listed(things: Sequence[str], most: int = 3, show: Show = name) -> str:
    """The things as `show` has them: "a", "a and b", "a, b and c", "a, b, c and 4 more"."""
    shown = [show(thing) for thing in things[:most]]
    if len(things) > most:
        return f"{', '.join(shown)} and {len(things) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def with_verdict(report: Report, *verdicts: Verdict) -> list[ToolRow]:
    """The report's tools with one of these verdicts, in the report's order: worst first."""
    return [tool for tool in report.tools if tool.verdict in verdicts]


def is_blocked(tool: ToolRow) -> bool:
    """Whether the server refuses this tool now: it was refused because MFA was missing and is not fixed since."""
    return tool.counts.blocked > 0 and tool.verdict is Verdict.NON_COMPLIANT


def answer(report: Report) -> str:
    """The answer with the counts in one or two sentences, without the answer's own word."""
    report = report.whole  # filters choose what is listed, never what is answered
    failing = with_verdict(report, Verdict.NON_COMPLIANT)
    elsewhere = "" if failing else _failing_elsewhere(report)
    if elsewhere or not report.tools:
        return elsewhere or "no call to Partner Center with a token was seen."
    total = count(len(report.tools), "tool")
    unclear = with_verdict(report, Verdict.UNDETERMINED)
    if failing:
        verb = "calls" if len(failing) == 1 else "call"
        text = f"{len(failing):,} of {total} {verb} Partner Center without MFA."
        blocked = sum(map(is_blocked, failing))
        return f"{text} {blocked:,} {'is' if blocked == 1 else 'are'} blocked now." if blocked else text
    if unclear:
        return f"{len(unclear):,} of {total} cannot be told. None was seen without MFA."
    exempt = len(with_verdict(report, Verdict.EXEMPT))
    if exempt == len(report.tools):
        told = (
            f"{total} {'uses' if exempt == 1 else 'use'} app-only tokens, to which the rule does not apply."
        )
    else:
        verb = "calls" if len(report.tools) - exempt == 1 else "call"
        told = f"{count(len(report.tools) - exempt, 'tool')} {verb} Partner Center with MFA."
        if exempt:
            told += f" {exempt:,} {'is' if exempt == 1 else 'are'} app-only: the rule does not apply."
    if report.answer is Answer.YES:
        return told
    if report.quiet:
        return f"{told} But {count(len(report.quiet), 'tool')} failed when last seen, before this period."
    return f"{told} But not everything could be seen."


def _failing_elsewhere(report: Report) -> str:
    """What Microsoft's lists or Entra's log say fails, where no recorder saw it; else nothing."""
    if failing := microsoft_failing(report):
        verb = "calls" if failing == 1 else "call"
        return (
            f"Microsoft counts {count(failing, 'application')} that {verb} Partner Center without MFA. "
            "This recorder saw no tool without it."
        )
    if saved := sum(one.failing for one in report.signed_in):
        verb = "signs" if saved == 1 else "sign"
        return (
            f"{count(saved, 'application')} {verb} in to Partner Center with a saved password, by Entra's log. "
            "No recorder saw a tool without MFA."
        )
    return ""


def microsoft_failing(report: Report) -> int:
    """How many applications call without MFA by Microsoft's own lists."""
    return sum(one.failing for one in report.microsoft.applications) if report.microsoft else 0


def microsoft_coverage(report: Report) -> str:
    """How many of Microsoft's listed calls were recorded too, and on how many the two disagree."""
    found = report.microsoft
    if found is None or not found.calls:
        return ""
    told = f"Of {count(found.calls, 'call')} that Microsoft lists, {found.seen:,} were recorded here"
    told += f" ({found.seen * 100 // found.calls}%)."
    if found.disagreements:
        told += f" On {count(found.disagreements, 'call')} Microsoft's verdict is not the token's."
    return told


def microsoft_match(one: Match, show: Show = name) -> str:
    """Calls of one kind that both saw: "CIPP: 12 calls as Billing. Token: Without MFA. Microsoft: no word."."""
    who = show(one.tool) if one.program is None else f"{show(one.program)} ({show(one.tool)})"
    microsoft = {True: "with MFA", False: "without MFA", None: "no word"}[one.microsoft_compliant]
    agent = f", {show(one.user_agent)}" if one.user_agent else ""
    told = f"{who}{agent}: {count(one.calls, 'call')} as {show(one.application)}."
    return f"{told} Token: {VERDICTS[one.verdict]}. Microsoft: {microsoft}{' - they disagree' if one.disagree else ''}."


def microsoft_application(one: MicrosoftApplication, now: datetime, show: Show = name) -> str:
    """One application of Microsoft's lists: "Billing: 2 of 7 calls without MFA, dana@contoso.example, last 7 Nov"."""
    without, not_known = one.without_mfa, one.calls - one.with_mfa - one.without_mfa
    told = f"{show(one.name)}: "
    if without:
        told += f"{without:,} of {count(one.calls, 'call')} without MFA"
    else:
        told += f"{count(one.with_mfa, 'call')} with MFA"
    if not_known:
        told += f", {not_known:,} of which Microsoft does not say"
    if without and not one.failing:
        told += ", none in the newest week"
    if one.seen:
        told += f", {one.seen:,} recorded here"
    if one.users:
        told += f", {listed(one.users, 2, show)}"
    if one.last_seen:
        told += f", last {day(one.last_seen, now)}"
    return f"{told}."


def microsoft_unseen(report: Report) -> list[MicrosoftApplication]:
    """The applications that fail by Microsoft's lists, or of which not all calls were recorded here; worst first."""
    found = report.microsoft.applications if report.microsoft else ()
    return [one for one in found if one.failing or one.seen < one.calls]


def microsoft_users(report: Report, show: Show = name) -> str:
    """Who signed in without MFA by Microsoft's list; empty where nobody."""
    users = report.microsoft.users if report.microsoft else ()
    return (
        f"Without MFA by Microsoft's list of users: {listed([one.name for one in users], show=show)}."
        if users
        else ""
    )


def headline(report: Report) -> str:
    """The answer's word and its sentence: "NO - 2 of 9 tools call Partner Center without MFA."."""
    return f"{ANSWERS[report.answer]} - {answer(report)}"


def machines(report: Report) -> list[str]:
    """The machines whose calls are in the report, each once, by name."""
    return sorted({source.machine for source in report.sources if source.machine})


def period(report: Report, show: Show = name) -> str:
    """From when to when, how much of it was recorded, where, and how many calls: three short sentences."""
    now = report.generated_at
    start = report.period.start or min(_starts(report), default=None)
    # The end is excluded: a period until midnight ends on the day before.
    end = report.period.end - timedelta(milliseconds=1) if report.period.end else now
    span = days(start, end, now) if start else f"Up to {day(end, now)}"
    pieces = [f"{span}."]
    recorded = report.recording
    where = f" on {listed(machines(report), show=show)}" if report.sources and machines(report) else ""
    recordings = sum(map(is_recording, report.sources))
    if recordings:
        # `mfa-audit run` records one command's moment, which covers nothing of a period.
        lasting = recorded.recorded_seconds or any(source.kind in _LASTING for source in report.sources)
        length = share(recorded.recorded_seconds, recorded.period_seconds)
        pieces.append(f"Recorded {length if lasting else count(recordings, 'single run')}{where}.")
        where = ""
    files = len(report.sources) - recordings
    if files:
        pieces.append(f"{count(files, 'file')} imported{where}.")
    pieces.append(f"{count(report.totals.requests, 'call')}.")
    return " ".join(pieces)


def _starts(report: Report) -> Iterable[datetime]:
    yield from (tool.first_seen for tool in report.tools)
    yield from (source.started for source in report.sources)


def unreadable(row: NotAudited, show: Show = name) -> str:
    """Which program could not be read, why, and how often: "pwsh refused our certificate (12 times)"."""
    who = row.program or row.user_agent
    named = show(who) if who else "A program of unknown name"
    why = _UNREADABLE.get(row.reason) or f"could not be read ({show(row.reason)})"
    on = f" on {show(row.machine)}" if row.machine else ""
    return f"{named}{on} {why} ({'once' if row.count == 1 else f'{row.count:,} times'})."


# What to do about what could not be read or recorded, by its reason.
_REPAIRS: Final = {
    "upstream-tls-failed": "Run mfa-audit doctor.",
    "tunnelled": "Run mfa-audit doctor.",
    "authority-ended": "Run mfa-audit doctor.",
    "other-name": "Run mfa-audit doctor.",
    "no-request": "Start it through mfa-audit run, or run mfa-audit doctor.",
    "unreachable": "Name this network's own proxy with --upstream, or run mfa-audit doctor.",
    "crashed": "Start it again (mfa-audit proxy), and look for the error in its log.",
    "unloaded": "Start it again (mfa-audit proxy).",
    "slept": "Keep the machine awake when its jobs run.",
    "behind": "Put the database on a local disk (--db FILE), and run mfa-audit doctor.",
}


def repair(row: NotAudited | Gap) -> str:
    """What to do about a blind spot or a gap, in one sentence; empty where nothing is to be done."""
    if isinstance(row, NotAudited) and row.reason in ("certificate-refused", "refused-before"):
        from mfa_audit.machine.environment.bypasses import (
            mend_refusal,  # loads psutil, which few reports need
        )

        told = sentence(mend_refusal(row.program, row.user_agent))
        return told[:1].upper() + told[1:] if told.startswith("start") else f"Run {told}"
    return _REPAIRS.get(row.reason, "")


def not_seen(report: Report, most: int | None = None, show: Show = name) -> list[str]:
    """What the report cannot know, a sentence each, at most `most` of them about programs."""
    rows = report.not_audited if most is None else report.not_audited[:most]
    told = [f"{unreadable(row, show)} {repair(row)}".rstrip() for row in rows]
    if len(rows) < len(report.not_audited):
        told.append(f"{count(len(report.not_audited) - len(rows), 'more program')} could not be read.")
    if report.recording.lost:
        verb = "was" if report.recording.lost == 1 else "were"
        told.append(f"{count(report.recording.lost, 'call')} {verb} lost before being stored.")
    if report.totals.without_token:
        told.append(f"{count(report.totals.without_token, 'call')} carried no token.")
    if report.totals.sanitised:
        told.append(sanitised(report))
    told.append(ELSEWHERE)
    return told


def because(report: Report) -> list[str]:
    """Why the answer is what it is, a sentence a reason, the weightiest first."""
    report = report.whole
    told = []
    failing = with_verdict(report, Verdict.NON_COMPLIANT)
    total = count(len(report.tools), "tool")
    if failing:
        told.append(
            f"{len(failing):,} of {total} {'calls' if len(failing) == 1 else 'call'} Partner Center without MFA."
        )
    if accepted(report):
        told.append(accepted(report))
    there = [one.name for one in report.microsoft.applications if one.failing] if report.microsoft else []
    if there:
        told.append(
            f"Microsoft counts {count(len(there), 'application')} as calling without MFA: {listed(there)}."
        )
    saved = [one.name for one in report.signed_in if one.failing]
    if saved:
        told.append(
            f"By Entra's log {count(len(saved), 'application')} that nobody recorded "
            f"{'signs' if len(saved) == 1 else 'sign'} in with a saved password: {listed(saved)}."
        )
    if not report.tools:
        without = report.totals.without_token
        told.append(
            f"{count(without, 'call')} seen, none with a token."
            if without
            else "No call with a token was seen."
        )
    unclear = with_verdict(report, Verdict.UNDETERMINED)
    if unclear:
        told.append(f"{len(unclear):,} of {total} cannot be told.")
    if report.quiet:
        verb = "was" if len(report.quiet) == 1 else "were"
        names = listed([tool.title for tool in report.quiet])
        told.append(
            f"{count(len(report.quiet), 'tool')} {verb} without MFA when last seen, before this period: {names}."
        )
    if report.decisions is not None:
        told += [missing(one, report.generated_at) for one in report.decisions.missing]
    unread = sum(row.count for row in report.not_audited)
    if unread:
        told.append(f"{count(unread, 'connection')} to Partner Center could not be read.")
    if report.recording.lost:
        told.append(f"{count(report.recording.lost, 'call')} could not be stored.")
    off = sorted({row.machine for row in report.recording.gaps if row.is_blind})
    if off:
        on = f" on {listed(off)}" if any(off) else ""
        told.append(f"The recorder was off at times{on}, and not because it was stopped.")
    if report.totals.sanitised:
        files = listed(report.sanitised_sources)
        calls = count(report.totals.sanitised, "call")
        told.append(f"{calls} had the token taken out of the capture ({files}): export it again.")
    return told or [f"All {total} seen used MFA or are exempt."]


# Further sentences for people, by their id in the report.
NOTES: Final = {
    "rounded": "The period is rounded to whole hours: older calls are kept as hourly totals only.",
    "several-jobs": "Where no script or program of its own is known, one row may stand for several jobs.",
    "programs-denied": "Some programs could not be named because rights were missing: run the recorder elevated to "
    "name them.",
    "folded": "More different callers came than are kept apart: the newest are counted under (other).",
    "validate": "ValidateMfa: true was added to calls, as asked for with --validate.",
    "enforce": "MS-Enforce-MFA: True was added to calls, as asked for with --enforce.",
    "own": "Only this recording was looked at, and nothing before it.",
    "counted-twice": "Some imported calls carry no request id and may also have been recorded live: they count twice.",
}


def notes(report: Report) -> list[str]:
    """The report's further sentences; an id that this version does not know, as it is."""
    told = [sentence(NOTES.get(note, note)) for note in report.notes]
    return [filtered(report), *told] if report.unfiltered is not None else told


def sanitised(report: Report) -> str:
    """How many calls came from captures in which no call has a token; why, cannot be known in general."""
    verb = "was" if report.totals.sanitised == 1 else "were"
    calls = count(report.totals.sanitised, "call")
    return f"{calls} {verb} imported from captures without tokens: capture them again with their Authorization headers."


def gap(row: Gap, now: datetime, show: Show = name) -> str:
    """From when to when the recorder was off and why: "2 Nov 01:00 to 07:30 (it was stopped)"."""
    start, end = moment(row.start, now), moment(row.end, now)
    same_day = day(row.start, now) == day(row.end, now)
    why = _OFF.get(row.reason) or show(row.reason)
    lost = f", {count(row.lost, 'call')} lost" if row.lost else ""
    span = f"{start} to {end[-5:] if same_day else end}"
    on = f" on {show(row.machine)}" if row.machine else ""
    return f"{span}, {duration((row.end - row.start).total_seconds())}{on} ({why}{lost})"


def who(tool: ToolRow, most: int = 1, show: Show = name) -> str:
    """Whose tokens the tool uses: "svc@contoso.example and 3 more", or "no user"."""
    return listed([user.name for user in tool.users], most, show) or "no user"


def tested(report: Report) -> str | None:
    """How many refusals mfa-audit itself caused by asking the server to check; None where there were none."""
    refused = sum(tool.counts.blocked_by_test for tool in report.whole.tools)
    if not refused:
        return None
    verb = "was" if refused == 1 else "were"
    return f"{count(refused, 'call')} {verb} refused because mfa-audit asked the server to check."


def why_now(tool: ToolRow, now: datetime) -> str | None:
    """Why the row stands as it does, in one sentence with dates; None where no call without MFA came."""
    why = tool.why
    if why is None:
        return None

    def at(seconds: float | None) -> str:
        return (
            ""
            if seconds is None
            else moment(datetime.fromtimestamp(seconds, UTC).astimezone(now.tzinfo), now)
        )

    tokens = f"{count(why.good_tokens, 'good token')} since {at(why.good_since)}"
    last = f"Without MFA since {at(why.first_bad)}, last {at(why.last_bad)}"
    return {
        "fixed": f"Fixed: {tokens}, and no call without MFA came back.",
        "waiting": f"Fixed? {tokens}. Confirmed after {at(why.until)} at the earliest, if the recorder runs and no "
        "call without MFA comes.",
        "captured": f"Fixed? {tokens}, in a capture, which does not show what came later.",
        "side-by-side": f"With and without MFA side by side since {at(why.first_bad)}: probably two jobs.",
    }.get(why.kind, f"{last}.")


def where(tool: ToolRow) -> str:
    """Where the calls of a row were made: "on PC17 as CONTOSO\\jo, started by cron", or "in portal.har"."""
    if tool.capture is not None:
        told = f"in {tool.capture or 'a capture'}" + (f", of {tool.machine}" if tool.machine else "")
    else:
        told = f"on {tool.machine}" if tool.machine else ""
    if tool.account:
        told += f" as {tool.account}"
    if tool.started_by:
        told += f", started by {tool.started_by}"
    return told.strip()


def cause(tool: ToolRow) -> str:
    """The likely cause in one sentence: "Likely a saved password (amr: pwd)."; empty where none is known."""
    if tool.advice is None:
        return ""
    if tool.causes and tool.causes[0].row.advice is tool.advice:
        return proven(tool.causes[0])
    text = tool.advice.cause.strip().rstrip(".")
    if text.startswith(("A ", "An ")):
        text = f"Likely a{text[1:]}"
    if "amr-without-mfa" in tool.reasons and tool.amr and "amr" not in text:
        text += f" (amr: {listed(tool.amr)})"
    return sentence(text)


def fix(tool: ToolRow) -> str:
    """What to do in one sentence, without the link; empty where nothing is to be done."""
    return sentence(tool.advice.fix) if tool.advice else ""


@dataclass(frozen=True, slots=True)
class Try:
    """One likely cause of an empty report, and the command that helps; the command may be empty."""

    cause: str
    command: str


def looked_at(report: Report, show: Show = line) -> str:
    """Which databases were read, on which machine and as whom."""
    files = ", ".join(map(show, report.databases)) or "no database"
    as_whom = f" as {show(report.account)}" if report.account else ""
    where = f" on {show(report.machine)}" if report.machine else ""
    return f"{files}{',' if as_whom or where else ''}{as_whom}{where}"


def _is_own(report: Report, start: datetime) -> bool:
    """Whether the period is that of one recording, which reports on itself."""
    return any(abs((source.started - start).total_seconds()) < 1 for source in report.sources)


def tries(report: Report) -> list[Try]:
    """Why nothing was seen, likeliest first, and what to try; never what the reader has just done."""
    own = report.period.start is not None and _is_own(report, report.period.start)
    found = []
    if report.not_audited:
        found.append(Try("The programs above reached the recorder but could not be read.", ""))
    if any(source.kind == "proxy" and (own or source.ended is None) for source in report.sources):
        found.append(
            Try("A program goes through the proxy only if its environment says so.", "mfa-audit env")
        )
    if not report.sources:
        where = "in this database yet" if report.period.start is None else "in this period"
        found.append(Try(f"Nothing has been recorded {where}.", "mfa-audit run -- COMMAND"))
    elif own and all(source.kind == "run" for source in report.sources):
        found.append(Try("The command did not call Partner Center, or ignores the proxy variables.", ""))
        found.append(
            Try(
                "The calls come from a service, a container or a job that it only triggers.",
                "mfa-audit proxy",
            )
        )
    else:
        found.append(
            Try("The tool did not go through the recorder. Start it with run.", "mfa-audit run -- COMMAND")
        )
    if report.period.start is not None and not own:
        found.append(Try("The tool last ran before this period.", "mfa-audit report --since all"))
    found.append(
        Try(
            "The tool runs as another account or on another machine, which has a database of its own.",
            "mfa-audit report --db FILE",
        )
    )
    found.append(Try("To see what a report looks like.", "mfa-audit demo"))
    return found

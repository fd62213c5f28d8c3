"""The answer in one sentence, what it rests on, and what holds for the report as a whole."""

from __future__ import annotations

from typing import Final

from mfa_audit.formats import microsoft_words
from mfa_audit.formats.decision_words import accepted, filtered, missing
from mfa_audit.formats.words import ANSWERS, listed, sentence, with_verdict
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count
from mfa_audit.reports.fixes import is_blocked
from mfa_audit.reports.model import Report


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
        text += f" {blocked:,} {'is' if blocked == 1 else 'are'} blocked now." if blocked else ""
        if more := microsoft_words.failing(report):
            there = count(more, "more application")
            text += f" Microsoft lists {there} that no recorder of yours saw."
        return text
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
    if failing := microsoft_words.failing(report):
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


def headline(report: Report) -> str:
    """The answer's word and its sentence: "NO - 2 of 9 tools call Partner Center without MFA."."""
    return f"{ANSWERS[report.answer]} - {answer(report)}"


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
    there = [one.name for one in microsoft_words.unseen(report) if one.failing]
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


def tested(report: Report) -> str | None:
    """How many refusals mfa-audit itself caused by asking the server to check; None where there were none."""
    refused = sum(tool.counts.blocked_by_test for tool in report.whole.tools)
    if not refused:
        return None
    verb = "was" if refused == 1 else "were"
    return f"{count(refused, 'call')} {verb} refused because mfa-audit asked the server to check."

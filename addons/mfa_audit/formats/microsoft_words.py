"""Sentences about what Microsoft's own lists say."""

from __future__ import annotations

from datetime import datetime

from mfa_audit.formats.words import VERDICTS, Show, listed, name
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, day
from mfa_audit.reports.model import Match, MicrosoftApplication, Report


def title(report: Report) -> str:
    """ "3 applications that no recorder of yours saw"; what else Microsoft says, where there is none."""
    ids = {one.application_id or one.name for one in unseen(report)}
    ids |= {one.application_id for one in report.signed_in}
    return (
        f"{count(len(ids), 'application')} that no recorder of yours saw"
        if ids
        else "By Microsoft's own lists"
    )


def failing(report: Report) -> int:
    """How many of them call without MFA by Microsoft's own lists."""
    return sum(one.failing for one in unseen(report))


def further(report: Report, show: Show = name) -> list[str]:
    """What else the lists say, a sentence each."""
    return [text for text in (users(report, show), coverage(report)) if text]


def coverage(report: Report) -> str:
    """How many of Microsoft's listed calls were recorded too, and on how many the two disagree."""
    found = report.microsoft
    if found is None or not found.calls:
        return ""
    verb = "was" if found.seen == 1 else "were"
    told = f"Of {count(found.calls, 'call')} that Microsoft lists, {found.seen:,} {verb} recorded here"
    told += f" ({found.seen * 100 // found.calls}%)."
    if found.disagreements:
        told += f" On {count(found.disagreements, 'call')} Microsoft's verdict is not the token's."
    return told


def match(one: Match, show: Show = name) -> str:
    """Calls of one kind that both saw: "CIPP: 12 calls as Billing. Token: Without MFA. Microsoft: no word."."""
    who = show(one.tool) if one.program is None else f"{show(one.program)} ({show(one.tool)})"
    microsoft = {True: "with MFA", False: "without MFA", None: "no word"}[one.microsoft_compliant]
    agent = f", {show(one.user_agent)}" if one.user_agent else ""
    told = f"{who}{agent}: {count(one.calls, 'call')} as {show(one.application)}."
    return f"{told} Token: {VERDICTS[one.verdict]}. Microsoft: {microsoft}{' - they disagree' if one.disagree else ''}."


def application(one: MicrosoftApplication, now: datetime, show: Show = name) -> str:
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


def unseen(report: Report) -> list[MicrosoftApplication]:
    """Applications of Microsoft's lists that no row of the report stands for; worst first.

    One whose calls were recorded is a row already, and Microsoft's word is in it; unless Microsoft counts calls without
    MFA that nobody recorded, and no row of that application fails.
    """
    found = report.microsoft.applications if report.microsoft else ()
    every = report.whole.tools
    rows = {row.app_id for row in every}
    bad = {row.app_id for row in every if row.verdict is Verdict.NON_COMPLIANT}
    return [
        one
        for one in found
        if (one.failing and one.application_id not in bad)
        or (not one.seen and one.application_id not in rows)
    ]


def users(report: Report, show: Show = name) -> str:
    """Who signed in without MFA by Microsoft's list; empty where nobody."""
    users = report.microsoft.users if report.microsoft else ()
    return (
        f"Without MFA by Microsoft's list of users: {listed([one.name for one in users], show=show)}."
        if users
        else ""
    )

"""Sentences about what was recorded, what could not be read, and when the recorder was off."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from mfa_audit.formats.words import ELSEWHERE, Show, listed, name, sentence
from mfa_audit.printable import count, day, days, duration, moment, share
from mfa_audit.reports.model import Gap, NotAudited, Report, Source

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


def not_seen(
    report: Report, most: int | None = None, show: Show = name, *, repairs: bool = True
) -> list[str]:
    """What the report cannot know, a sentence each, at most `most` of them about programs.

    `repairs`: with what to do about it.
    """
    rows = report.not_audited if most is None else report.not_audited[:most]
    told = [f"{unreadable(row, show)} {repair(row) if repairs else ''}".rstrip() for row in rows]
    if len(rows) < len(report.not_audited):
        told.append(f"{count(len(report.not_audited) - len(rows), 'more program')} could not be read.")
    return [*told, *_uncounted(report)]


def not_seen_in_short(report: Report) -> list[str]:
    """The same with all programs in one sentence."""
    rows = report.not_audited
    if len(rows) < 2:
        return not_seen(report, repairs=False)
    first = name(rows[0].program or rows[0].user_agent or "A program of unknown name")
    more = count(len(rows) - 1, "more program")
    return [f"{first} and {more} could not be read.", *_uncounted(report)]


def _uncounted(report: Report) -> list[str]:
    told = []
    if report.recording.lost:
        verb = "was" if report.recording.lost == 1 else "were"
        told.append(f"{count(report.recording.lost, 'call')} {verb} lost before being stored.")
    if report.totals.without_token:
        told.append(f"{count(report.totals.without_token, 'call')} carried no token.")
    if report.totals.sanitised:
        told.append(sanitised(report))
    return [*told, ELSEWHERE]


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

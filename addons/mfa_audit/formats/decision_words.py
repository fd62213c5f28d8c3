"""Sentences about decisions, filters and what changed. Each is plain text, already harmless on one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, date_name, day, line, moment
from mfa_audit.reports.decided import Change, Comparison, Decided, DecisionsRead, Entry, Expected, Fix, Remark
from mfa_audit.reports.model import Report, ToolRow

Show = Callable[[str], str]

DECISIONS: Final = "Decisions"
RETIRED: Final = "Retired by decision"
CHANGED: Final = "What changed"
_FAILING: Final = frozenset({Verdict.NON_COMPLIANT, Verdict.UNDETERMINED})


def name(text: str) -> str:
    """A text of a decision within a sentence."""
    return line(text, 80)


def decided(row: ToolRow, now: datetime, show: Show = name) -> list[str]:
    """What was decided about a row, a sentence each: "Accepted until 31 Dec: the vendor is late."."""
    one = row.decided
    if one is None:
        return []
    told = []
    if one.accepted_until is not None and row.verdict in _FAILING:
        until = date_name(one.accepted_until, now)
        reason = f": {show(one.reason)}" if one.reason else ""
        told.append(
            f"Accepted until {until}{reason}{_by(one.who('accept'), now, show)}. It counts all the same."
            if one.accepted
            else f"Was accepted until {until}, which is over: it counts again."
        )
    if one.fixed is not None and one.fix is not None:
        told.append(_fix(one, now, show))
    if one.retired is not None:
        told.append(_retired(one, now, show))
    elif one.is_retired:
        told.append("Retired by --retired.")
    if one.owner:
        told.append(f"Owner: {show(one.owner)}.")
    if one.ticket:
        told.append(f"Ticket: {show(one.ticket)}.")
    if one.due is not None and row.verdict in _FAILING:
        told.append(f"{'Was due' if one.overdue else 'Due'} {date_name(one.due, now)}.")
    return told


def _fix(one: Decided, now: datetime, show: Show) -> str:
    assert one.fixed is not None  # noqa: S101 - the caller has looked
    said = f"Said to be fixed on {date_name(one.fixed, now)}{_by(one.who('fixed'), now, show)}"
    tokens = count(one.good_tokens, "good token")
    match one.fix:
        case Fix.CONFIRMED:
            return f"{said}: {tokens} since, and no call without MFA."
        case Fix.CONTRADICTED:
            last = moment(one.last_bad, now) if one.last_bad else "since"
            return f"{said}, but called without MFA again, last {last}."
        case Fix.SIDE_BY_SIDE:
            return (
                f"{said}: {tokens} since, but such came between the calls without MFA before, too. "
                "It counts until the next of those was due."
            )
        case Fix.AHEAD:
            return f"{said}: that is to come."
        case _:
            return f"{said}, but no good token came since: run it once."


def _retired(one: Decided, now: datetime, show: Show) -> str:
    assert one.retired is not None  # noqa: S101 - the caller has looked
    on = f"{date_name(one.retired, now)}{_by(one.who('retired'), now, show)}"
    if one.called_again is not None:
        return f"Retired on {on}, but called again, last {moment(one.called_again, now)}: it counts."
    return f"Retired on {on}." if one.is_retired else f"To be retired on {on}."


def _by(entry: Entry | None, now: datetime, show: Show) -> str:
    if entry is None:
        return ""
    parts = [show(entry.by)] if entry.by else []
    if entry.at:
        parts.append(date_name(entry.at, now))
    return (
        f" (decided by {', '.join(parts)})"
        if parts and entry.by
        else f" (decided {parts[0]})"
        if parts
        else ""
    )


def followed(report: Report, show: Show = name) -> list[str]:
    """Which decisions the report follows and what they came to, a sentence each; empty where there are none."""
    found = report.decisions
    if found is None:
        return []
    if found.problem is not None:
        return [
            f"{show(found.source)} was {found.problem}: name it with --decisions, or make it yours alone."
        ]
    told = [
        f"{count(found.rows, 'row')} decided by {count(found.entries, 'entry', 'entries')} in {show(found.source)} "
        f"(SHA-256 {found.sha256})."
    ]
    shares = expected(found)
    if shares:
        told.append(shares)
    told += [missing(one, report.generated_at, show) for one in found.missing]
    return told + [remark(one, report.generated_at, show) for one in found.remarks]


def expected(found: DecisionsRead) -> str:
    """The share of expected tools that were seen; empty where none is expected."""
    if not found.expected:
        return ""
    every = len(found.expected)
    return f"{every - len(found.missing):,} of {count(every, 'expected tool')} seen."


def missing(one: Expected, now: datetime, show: Show = name) -> str:
    """An expected tool that was not seen."""
    last = f"last seen {moment(one.last_seen, now)}" if one.last_seen else "never seen"
    return f"{show(one.title)} is expected {one.rhythm}, and was not seen ({last})."


_REMARKS: Final = {
    "unmatched": "fits no tool in this database: correct its match, or take it out",
    "over": "is accepted until {at}, which is over: it counts again",
    "overdue": "was due {at}, and {row} is not fixed",
    "fixed-ahead": "is fixed on {at}, which is to come: nothing is forgiven yet",
    "retired-ahead": "is retired on {at}, which is to come",
    "called-again": "is retired, but {row} called again, last on {at}: it counts",
    "contradicted": "is fixed, but {row} called without MFA again, last on {at}",
}


def remark(one: Remark, now: datetime, show: Show = name) -> str:
    """Something about an entry that its author should know."""
    at = date_name(one.at, now) if one.at else ""
    entry = one.entry[:1].upper() + one.entry[1:]
    return f"{show(entry)} {_REMARKS[one.kind].format(at=at, row=show(one.row or 'it'))}."


def accepted(report: Report) -> str:
    """How many failing or unclear tools are accepted; empty where none is."""
    rows = [row for row in (*report.whole.tools, *report.whole.quiet) if row.verdict in _FAILING]
    found = sum(row.decided is not None and row.decided.accepted for row in rows)
    return (
        f"{found:,} of them {'is' if found == 1 else 'are'} accepted by decision, and counted."
        if found
        else ""
    )


def filtered(report: Report) -> str:
    """That filters leave rows out; empty where there are no filters."""
    if report.unfiltered is None:
        return ""
    return f"Filters leave {count(report.hidden, 'tool')} out of the list. The answer and the counts are of all tools."


def changed(report: Report, show: Show = name) -> list[str]:
    """What is not as it was in the earlier report, a sentence a kind; empty where nothing was compared."""
    found = report.comparison
    if found is None:
        return []
    now = report.generated_at
    source = "" if found.source == _days_ago(found, now) else f" ({show(found.source)})"
    told = [f"Since {moment(found.at, now)}{source}:"]
    for label, rows in (
        ("new without MFA", found.new),
        ("newly blocked", found.newly_blocked),
        ("fixed", found.fixed),
        ("fixed, waiting to be confirmed", found.waiting),
        ("gone quiet", found.quiet),
    ):
        told.append(f"{len(rows):,} {label}{_titles(rows, show)}.")
    told.append(f"{count(len(found.decided), 'decision')} made since{_some(found.decided, show)}.")
    return told


def _days_ago(found: Comparison, now: datetime) -> str:
    return f"{(now - found.at).days}d"


def _titles(rows: Sequence[Change], show: Show) -> str:
    return _some([row.title for row in rows], show)


def _some(titles: Sequence[str], show: Show, most: int = 5) -> str:
    if not titles:
        return ""
    more = f" and {len(titles) - most:,} more" if len(titles) > most else ""
    return f": {', '.join(map(show, titles[:most]))}{more}"


def retired(row: ToolRow, now: datetime, show: Show = name) -> str:
    """A retired row in one sentence."""
    return f"{show(row.title)}, last {day(row.last_seen, now)}. {' '.join(decided(row, now, show))}"

"""Decisions, changes and weeks as JSON has them; docs/report.schema.json describes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from mfa_audit.formats import decision_words
from mfa_audit.printable import utc
from mfa_audit.reports.decided import Change, Comparison, DecisionsRead
from mfa_audit.reports.model import Report, ToolRow


def of_report(report: Report) -> dict[str, Any]:
    """The keys of a report."""
    return {
        "decisions": None if report.decisions is None else _decisions(report.decisions, report),
        "comparison": None if report.comparison is None else _comparison(report.comparison),
        "weeks": [
            {
                "monday": week.monday.isoformat(),
                "tools": week.tools,
                "failing": week.failing,
                "blocked": week.blocked,
                "unclear": week.unclear,
            }
            for week in report.weeks
        ],
        "filtered": None if report.unfiltered is None else report.hidden,
    }


def of_row(row: ToolRow, now: datetime) -> dict[str, Any] | None:
    """What was decided about a row; None where nothing was."""
    one = row.decided
    if one is None:
        return None
    return {
        "tool": one.called,
        "owner": one.owner,
        "ticket": one.ticket,
        "due": _day(one.due),
        "overdue": one.overdue,
        "accepted": one.accepted,
        "accepted_until": _day(one.accepted_until),
        "reason": one.reason,
        "fixed": _day(one.fixed),
        "fix": None if one.fix is None else str(one.fix),
        "good_tokens": one.good_tokens,
        "retired": _day(one.retired),
        "is_retired": one.is_retired,
        "expect": one.expect,
        "entries": [
            {
                "number": entry.number,
                "says": list(entry.says),
                "decided_by": entry.by,
                "decided_at": _day(entry.at),
            }
            for entry in one.entries
        ],
        "sentences": decision_words.decided(row, now),
    }


def _decisions(found: DecisionsRead, report: Report) -> dict[str, Any]:
    return {
        "source": found.source,
        "sha256": found.sha256,
        "entries": found.entries,
        "rows": found.rows,
        "expected": [
            {
                "title": one.title,
                "rhythm": one.rhythm,
                "last_seen": None if one.last_seen is None else utc(one.last_seen),
                "seen": one.seen,
            }
            for one in found.expected
        ],
        "sentences": decision_words.followed(report),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "at": utc(found.at),
        "source": found.source,
        "new": _changes(found.new),
        "fixed": _changes(found.fixed),
        "waiting": _changes(found.waiting),
        "newly_blocked": _changes(found.newly_blocked),
        "quiet": _changes(found.quiet),
        "decided": list(found.decided),
    }


def _changes(rows: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {
            "key": row.key,
            "title": row.title,
            "verdict": None if row.verdict is None else str(row.verdict),
            "before": None if row.before is None else str(row.before),
            "last_seen": utc(row.last_seen),
        }
        for row in rows
    ]


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()

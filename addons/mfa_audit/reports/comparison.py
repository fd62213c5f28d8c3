"""What changed between two reports, the earlier of which may be a JSON file that shows people by name. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mfa_audit.errors import AuditError
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import line
from mfa_audit.reports.decided import Change, Comparison
from mfa_audit.reports.decisions import Decisions
from mfa_audit.reports.model import Report, ToolRow
from mfa_audit.reports.rulings import decided_since

_FINE: Final = frozenset({Verdict.COMPLIANT, Verdict.EXEMPT})


@dataclass(frozen=True, slots=True)
class Then:
    """A row as it was: `blocked` while its calls were refused because MFA was missing."""

    key: str
    title: str
    verdict: Verdict
    blocked: bool
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An earlier report: when it was made, where from, and its rows by their keys."""

    at: datetime
    source: str
    rows: Mapping[str, Then]


def snapshot_of(report: Report, source: str) -> Snapshot:
    """A report as something to compare a later one with."""
    at = report.period.end or report.generated_at
    return Snapshot(at, source, {row.named_key: _then(row) for row in _rows(report)})


def read_snapshot(text: str, source: str) -> Snapshot:
    """The snapshot in a report that was written as JSON. Raises AuditError."""
    try:
        data = json.loads(text)
        at = _time(data["period"]["to"] or data["generated_at"])
        rows = {str(row["key"]): _read_row(row) for row in (*data["tools"], *data["quiet"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise AuditError(
            f"{line(source)} is no report that can be compared with: make one with "
            "mfa-audit report --format json --output FILE.json, without filters."
        ) from None
    if data.get("filtered"):
        raise AuditError(f"{line(source)} lists only some of its tools: make one without filters.")
    return Snapshot(at, source, rows)


def compare_with(before: Snapshot, report: Report, decisions: Decisions) -> Comparison:
    """What changed from the earlier report to this one."""
    now = {row.named_key: row for row in _rows(report)}
    known = before.rows
    failing = [row for row in now.values() if row.verdict is Verdict.NON_COMPLIANT]
    failed = {key for key, then in known.items() if then.verdict is Verdict.NON_COMPLIANT}
    at = report.period.end or report.generated_at
    lately = before.at - (at - before.at)
    return Comparison(
        before.at,
        before.source,
        new=_changes((row for row in failing if row.named_key not in failed), known),
        fixed=_changes((row for key, row in now.items() if key in failed and row.verdict in _FINE), known),
        waiting=_changes(
            (row for key, row in now.items() if key in failed and row.verdict is Verdict.UNDETERMINED), known
        ),
        newly_blocked=_changes(
            (
                row
                for row in failing
                if row.counts.blocked and not (row.named_key in known and known[row.named_key].blocked)
            ),
            known,
        ),
        quiet=tuple(
            Change(
                now[key].key if key in now else then.key,
                now[key].title if key in now else then.title,
                now[key].verdict if key in now else None,
                then.verdict,
                then.last_seen,
            )
            for key, then in known.items()
            if then.last_seen >= lately and (key not in now or now[key].last_seen <= before.at)
        ),
        decided=decided_since(decisions, before.at),
    )


def _rows(report: Report) -> Iterable[ToolRow]:
    return (*report.whole.tools, *report.whole.quiet)


def _then(row: ToolRow) -> Then:
    blocked = row.counts.blocked > 0 and row.verdict is Verdict.NON_COMPLIANT
    return Then(row.key, row.title, row.verdict, blocked, row.last_seen)


def _changes(rows: Iterable[ToolRow], known: Mapping[str, Then]) -> tuple[Change, ...]:
    return tuple(
        Change(
            row.key,
            row.title,
            row.verdict,
            known[row.named_key].verdict if row.named_key in known else None,
            row.last_seen,
        )
        for row in rows
    )


def _read_row(row: Mapping[str, Any]) -> Then:
    verdict = Verdict(row["verdict"])
    title = str(row["title"])
    return Then(
        str(row["key"]),
        title,
        verdict,
        row["blocked"] > 0 and verdict is Verdict.NON_COMPLIANT,
        _time(row["last_seen"]),
    )


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment

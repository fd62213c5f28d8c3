"""The report as CSV, for a spreadsheet: a row per tool and user. Filtered by `fix`, it is the plan of what to do.

Comma-separated, every cell quoted, UTF-8 with a byte order mark and CRLF, as Excel wants it. Times are UTC in
the form that Excel takes for a time. Numbers of a user can be added up; those of a whole tool, which stand on
each of its rows, begin with `tool_`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Final

from mfa_audit.formats import decision_words, fix_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import csv_cell
from mfa_audit.reports.fixes import group_of
from mfa_audit.reports.model import Report, ToolRow, UserRow

BYTE_ORDER_MARK: Final = "\ufeff"
COLUMNS: Final = (
    *("tool", "program", "app_id", "user", "tenant", "verdict", "verdict_title", "reasons", "reason_titles"),
    *("requests", "first_seen_utc", "last_seen_utc", "tool_verdict", "tool_requests", "tool_blocked"),
    *("tool_blocked_by_test", "tool_expired", "tool_tokens", "amr", "client", "application", "sdk_versions"),
    *(
        "user_agents",
        "likely_cause",
        "fix",
        "link",
        "in_period",
        "machine",
        "account",
        "started_by",
        "capture",
    ),
    *("title", "side_by_side", "why", "todo", "key", "owner", "ticket", "due", "accepted_until", "decided"),
    *("decisions_sha256", "decisions_rows"),
)


def render(report: Report) -> str:
    """The report's tools, and those gone quiet, as CSV; write it without translating newlines."""
    file = StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    decisions = report.decisions
    followed = (decisions.sha256 or "", str(decisions.rows)) if decisions else ("", "")
    for tools, in_period in ((report.tools, "yes"), (report.quiet, "no"), (report.retired, "retired")):
        for tool in tools:
            without = () if tool.no_user is None else (tool.no_user,)
            for user in (*tool.users, *without) or (None,):
                cells = (*_cells(tool, user), in_period, *_origin(tool, report.generated_at), *followed)
                writer.writerow(csv_cell(cell) for cell in cells)
    return BYTE_ORDER_MARK + file.getvalue()


def _cells(tool: ToolRow, user: UserRow | None) -> Iterator[str]:
    part = user or tool
    yield tool.name
    yield tool.program or ""
    yield tool.app_id or ""
    yield user.name if user else ""
    yield (user.tenant if user else None) or ""
    yield str(part.verdict)
    yield words.VERDICTS[part.verdict]
    yield " ".join(part.reasons)
    yield words.why(part.reasons)
    yield str(part.requests)
    yield _time(part.first_seen)
    yield _time(part.last_seen)
    yield str(tool.verdict)
    yield from map(str, (tool.requests, tool.counts.blocked, tool.counts.blocked_by_test))
    yield from map(str, (tool.counts.expired, tool.tokens))
    yield "; ".join(tool.amr)
    yield tool.client or ""
    yield tool.application or ""
    yield "; ".join(tool.sdk_versions)
    yield "; ".join(tool.user_agents)
    # On rows that fail only, so that what is left of a filtered column is the list of what to do.
    yield from fix_words.plan(tool.advice if part.verdict is Verdict.NON_COMPLIANT else None)


def _origin(tool: ToolRow, now: datetime) -> Iterator[str]:
    yield tool.machine
    yield tool.account or ""
    yield tool.started_by or ""
    yield tool.capture or ""
    yield tool.title
    yield "yes" if tool.side_by_side else ""
    yield words.why_now(tool, now) or ""
    yield fix_words.GROUPS[group_of(tool)]
    yield tool.key
    decided = tool.decided
    yield (decided and decided.owner) or ""
    yield (decided and decided.ticket) or ""
    yield decided.due.isoformat() if decided and decided.due else ""
    yield decided.accepted_until.isoformat() if decided and decided.accepted_until else ""
    yield " ".join(decision_words.decided(tool, now))


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")

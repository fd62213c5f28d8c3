"""The report as JSON, for programs. Described by docs/report.schema.json.

Additions keep `schema_version`; a key that changes its meaning or goes away raises it. Written key by key, so
that a renamed field of ours can never rename one of theirs.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from mfa_audit.formats import decisions_data
from mfa_audit.formats.answer_words import because, notes
from mfa_audit.formats.words import PROVES_NOT, title_of, why_now
from mfa_audit.judging.causes import Cause
from mfa_audit.printable import utc
from mfa_audit.reports.fixes import Group, Remedy, by_group, group_of, remedies
from mfa_audit.reports.model import (
    CredentialRow,
    Gap,
    Microsoft,
    NotAudited,
    Previously,
    Report,
    SignedIn,
    Source,
    ToolRow,
    UserRow,
)

SCHEMA_VERSION: Final = 1


def render(report: Report) -> str:
    """Indented JSON in ASCII only; texts parse back to what was seen.

    ASCII, so that neither a terminal nor an old Windows code page makes something else of it. A lone
    surrogate, which many readers of JSON refuse, becomes U+FFFD.
    """
    return json.dumps(_whole(to_data(report)), indent=2, ensure_ascii=True) + "\n"


def to_data(report: Report) -> dict[str, Any]:
    """The report as dicts, lists, strings and numbers. Times are UTC, as "2026-11-07T02:00:00Z"."""
    return {
        "schema_version": SCHEMA_VERSION,
        "generated_at": utc(report.generated_at),
        "answer": str(report.answer),
        "answer_because": because(report),
        "period": {
            "from": _time(report.period.start),
            "to": _time(report.period.end),
            "rounded": report.period.rounded,
        },
        "totals": {
            "tools": report.totals.tools,
            "tokens": report.totals.tokens,
            "requests": report.totals.requests,
            "without_token": report.totals.without_token,
            "sanitised": report.totals.sanitised,
        },
        "tools": [_tool(row, report.generated_at) for row in report.tools],
        "not_audited": [_not_audited(row) for row in report.not_audited],
        "recorder": {
            "recorded_seconds": report.recording.recorded_seconds,
            "lost": report.recording.lost,
            "gaps": [_gap(row) for row in report.recording.gaps],
            "period_seconds": report.recording.period_seconds,
            "machines": [
                {"machine": one.machine, "recorded_seconds": one.recorded_seconds, "lost": one.lost}
                for one in report.recording.machines
            ],
        },
        "quiet": [_tool(row, report.generated_at) for row in report.quiet],
        "sources": [_source(row) for row in report.sources],
        "databases": list(report.databases),
        "machine": report.machine,
        "account": report.account,
        "notes": notes(report),
        "microsoft": None if report.microsoft is None else _microsoft(report.microsoft),
        "signed_in": [_signed_in(row) for row in report.signed_in],
        **decisions_data.of_report(report),
        "retired": [_tool(row, report.generated_at) for row in report.retired],
        "fixes": [_remedy(one) for one in remedies(by_group(report.tools)[Group.FIX_FIRST])],
        "limits": list(PROVES_NOT),
        "reason_titles": {reason: title_of(reason) for reason in sorted(_reasons(report))},
    }


def _tool(row: ToolRow, now: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "app_id": row.app_id,
        "client": row.client,
        "application": row.application,
        "sdk_versions": list(row.sdk_versions),
        "user_agents": list(row.user_agents),
        "programs": list(row.programs),
        "verdict": str(row.verdict),
        "reasons": list(row.reasons),
        "requests": row.requests,
        "tokens": row.tokens,
        "blocked": row.counts.blocked,
        "server": {
            "compliant": row.counts.server_compliant,
            "non_compliant": row.counts.server_non_compliant,
        },
        "users": [user.name for user in row.users],
        "tenants": list(row.tenants),
        "first_seen": utc(row.first_seen),
        "last_seen": utc(row.last_seen),
        "advice": None if row.advice is None else row.advice.text,
        "previously": None if row.previously is None else _previously(row.previously),
        "title": row.title,
        "blocked_by_test": row.counts.blocked_by_test,
        "expired": row.counts.expired,
        "amr": list(row.amr),
        "operations": [{"operation": name, "requests": requests} for name, requests in row.operations],
        "days": _days(row),
        "by_user": [_user(user) for user in row.users],
        "advice_link": None if row.advice is None else row.advice.link,
        "causes": [_cause(one) for one in row.causes],
        "accepted": row.counts.accepted,
        "unanswered": row.counts.unanswered,
        "refused": row.counts.refused,
        "microsoft": {
            "compliant": row.counts.microsoft_compliant,
            "non_compliant": row.counts.microsoft_non_compliant,
        },
        "machine": row.machine,
        "capture": row.capture,
        "specific": row.specific,
        "side_by_side": row.side_by_side,
        "waiting_until": _time(row.waiting_until),
        "why": why_now(row, now),
        "credentials": [_credential(one) for one in row.credentials],
        "account": row.account,
        "started_by": row.started_by,
        "program": row.program,
        "key": row.key,
        "decided": decisions_data.of_row(row, now),
        "group": str(group_of(row)),
    }


def _days(row: ToolRow) -> list[dict[str, Any]]:
    days: list[dict[str, Any]] = [{"date": date, "requests": requests} for date, requests in row.days]
    for day, parts in zip(days, row.day_parts, strict=False):
        day.update(parts._asdict())
    return days


def _remedy(one: Remedy) -> dict[str, Any]:
    advice = one.advice
    return {
        "cause": None if advice is None else advice.cause,
        "fix": None if advice is None else advice.fix,
        "link": None if advice is None else advice.link,
        "side_effect": one.side_effect,
        "blocked": one.blocked,
        "requests": one.requests,
        "tools": [row.title for row in one.rows],
    }


def _user(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "tenant": row.tenant,
        "verdict": str(row.verdict),
        "reasons": list(row.reasons),
        "requests": row.requests,
        "first_seen": utc(row.first_seen),
        "last_seen": utc(row.last_seen),
    }


def _credential(row: CredentialRow) -> dict[str, Any]:
    return {
        "app_id": row.app_id,
        "user": row.user,
        "verdict": str(row.verdict),
        "reasons": list(row.reasons),
        "first_seen": utc(row.first_seen),
        "last_seen": utc(row.last_seen),
    }


def _previously(before: Previously) -> dict[str, Any]:
    return {
        "verdict": str(before.verdict),
        "until": utc(before.until),
        "requests": before.requests,
    }


def _not_audited(row: NotAudited) -> dict[str, Any]:
    return {
        "host": row.host,
        "user_agent": row.user_agent,
        "program": row.program,
        "reason": row.reason,
        "count": row.count,
        "first_seen": utc(row.first_seen),
        "last_seen": utc(row.last_seen),
        "account": row.account,
        "started_by": row.started_by,
        "machine": row.machine,
    }


def _gap(row: Gap) -> dict[str, Any]:
    return {
        "from": utc(row.start),
        "to": utc(row.end),
        "reason": row.reason,
        "lost": row.lost,
        "machine": row.machine,
    }


def _source(row: Source) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "sha256": row.sha256,
        "machine": row.machine,
        "account": row.account,
        "version": row.version,
        "started": utc(row.started),
        "ended": _time(row.ended),
        "validate": row.validate,
        "enforce": row.enforce,
        "requests": row.requests,
    }


def _microsoft(found: Microsoft) -> dict[str, Any]:
    return {
        "calls": found.calls,
        "seen": found.seen,
        "applications": [
            {
                "app_id": one.application_id,
                "name": one.name,
                "calls": one.calls,
                "with_mfa": one.with_mfa,
                "without_mfa": one.without_mfa,
                "seen": one.seen,
                "failing": one.failing,
                "users": list(one.users),
                "last_seen": _time(one.last_seen),
            }
            for one in found.applications
        ],
        "users": [
            {"name": one.name, "tenant": one.tenant, "last_seen": _time(one.last_seen)} for one in found.users
        ],
        "disagreements": found.disagreements,
        "matches": [
            {
                "application": one.application,
                "tool": one.tool,
                "program": one.program,
                "user_agent": one.user_agent,
                "verdict": str(one.verdict),
                "microsoft_compliant": one.microsoft_compliant,
                "disagree": one.disagree,
                "calls": one.calls,
                "request_id": one.request_id,
            }
            for one in found.matches
        ],
    }


def _reasons(report: Report) -> set[str]:
    found: set[str] = set()
    for tool in (*report.tools, *report.quiet, *report.retired):
        found.update(tool.reasons, *(user.reasons for user in tool.users))
    return found


def _time(when: datetime | None) -> str | None:
    return None if when is None else utc(when)


def _whole(value: Any) -> Any:
    """`value` with lone surrogates replaced in every string."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _cause(one: Cause) -> dict[str, Any]:
    return {
        "id": one.id,
        "certainty": "proven",
        "title": one.row.title,
        "sign_ins": one.sign_ins,
        "last_seen": utc(datetime.fromtimestamp(one.last, UTC)),
        "policies": [{"name": name, "result": result} for name, result in one.policies],
        "fix": one.row.advice.fix,
        "side_effect": one.row.side_effect,
        "source": one.row.at,
    }


def _signed_in(row: SignedIn) -> dict[str, Any]:
    return {
        "application_id": row.application_id,
        "name": row.name,
        "users": list(row.users),
        "sign_ins": row.sign_ins,
        "failing": row.failing,
        "causes": [_cause(one) for one in row.causes],
        "last_seen": utc(row.last_seen),
    }

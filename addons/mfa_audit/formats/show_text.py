"""One tool in full, as plain text: `mfa-audit show`. Links and lines to copy are never broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final

from mfa_audit.formats import decision_words, words
from mfa_audit.formats.cause_words import proven, query
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, date_name, day, line, moment, zone
from mfa_audit.reports.fixes import is_blocked
from mfa_audit.reports.model import CredentialRow, Report, ToolRow
from mfa_audit.reports.run_clock import clock_of
from mfa_audit.store.failing_calls import FailingCall

_LABEL: Final = 12
_MOST: Final = 10


def render_tool(
    report: Report, row: ToolRow, calls: Sequence[FailingCall], *, width: int = 80, options: str = ""
) -> str:
    """All that is known of a row, ending in a newline; `calls` are its last ones without MFA, newest first.

    `options` are what the reader has typed and has to type again, such as `--db FILE`, quoted for a shell.
    """
    return "\n".join(_lines(report, row, calls, max(width, 60), options)) + "\n"


def _lines(
    report: Report, row: ToolRow, calls: Sequence[FailingCall], width: int, options: str
) -> Iterator[str]:
    now = report.generated_at
    state = words.BLOCKED if is_blocked(row) else words.VERDICTS[row.verdict]
    yield from _wrap(f"{words.name(row.title)} - {state}", width)
    yield from _fact("Key", row.key, width)
    yield from _fact("Where", words.where(row), width)
    yield from _fact("Program", words.listed(row.programs, 5), width)
    yield from _fact("App id", line(row.app_id or ""), width)
    yield from _fact("Calls", f"{count(row.requests, 'call')} with {count(row.tokens, 'token')}", width)
    yield from _fact("Tenants", words.listed(row.tenants, 5), width)
    yield from _fact("User-Agent", words.listed(row.user_agents), width)
    for label, texts in (
        ("Why", _why(row, now)),
        ("Decided", decision_words.decided(row, now)),
        ("Signs in as", [_credential(one, now) for one in row.credentials[:_MOST]]),
        ("Clock", _clock(row, now)),
    ):
        for number, text in enumerate(texts):
            yield from _fact(label if number == 0 else "", text, width)
    yield from _calls(calls, now, width)
    if row.operations:
        yield from ("", "Operations")
        yield from (
            f"  {requests:>9,}  {line(operation, 100)}" for operation, requests in row.operations[:_MOST]
        )
        if len(row.operations) > _MOST:
            yield f"             and {len(row.operations) - _MOST:,} more"
    if row.days:
        yield from ("", f"Calls per day ({zone(now)})")
        most = max(requests for _, requests in row.days)
        for when, requests in row.days[-14:]:
            bar = "#" * max(1, round(20 * requests / most))
            yield f"  {date_name(date.fromisoformat(when), now):<12}{requests:>9,}  {bar}"
    yield from _next(report, row, width, options)


def _wrap(text: str, width: int, indent: str = "", first: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first or indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fact(label: str, text: str, width: int) -> list[str]:
    return _wrap(text, width, " " * _LABEL, f"{label:<{_LABEL}}") if text else []


def _why(row: ToolRow, now: datetime) -> list[str]:
    told = [text for text in (words.why(row.reasons), words.why_now(row, now) or "") if text]
    told += [proven(one) for one in row.causes]
    if row.advice is not None:
        if not row.causes:
            told.append(words.cause(row))
        told.append(words.fix(row))
        told.append(line(row.advice.link, 300))
        told += [one.row.side_effect for one in row.causes[:1] if one.row.side_effect]
    return told


def _credential(one: CredentialRow, now: datetime) -> str:
    who = line(one.user, 80) if one.user else "no user"
    app = f"with app {line(one.app_id, 60)}" if one.app_id else "with an unknown app"
    seen = f"{moment(one.first_seen, now)} to {moment(one.last_seen, now)}"
    return f"{who} {app}: {words.VERDICTS[one.verdict]}, {seen}"


def _clock(row: ToolRow, now: datetime) -> Iterator[str]:
    clock = clock_of(row, now)
    yield f"Last run {moment(clock.last, now)} {zone(clock.last)}."
    if clock.every is not None and clock.next_run is not None:
        often = "every day" if clock.every == 1 else f"every {clock.every} days"
        yield f"Usually {often}; the next run is usual on {date_name(clock.next_run, now)}."
    if clock.silent:
        yield "Nothing was heard of it since, though it was due: it was moved, switched off, or runs past the recorder."
    if clock.token_ends is not None:
        verb = "has ended" if clock.token_ends <= now else "ends"
        yield f"If it keeps a refresh token that nothing uses, that {verb} 90 days later: {day(clock.token_ends, now)}."


def _calls(calls: Sequence[FailingCall], now: datetime, width: int) -> Iterator[str]:
    if not calls:
        return
    yield from ("", "Last calls without MFA (Microsoft's support asks for the request id)")
    for call in calls:
        at = datetime.fromtimestamp(call.at, UTC)
        status = "no answer" if call.status is None else str(call.status)
        yield from _wrap(
            f"{moment(at, now)}  {status}  {line(call.operation, 100)}: {_said(call)}", width, " " * 4, "  "
        )
        for label, value in (("request", call.request_id), ("correlation", call.correlation_id)):
            if value:
                yield f"    {label} id {line(value, 80)}"


def _said(call: FailingCall) -> str:
    if call.blocked_by_test:
        return "refused, because mfa-audit asked the server to check"
    if call.blocked:
        return "refused because MFA was missing"
    return "isMfaCompliant: false" if call.said_no else words.title_of(call.reason)


def _next(report: Report, row: ToolRow, width: int, options: str) -> Iterator[str]:
    """What to type next: of the network's text no line has more than a GUID."""
    today = report.generated_at.astimezone().date()
    decide = f"    mfa-audit decide {row.key}{options}"
    yield from ("", "What to type next")
    if row.verdict is Verdict.NON_COMPLIANT:
        yield from _wrap("When it is fixed and has run once:", width, "  ")
        yield f"{decide} --fixed {today} --write"
        yield from _wrap("To let pipelines pass meanwhile (with --fail-on unaccepted):", width, "  ")
        yield f'{decide} --accept-until DATE --reason "WHY" --write'
    yield from _wrap("To say whose it is:", width, "  ")
    yield f"{decide} --owner NAME --ticket ID --due DATE --write"
    if row.app_id and (found := query(row.app_id)):
        yield from _wrap("To see its sign-ins, in Log Analytics:", width, "  ")
        yield f"    {found}"

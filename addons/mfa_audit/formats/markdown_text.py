"""The report as Markdown, for a ticket or a pull request.

Text from outside stands in code spans only, where no flavour of Markdown finds HTML, links or mentions. Users
are shown as the report has them: it is made with pseudonyms where it is to travel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from mfa_audit.formats import cause_words, decision_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, markdown_code, markdown_text, moment, zone
from mfa_audit.reports.model import Report, ToolRow

_LINK: Final = re.compile(r"https://[a-zA-Z0-9./_-]+(?:#[a-z0-9-]+)?")


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
    """The report as GitHub-flavoured Markdown that Azure DevOps and GitLab read as well."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {words.headline(report)}"
    yield ""
    yield f"**Period:** {words.period(report, markdown_code)}"
    yield ""
    yield "**Not seen:**"
    yield ""
    yield from (f"- {text}" for text in words.not_seen(report, show=markdown_code))
    yield from _section(decision_words.CHANGED, decision_words.changed(report, markdown_code))
    number = 1
    for title, verdict in (("Fix first", Verdict.NON_COMPLIANT), ("Cannot tell", Verdict.UNDETERMINED)):
        rows = words.with_verdict(report, verdict)
        if rows:
            yield from ("", f"## {title}")
        for tool in rows:
            yield from _tool(number, tool, report.generated_at)
            number += 1
    rest = words.with_verdict(report, Verdict.COMPLIANT, Verdict.EXEMPT)
    if rest:
        yield from ("", "## Nothing to do", "")
        yield from _table(rest, report.generated_at)
    if report.quiet:
        yield from ("", "## Quiet in this period, but without MFA when last seen", "")
        yield from _table(report.quiet, report.generated_at)
    now = report.generated_at
    retired = [decision_words.retired(row, now, markdown_code) for row in report.retired]
    yield from _section(decision_words.RETIRED, retired)
    if report.microsoft is not None:
        yield from ("", f"## {words.MICROSOFT}", "")
        for one in words.microsoft_unseen(report):
            yield f"- {words.microsoft_application(one, report.generated_at, markdown_code)}"
        told = (words.microsoft_users(report, markdown_code), words.microsoft_coverage(report))
        yield from (f"- {text}" for text in told if text)
        yield from (f"- {words.microsoft_match(one, markdown_code)}" for one in report.microsoft.matches)
    if report.signed_in:
        yield from ("", f"## {cause_words.SIGNED_IN}", "")
        yield from (
            f"- {cause_words.signed_in(one, report.generated_at, markdown_code)}" for one in report.signed_in
        )
    yield from _section(decision_words.DECISIONS, decision_words.followed(report, markdown_code))
    if not report.whole.tools:
        yield from _help(report)
    if report.recording.gaps:
        yield from ("", f"## {words.GAP}", "")
        yield from (
            f"- {words.gap(row, report.generated_at, markdown_code)}. {words.repair(row)}".rstrip()
            for row in report.recording.gaps
        )
    yield from ("", "## What this does not prove", "")
    yield from (f"- {text}" for text in words.PROVES_NOT)
    notes = [words.tested(report), *words.notes(report)]
    yield from (f"- {markdown_text(note)}" for note in notes if note)


def _section(title: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield from ("", f"## {title}", "", *(f"- {text}" for text in texts))


def _tool(number: int, tool: ToolRow, now: datetime) -> Iterator[str]:
    state = words.VERDICTS[tool.verdict]
    if tool.verdict is Verdict.NON_COMPLIANT:
        state = f"**{words.BLOCKED}**" if words.is_blocked(tool) else "would be blocked"
    yield from ("", f"### {number}. {markdown_code(tool.title)} - {state}", "")
    last = f"{moment(tool.last_seen, now)} {zone(tool.last_seen)}"
    yield f"- {count(tool.requests, 'call')}, {words.who(tool, 3, markdown_code)}, last {last}"
    yield (
        f"- {words.why(tool.reasons)}"
        if all(map(words.is_known, tool.reasons))
        else (f"- {markdown_text(words.why(tool.reasons))}")
    )
    told = words.why_now(tool, now)
    if told:
        yield f"- {markdown_text(told)}"
    yield from (f"- {text}" for text in decision_words.decided(tool, now, markdown_code))
    if tool.advice is not None:
        yield f"- {markdown_text(words.cause(tool))}"
        link = tool.advice.link
        shown = f"<{link}>" if _LINK.fullmatch(link) else markdown_code(link)
        yield f"- {markdown_text(words.fix(tool))} {shown}"


def _table(tools: list[ToolRow] | tuple[ToolRow, ...], now: datetime) -> Iterator[str]:
    yield "| Tool | Verdict | Calls | Last seen |"
    yield "|---|---|--:|---|"
    for tool in tools:
        last = f"{moment(tool.last_seen, now)} {zone(tool.last_seen)}"
        before = " ".join(
            [words.why_now(tool, now) or "", *decision_words.decided(tool, now, markdown_code)]
        ).strip()
        verdict = words.VERDICTS[tool.verdict] + (f". {before}" if before else "")
        yield f"| {markdown_code(tool.title)} | {verdict} | {tool.requests:,} | {last} |"


def _help(report: Report) -> Iterator[str]:
    yield from ("", f"**Looked at:** {words.looked_at(report, markdown_code)}", "", "## What to try", "")
    for attempt in words.tries(report):
        command = f" {markdown_code(attempt.command)}" if attempt.command else ""
        yield f"- {attempt.cause}{command}"

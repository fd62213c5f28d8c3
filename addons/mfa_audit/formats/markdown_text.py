"""The report as Markdown, for a ticket or a pull request.

Text from outside stands in code spans only, where no flavour of Markdown finds HTML, links or mentions. Users
are shown as the report has them: it is made with pseudonyms where it is to travel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from mfa_audit.formats import (
    answer_words,
    cause_words,
    decision_words,
    fix_words,
    help_words,
    microsoft_words,
    recording_words,
    words,
)
from mfa_audit.printable import markdown_code, markdown_text, moment, zone
from mfa_audit.reports.fixes import Group, Remedy, by_group, is_blocked, remedies
from mfa_audit.reports.model import Report, ToolRow

_LINK: Final = re.compile(r"https://[a-zA-Z0-9./_-]+(?:#[a-z0-9-]+)?")


def render(report: Report) -> str:
    """The report as GitHub-flavoured Markdown that Azure DevOps and GitLab read as well."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {answer_words.headline(report)}"
    yield ""
    yield f"**Period:** {recording_words.period(report, markdown_code)}"
    yield ""
    yield "**Not seen:**"
    yield ""
    yield from (f"- {text}" for text in recording_words.not_seen(report, show=markdown_code))
    yield from _section(decision_words.CHANGED, decision_words.changed(report, markdown_code))
    groups, number = by_group(report.tools), 1
    for group, rows in groups.items():
        if rows and group in (Group.FIX_FIRST, Group.CANNOT_TELL):
            found = remedies(rows, number)
            number += len(found)
            yield from ("", f"## {fix_words.title(group, found)}")
            for one in found:
                yield from _remedy(one, report.generated_at)
        elif rows:
            yield from ("", f"## {fix_words.GROUPS[group]}", "", *_table(rows, report.generated_at))
    if report.quiet:
        yield from ("", f"## {words.QUIET}", "", *_table(report.quiet, report.generated_at))
    now = report.generated_at
    retired = [decision_words.retired(row, now, markdown_code) for row in report.retired]
    yield from _section(decision_words.RETIRED, retired)
    elsewhere = [
        *(microsoft_words.application(one, now, markdown_code) for one in microsoft_words.unseen(report)),
        *(cause_words.signed_in(one, now, markdown_code) for one in report.signed_in),
        *microsoft_words.further(report, markdown_code),
    ]
    yield from _section(microsoft_words.title(report), elsewhere)
    yield from _section(decision_words.DECISIONS, decision_words.followed(report, markdown_code))
    if not report.whole.tools:
        yield from _help(report)
    if report.recording.gaps:
        yield from ("", f"## {words.GAP}", "")
        yield from (
            f"- {recording_words.gap(row, now, markdown_code)}. {recording_words.repair(row)}".rstrip()
            for row in report.recording.gaps
        )
    yield from ("", "## What this does not prove", "")
    yield from (f"- {text}" for text in words.PROVES_NOT)
    notes = [answer_words.tested(report), *answer_words.notes(report)]
    yield from (f"- {markdown_text(note)}" for note in notes if note)


def _section(title: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield from ("", f"## {title}", "", *(f"- {text}" for text in texts))


def _remedy(one: Remedy, now: datetime) -> Iterator[str]:
    """What to do, once, and the tools that it fixes."""
    yield from ("", f"### {one.number}. {fix_words.closes(one)}", "")
    texts = (fix_words.cause(one), fix_words.fix(one), one.side_effect or "")
    yield from (f"- {markdown_text(text)}" for text in texts if text)
    if one.advice is not None:
        link = one.advice.link
        yield f"- {f'<{link}>' if _LINK.fullmatch(link) else markdown_code(link)}"
    yield from ("", *_table(one.rows, now))


def _table(tools: Sequence[ToolRow], now: datetime) -> Iterator[str]:
    yield "| Tool | State | Machine | Account | Signs in as | Calls | Last seen |"
    yield "|---|---|---|---|---|--:|---|"
    for tool in tools:
        last = f"{moment(tool.last_seen, now)} {zone(tool.last_seen)}"
        before = (words.why_now(tool, now) or "") if words.is_news(tool) else ""
        before = " ".join(filter(None, [before, *decision_words.decided(tool, now, markdown_code)]))
        state = f"**{words.BLOCKED}**" if is_blocked(tool) else words.VERDICTS[tool.verdict]
        state += f". {before}" if before else ""
        cells = (tool.machine, tool.account or "")
        shown = (markdown_code(cell) if cell else "" for cell in cells)
        users = words.who(tool, 3, markdown_code) if tool.users else ""
        yield (
            f"| {markdown_code(tool.title)} | {state} | {' | '.join(shown)} | {users} | {tool.requests:,} | {last} |"
        )


def _help(report: Report) -> Iterator[str]:
    yield from ("", f"**Looked at:** {help_words.looked_at(report, markdown_code)}", "", "## What to try", "")
    for attempt in help_words.tries(report):
        command = f" {markdown_code(attempt.command)}" if attempt.command else ""
        yield f"- {attempt.cause}{command}"

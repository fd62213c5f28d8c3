"""Sentences about what to do: the groups of tools, each fix once, and all that is known of one tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from mfa_audit.formats import decision_words, words
from mfa_audit.formats.words import Show, listed, name, sentence
from mfa_audit.judging.reasons import Advice
from mfa_audit.printable import count
from mfa_audit.reports.fixes import Group, Remedy
from mfa_audit.reports.model import ToolRow

GROUPS: Final[Mapping[Group, str]] = {
    Group.FIX_FIRST: "Fix first",
    Group.WAITING: "Waiting to be confirmed",
    Group.ACCEPTED: "Accepted",
    Group.CANNOT_TELL: "Cannot tell",
    Group.NOTHING: "Nothing to do",
}
# Of tools that have no room: "9 more to fix".
LEFT_OUT: Final[Mapping[Group, str]] = {
    Group.FIX_FIRST: "more to fix",
    Group.WAITING: "to be confirmed",
    Group.ACCEPTED: "accepted",
    Group.CANNOT_TELL: "unclear",
    Group.NOTHING: "fine",
}
# What a link to a fix is called where its address is not shown.
GUIDE: Final = "How, by Microsoft"
ALL: Final = "mfa-audit report --all"


def title(group: Group, found: Sequence[Remedy]) -> str:
    """ "Fix first: 3 fixes close 16 tools"; the group's name alone where nothing is to be fixed."""
    if group is not Group.FIX_FIRST:
        return GROUPS[group]
    tools = sum(len(one.rows) for one in found)
    verb = "closes" if len(found) == 1 else "close"
    return f"{GROUPS[group]}: {count(len(found), 'fix', 'fixes')} {verb} {count(tools, 'tool')}"


def closes(one: Remedy) -> str:
    """What a fix closes: "9 tools, 2 blocked"."""
    blocked = f", {one.blocked:,} blocked" if one.blocked else ""
    return f"{count(len(one.rows), 'tool')}{blocked}"


def cause(one: Remedy) -> str:
    """The likely cause that its tools share, in one sentence; empty where none is known."""
    if len(one.rows) == 1:
        return words.cause(one.rows[0])
    if one.advice is None:
        return ""
    amr = [value for row in one.rows if "amr-without-mfa" in row.reasons for value in row.amr]
    return words.likely(one.advice, list(dict.fromkeys(amr)))


def fix(one: Remedy) -> str:
    """What to do in one sentence; where nobody knows, why its tools fail."""
    return words.why(one.rows[0].reasons) if one.advice is None else sentence(one.advice.fix)


def told(one: Remedy) -> str:
    """Cause, fix and side effect in sentences."""
    return " ".join(filter(None, (cause(one), fix(one), sentence(one.side_effect or ""))))


def left_out(parts: Sequence[tuple[int, str]]) -> str:
    """What has no room on the screen, and how to see it: "and 9 more to fix, 17 with nothing to do: mfa-audit …"."""
    told = ", ".join(f"{number:,} {what}" for number, what in parts if number)
    return f"and {told}: {ALL}" if told else ""


def plan(advice: Advice | None) -> tuple[str, str, str]:
    """Cause, fix and link of an advice as three texts; all empty where there is none."""
    return ("", "", "") if advice is None else (advice.cause, advice.fix, advice.link)


def details(row: ToolRow, now: datetime, show: Show = name) -> Iterator[str]:
    """All that is known of a tool beyond its line, a sentence each."""
    yield words.why(row.reasons)
    told = words.why_now(row, now)
    if told:
        yield told
    yield from decision_words.decided(row, now, show)
    if row.causes:
        yield words.cause(row)
    where = words.where(row, show)
    if where:
        yield f"Runs {where}." if row.capture is None else f"Seen {where}."
    if row.users:
        yield f"Signs in as {listed([user.name for user in row.users], 5, show)}."
    yield from words.counted(row)

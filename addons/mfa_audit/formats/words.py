"""The sentences that every report for people shares. Each is plain text, already harmless on one line.

Two formats that say the same thing say it in the same words, because both take them from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from mfa_audit.formats.cause_words import proven
from mfa_audit.judging.reasons import REASONS, Advice, Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, line, moment
from mfa_audit.reports.model import Report, ToolRow

VERDICTS: Final = {
    Verdict.COMPLIANT: "With MFA",
    Verdict.NON_COMPLIANT: "Without MFA",
    Verdict.EXEMPT: "App-only: the rule does not apply",
    Verdict.UNDETERMINED: "Cannot tell",
}
ANSWERS: Final = {
    Answer.YES: "YES, for what was seen",
    Answer.NO: "NO",
    Answer.UNCLEAR: "CANNOT TELL YET",
}
NOT_AUDITED: Final = "Seen but unreadable"
# Beside a tool that called just now.
NOW: Final = ">"
READABLE: Final = "Make readable"
QUIET: Final = "Quiet in this period, but without MFA when last seen"
GAP: Final = "Recorder was off"
BLOCKED: Final = "BLOCKED NOW"
UNSIGNED: Final = "Token signatures were not checked."
ELSEWHERE: Final = "Cloud tools and other machines are not in this report."

# What holds for every report, whatever its answer; for the formats that have room for it.
PROVES: Final = (
    "What is said of a tool is what its tokens said. Microsoft documents the claim it asks for: mfa in amr.",
    "A call that Partner Center refused because MFA was missing is certain: it is the server's own word.",
)
PROVES_NOT: Final = (
    UNSIGNED + " Reading a token is not trusting it.",
    "A tool that did not call Partner Center through this recorder in the period is not here.",
    ELSEWHERE,
    "A call that went through proves nothing: Microsoft blocks step by step.",
    "With MFA today is not with MFA for ever: a later sign-in or a changed policy can take it away.",
)


def title_of(reason: str) -> str:
    """The human title of a reason's id; an id that this version does not know, without its hyphens."""
    known = REASONS.get(reason)
    return known.title if known else line(reason, 60).replace("-", " ").capitalize()


def is_known(reason: str) -> bool:
    """Whether this version has a title for the reason's id."""
    return reason in REASONS


def why(reasons: Sequence[str]) -> str:
    """The titles of the reasons, a sentence each."""
    return " ".join(sentence(title_of(reason)) for reason in reasons)


def sentence(text: str) -> str:
    """`text` harmless and with a full stop; empty where there is none."""
    shown = line(text.strip(), 400)
    return shown if not shown or shown[-1] in ".!?…" else f"{shown}."


Show = Callable[[str], str]


def name(text: str) -> str:
    """A name within a sentence: harmless, and not so long that the sentence is lost."""
    return line(text, 60)


def listed(things: Sequence[str], most: int = 3, show: Show = name) -> str:
    """The things as `show` has them: "a", "a and b", "a, b and c", "a, b, c and 4 more"."""
    shown = [show(thing) for thing in things[:most]]
    if len(things) > most:
        return f"{', '.join(shown)} and {len(things) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def with_verdict(report: Report, *verdicts: Verdict) -> list[ToolRow]:
    """The report's tools with one of these verdicts, in the report's order: worst first."""
    return [tool for tool in report.tools if tool.verdict in verdicts]


def who(tool: ToolRow, most: int = 1, show: Show = name) -> str:
    """Whose tokens the tool uses: "svc@contoso.example and 3 more", or "no user"."""
    return listed([user.name for user in tool.users], most, show) or "no user"


def row_names(rows: Sequence[ToolRow]) -> Callable[[ToolRow], str]:
    """How to call each of these rows where machine and account stand beside it.

    By its program or tool, and by its whole title only where that does not tell it from the others.
    """

    def short(row: ToolRow) -> tuple[str, ...]:
        return (row.program or row.name, row.machine, row.account or "", row.capture or "")

    seen = Counter(map(short, rows))
    return lambda row: row.title if seen[short(row)] > 1 else short(row)[0]


def state(tool: ToolRow) -> str:
    """The verdict in a word or two: BLOCKED NOW, Without MFA, Cannot tell, With MFA, App-only."""
    if tool.verdict is Verdict.NON_COMPLIANT and tool.counts.blocked:
        return BLOCKED
    return VERDICTS[tool.verdict].partition(":")[0]


def why_now(tool: ToolRow, now: datetime) -> str | None:
    """Why the row stands as it does, in one sentence with dates; None where no call without MFA came."""
    why = tool.why
    if why is None:
        return None

    def at(seconds: float | None) -> str:
        return (
            ""
            if seconds is None
            else moment(datetime.fromtimestamp(seconds, UTC).astimezone(now.tzinfo), now)
        )

    tokens = f"{count(why.good_tokens, 'good token')} since {at(why.good_since)}"
    last = f"Without MFA since {at(why.first_bad)}, last {at(why.last_bad)}"
    return {
        "fixed": f"Fixed: {tokens}, and no call without MFA came back.",
        "waiting": f"Fixed {at(why.good_since)}, {count(why.good_tokens, 'good token')} since; confirmed after "
        f"{at(why.until)} if the recorder runs and no call without MFA comes.",
        "captured": f"Fixed? {tokens}, in a capture, which does not show what came later.",
        "side-by-side": f"With and without MFA side by side since {at(why.first_bad)}: probably two jobs.",
    }.get(why.kind, f"{last}.")


def is_news(tool: ToolRow) -> bool:
    """Whether `why_now` says more of a row than that it fails."""
    return tool.why is not None and tool.why.kind != "failing"


def where(tool: ToolRow, show: Show = name) -> str:
    """Where the calls of a row were made: "on PC17 as CONTOSO\\jo, started by cron", or "in portal.har"."""
    if tool.capture is not None:
        told = f"in {show(tool.capture or 'a capture')}" + (
            f", of {show(tool.machine)}" if tool.machine else ""
        )
    else:
        told = f"on {show(tool.machine)}" if tool.machine else ""
    if tool.account:
        told += f" as {show(tool.account)}"
    if tool.started_by:
        told += f", started by {show(tool.started_by)}"
    return told.strip()


# What was counted of a tool's calls, as sentences around the number of calls.
_COUNTED: Final = (
    ("blocked", "Refused because MFA was missing: {}."),
    ("blocked_by_test", "Refused because mfa-audit asked the server to check: {}."),
    ("server_compliant", "Partner Center answered isMfaCompliant: true to {}."),
    ("server_non_compliant", "Partner Center answered isMfaCompliant: false to {}."),
    ("microsoft_compliant", "With MFA by Microsoft's own list: {}."),
    ("microsoft_non_compliant", "Without MFA by Microsoft's own list: {}."),
    ("expired", "Sent with an expired token: {}."),
)


def counted(tool: ToolRow) -> list[str]:
    """What was counted of its calls, a sentence each."""
    found = ((text, getattr(tool.counts, key)) for key, text in _COUNTED)
    return [text.format(count(number, "call")) for text, number in found if number]


def cause(tool: ToolRow) -> str:
    """The likely cause in one sentence: "Likely a saved password (amr: pwd)."; empty where none is known."""
    if tool.advice is None:
        return ""
    if tool.causes and tool.causes[0].row.advice is tool.advice:
        return proven(tool.causes[0])
    return likely(tool.advice, tool.amr if "amr-without-mfa" in tool.reasons else ())


def likely(advice: Advice, amr: Sequence[str]) -> str:
    """The cause that an advice names, with how its tokens' users signed in."""
    text = advice.cause.strip().rstrip(".")
    if text.startswith(("A ", "An ")):
        text = f"Likely a{text[1:]}"
    if amr and "amr" not in text:
        text += f" (amr: {listed(amr)})"
    return sentence(text)


def fix(tool: ToolRow) -> str:
    """What to do in one sentence, without the link; empty where nothing is to be done."""
    return sentence(tool.advice.fix) if tool.advice else ""

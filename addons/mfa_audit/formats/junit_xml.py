"""The report as JUnit XML, for the test pages of Azure DevOps, GitHub and GitLab: a test case per tool.

Without MFA is a failure. Cannot tell is an error, which means in JUnit what it means here: the question could
not be answered. It is not "skipped", since that shows as green, and an unclear answer must never. For the
same reason blind spots, and a report without any call, are a test case of their own, in error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from mfa_audit.formats import answer_words, decision_words, microsoft_words, recording_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, line, utc
from mfa_audit.reports.fixes import is_blocked
from mfa_audit.reports.model import Report, ToolRow

SUITE: Final = "Partner Center MFA"


def render(report: Report) -> str:
    """One `testsuites` document. Every text is one line without characters that XML 1.0 forbids."""
    cases = _cases(report)
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": "0",
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": SUITE, **totals})
    suite = ET.SubElement(
        root, "testsuite", {"name": SUITE, "timestamp": utc(report.generated_at)[:-1], **totals}
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("answer", report.answer),
        ("period", recording_words.period(report)),
        ("limits", words.UNSIGNED),
    ):
        ET.SubElement(properties, "property", {"name": key, "value": line(str(value), 400)})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = "\n".join(
        [
            answer_words.headline(report),
            recording_words.period(report),
            *recording_words.not_seen(report),
            *decision_words.changed(report),
            *decision_words.followed(report),
            *answer_words.notes(report),
            words.UNSIGNED,
        ]
    )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(report: Report) -> list[ET.Element]:
    names = _names([*report.tools, *report.quiet])
    cases = [_case(report, tool, name) for tool, name in zip(report.tools, names, strict=False)]
    for tool, name in zip(report.quiet, names[len(report.tools) :], strict=True):
        case = _element(name)
        message = f"Without MFA when last seen, before this period: {utc(tool.last_seen)}"
        ET.SubElement(case, "error", {"type": "quiet", "message": message})
        cases.append(case)
    # An application of which a row fails is that row's case already.
    for one in microsoft_words.unseen(report):
        if one.failing:
            name = f"{one.name} (seen by Microsoft)"
            case = _element(f"{name} [{one.application_id}]" if one.application_id else name)
            message = microsoft_words.application(one, report.generated_at)
            ET.SubElement(case, "failure", {"type": "microsoft-says-no", "message": message})
            cases.append(case)
    blind = _blind_spots(report)
    if blind:
        case = _element("Calls were seen and could be read")
        ET.SubElement(case, "error", {"type": "blind-spots", "message": blind[0]}).text = "\n".join(blind)
        cases.append(case)
    return cases


def _element(name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": SUITE, "name": line(name), "time": "0"})


def _names(tools: Sequence[ToolRow]) -> list[str]:
    """A name for each tool that stays the same from run to run: of program or tool, machine or capture, and app id.

    Where these are not enough, account, starter and at last a number tell namesakes apart.
    """
    parts = [_identity(tool) for tool in tools]
    same = Counter(parts)
    named = []
    for tool, name in zip(tools, parts, strict=True):
        further = [tool.account, tool.started_by] if same[name] > 1 else []
        named.append(", ".join([name, *filter(None, further)]))
    total, seen, found = Counter(named), Counter[str](), []
    for name in named:
        seen[name] += 1
        found.append(f"{name}, no. {seen[name]}" if total[name] > 1 else name)
    return found


def _identity(tool: ToolRow) -> str:
    where = f" in {tool.capture}" if tool.capture else f" on {tool.machine}" if tool.machine else ""
    name = line(tool.program or tool.name, 80) + line(where, 60)
    return f"{name} [{line(tool.app_id, 40)}]" if tool.app_id else name


def _case(report: Report, tool: ToolRow, name: str) -> ET.Element:
    case = _element(name)
    properties = ET.SubElement(case, "properties")
    decided = tool.decided
    told = {
        "tool": tool.title,
        "key": tool.key,
        "machine": tool.machine,
        "account": tool.account,
        "started_by": tool.started_by,
        "owner": decided and decided.owner,
        "ticket": decided and decided.ticket,
        "due": decided and decided.due and decided.due.isoformat(),
    }
    for key, value in told.items():
        if value:
            ET.SubElement(properties, "property", {"name": key, "value": line(value)})
    kind = {Verdict.NON_COMPLIANT: "failure", Verdict.UNDETERMINED: "error"}.get(tool.verdict)
    if kind:
        state = words.BLOCKED if is_blocked(tool) else words.VERDICTS[tool.verdict]
        message = f"{state}: {words.why(tool.reasons)}"
        lines = [f"{count(tool.requests, 'call')}, {words.who(tool, 3)}, last {utc(tool.last_seen)}"]
        if tool.advice is not None:
            lines += [words.cause(tool), words.fix(tool), line(tool.advice.link, 300)]
        reason = line(tool.reasons[0], 60) if tool.reasons else str(tool.verdict)
        ET.SubElement(case, kind, {"type": reason, "message": message}).text = "\n".join(lines)
    now = report.generated_at
    further = [*filter(None, [words.why_now(tool, now)]), *decision_words.decided(tool, now)]
    if further:
        ET.SubElement(case, "system-out").text = "\n".join(further)
    return case


def _blind_spots(report: Report) -> list[str]:
    """What makes an answer unclear that is no tool's fault, a sentence each; empty where there is nothing."""
    found = [] if report.whole.tools else [answer_words.headline(report)]
    found += (
        f"{recording_words.unreadable(row)} {recording_words.repair(row)}".rstrip()
        for row in report.not_audited
    )
    if report.decisions is not None:
        found += (decision_words.missing(one, report.generated_at) for one in report.decisions.missing)
    if report.recording.lost:
        found.append(f"{count(report.recording.lost, 'call')} lost before being stored.")
    if report.totals.sanitised:
        found.append(recording_words.sanitised(report))
    found += (
        f"{words.GAP}: {recording_words.gap(row, report.generated_at)}. {recording_words.repair(row)}".rstrip()
        for row in report.recording.gaps
        if row.reason != "stopped"
    )
    return found

"""The report as JUnit XML, for the test pages of Azure DevOps, GitHub and GitLab: a test case per tool.

Without MFA is a failure. Cannot tell is an error, which means in JUnit what it means here: the question could
not be answered. It is not "skipped", since that shows as green, and an unclear answer must never. For the
same reason blind spots, and a report without any call, are a test case of their own, in error.
"""

from __future__ import annotations

from collections import Counter
from typing import Final
from xml.etree import ElementTree as ET

from mfa_audit.formats import decision_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.printable import count, line, utc
from mfa_audit.reports.model import Report, ToolRow

SUITE: Final = "Partner Center MFA"


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
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
        ("period", words.period(report)),
        ("limits", words.UNSIGNED),
    ):
        ET.SubElement(properties, "property", {"name": key, "value": line(str(value), 400)})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = "\n".join(
        [
            words.headline(report),
            words.period(report),
            *words.not_seen(report),
            *decision_words.changed(report),
            *decision_words.followed(report),
            *words.notes(report),
            words.UNSIGNED,
        ]
    )
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(report: Report) -> list[ET.Element]:
    titles = Counter(tool.title for tool in report.tools)
    cases = [_case(report, tool, titles[tool.title] > 1) for tool in report.tools]
    for tool in report.quiet:
        case = ET.Element("testcase", {"classname": SUITE, "name": line(tool.title), "time": "0"})
        message = f"Without MFA when last seen, before this period: {utc(tool.last_seen)}"
        ET.SubElement(case, "error", {"type": "quiet", "message": message})
        cases.append(case)
    for one in report.microsoft.applications if report.microsoft else ():
        if one.failing:
            case = ET.Element(
                "testcase", {"classname": SUITE, "name": line(f"{one.name} (seen by Microsoft)"), "time": "0"}
            )
            message = words.microsoft_application(one, report.generated_at)
            ET.SubElement(case, "failure", {"type": "microsoft-says-no", "message": message})
            cases.append(case)
    blind = _blind_spots(report)
    if blind:
        case = ET.Element(
            "testcase", {"classname": SUITE, "name": "Calls were seen and could be read", "time": "0"}
        )
        ET.SubElement(case, "error", {"type": "blind-spots", "message": blind[0]}).text = "\n".join(blind)
        cases.append(case)
    return cases


def _case(report: Report, tool: ToolRow, told_apart_by_id: bool) -> ET.Element:
    name = f"{tool.title} [{tool.app_id}]" if told_apart_by_id else tool.title
    case = ET.Element("testcase", {"classname": SUITE, "name": line(name), "time": "0"})
    kind = {Verdict.NON_COMPLIANT: "failure", Verdict.UNDETERMINED: "error"}.get(tool.verdict)
    if kind:
        state = words.BLOCKED if words.is_blocked(tool) else words.VERDICTS[tool.verdict]
        message = f"{state}: {words.why(tool.reasons)}"
        told = [f"{count(tool.requests, 'call')}, {words.who(tool, 3)}, last {utc(tool.last_seen)}"]
        if tool.advice is not None:
            told += [words.cause(tool), words.fix(tool), line(tool.advice.link, 300)]
        reason = line(tool.reasons[0], 60) if tool.reasons else str(tool.verdict)
        ET.SubElement(case, kind, {"type": reason, "message": message}).text = "\n".join(told)
    before = words.why_now(tool, report.generated_at)
    told = [*([before] if before else []), *decision_words.decided(tool, report.generated_at)]
    if told:
        ET.SubElement(case, "system-out").text = "\n".join(told)
    return case


def _blind_spots(report: Report) -> list[str]:
    """What makes an answer unclear that is no tool's fault, a sentence each; empty where there is nothing."""
    found = [] if report.whole.tools else [words.headline(report)]
    found += (f"{words.unreadable(row)} {words.repair(row)}".rstrip() for row in report.not_audited)
    if report.decisions is not None:
        found += (decision_words.missing(one, report.generated_at) for one in report.decisions.missing)
    if report.recording.lost:
        found.append(f"{count(report.recording.lost, 'call')} lost before being stored.")
    if report.totals.sanitised:
        found.append(words.sanitised(report))
    found += (
        f"{words.GAP}: {words.gap(row, report.generated_at)}. {words.repair(row)}".rstrip()
        for row in report.recording.gaps
        if row.reason != "stopped"
    )
    return found

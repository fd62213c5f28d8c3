"""What to try where nothing was seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mfa_audit.formats.words import Show
from mfa_audit.printable import line
from mfa_audit.reports.model import Report


@dataclass(frozen=True, slots=True)
class Try:
    """One likely cause of an empty report, and the command that helps; the command may be empty."""

    cause: str
    command: str


def looked_at(report: Report, show: Show = line) -> str:
    """Which databases were read, on which machine and as whom."""
    files = ", ".join(map(show, report.databases)) or "no database"
    as_whom = f" as {show(report.account)}" if report.account else ""
    where = f" on {show(report.machine)}" if report.machine else ""
    return f"{files}{',' if as_whom or where else ''}{as_whom}{where}"


def _is_own(report: Report, start: datetime) -> bool:
    """Whether the period is that of one recording, which reports on itself."""
    return any(abs((source.started - start).total_seconds()) < 1 for source in report.sources)


def tries(report: Report) -> list[Try]:
    """Why nothing was seen, likeliest first, and what to try; never what the reader has just done."""
    own = report.period.start is not None and _is_own(report, report.period.start)
    found = []
    if report.not_audited:
        found.append(Try("The programs above reached the recorder but could not be read.", ""))
    if any(source.kind == "proxy" and (own or source.ended is None) for source in report.sources):
        found.append(
            Try("A program goes through the proxy only if its environment says so.", "mfa-audit env")
        )
    if not report.sources:
        where = "in this database yet" if report.period.start is None else "in this period"
        found.append(Try(f"Nothing has been recorded {where}.", "mfa-audit run -- COMMAND"))
    elif own and all(source.kind == "run" for source in report.sources):
        found.append(Try("The command did not call Partner Center, or ignores the proxy variables.", ""))
        found.append(
            Try(
                "The calls come from a service, a container or a job that it only triggers.",
                "mfa-audit proxy",
            )
        )
    else:
        found.append(
            Try("The tool did not go through the recorder. Start it with run.", "mfa-audit run -- COMMAND")
        )
    if report.period.start is not None and not own:
        found.append(Try("The tool last ran before this period.", "mfa-audit report --since all"))
    found.append(
        Try(
            "The tool runs as another account or on another machine, which has a database of its own.",
            "mfa-audit report --db FILE",
        )
    )
    found.append(Try("To see what a report looks like.", "mfa-audit demo"))
    return found

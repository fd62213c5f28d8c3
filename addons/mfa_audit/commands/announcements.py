"""What `proxy` says into a pipe or a file while it runs: a line per newly seen tool and per changed verdict."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError
from mfa_audit.formats.words import VERDICTS
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.machine.environment.bypasses import mend_refusal
from mfa_audit.printable import line
from mfa_audit.proxy.live_report import LatestReport
from mfa_audit.reports.model import Report, ToolRow

_PAUSE: Final = 1.0  # seconds between two looks


class Watch:
    """Remembers what has been said, and finds what is new in a report."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str | None, str | None], Verdict] = {}
        self._unread: set[tuple[str | None, str | None, str]] = set()

    def lines(self, report: Report) -> list[str]:
        """A line for each tool that is new or whose verdict has changed, and for each new blind spot."""
        found = []
        for row in report.tools:
            key = (row.title, row.app_id, row.machine)
            before = self._said.get(key)
            if before is not row.verdict:
                self._said[key] = row.verdict
                found.append(_line(row, before))
        for unread in report.not_audited:
            spot = (unread.program, unread.user_agent, unread.reason)
            if spot not in self._unread:
                self._unread.add(spot)
                who = line(unread.program or unread.user_agent or "a client")
                found.append(f"Seen but unreadable: {who} ({unread.reason})")
                if unread.reason == "certificate-refused":
                    found.append(
                        f"  It does not trust the proxy. {mend_refusal(unread.program, unread.user_agent)}"
                    )
                if unread.reason == "unreachable":
                    found.append("  Does this network ask for a proxy of its own? Name it with --upstream.")
        return found


def _line(row: ToolRow, before: Verdict | None) -> str:
    now = VERDICTS[row.verdict]
    verdict = now if before is None else f"{VERDICTS[before]} -> {now}"
    why = REASONS[row.reasons[0]].title if row.reasons and row.reasons[0] in REASONS else ""
    return f"{verdict}: {line(row.title)}" + (f" - {why}" if why else "")


async def watch(latest: LatestReport) -> None:
    """Say what is new until cancelled."""
    seen = Watch()
    while True:
        await asyncio.sleep(_PAUSE)
        # Locked or gone for a moment: the recorder says so itself.
        with contextlib.suppress(AuditError):
            for text in seen.lines(await latest.read()):
                say(text)

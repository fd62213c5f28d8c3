"""`mfa-audit show TOOL`: all that is known of one tool."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from mfa_audit.commands import database_option
from mfa_audit.commands.decisions_file import decisions_option, load_decisions
from mfa_audit.commands.judging_options import names_option, read_settings, users_option
from mfa_audit.commands.terminal import width_of, write
from mfa_audit.formats.show_text import render_tool
from mfa_audit.machine.environment.shells import quote
from mfa_audit.machine.folders import default_database
from mfa_audit.reports.databases import failing_calls, report_on
from mfa_audit.reports.found_rows import find_rows
from mfa_audit.reports.periods import DEFAULT_SINCE, read_period


@click.command(epilog="Example: mfa-audit show nightly-sync.ps1")
@database_option(multiple=True)
@click.option(
    "--since", default=DEFAULT_SINCE, show_default=True, help="From when: 24h, 7d, 2026-11-01, all."
)
@click.option("--until", help="Until when: 24h (ago), 2026-11-08. Default: now.")
@decisions_option
@names_option
@users_option
@click.argument("tool")
def command(
    databases: tuple[Path, ...],
    since: str,
    until: str | None,
    decisions: Path | None,
    names: Path | None,
    users: str | None,
    tool: str,
) -> None:
    """Show where TOOL runs, what it signs in with, why its verdict is what it is, and what to type next.

    TOOL is a name, program, app id or key from the report; a part of a title will do where only one tool has it.
    """
    chosen = databases or (default_database(),)
    period = read_period(since, until, datetime.now(UTC))
    settings = read_settings(names, users, strict=False, decisions=load_decisions(decisions, chosen))
    report = report_on(chosen, period, settings)
    files = [("--db", path) for path in databases] + ([("--decisions", decisions)] if decisions else [])
    options = "".join(f" {name} {quote(str(path))}" for name, path in files)
    texts = [
        render_tool(
            report,
            row,
            failing_calls(chosen, period, [row.key], settings),
            width=width_of(sys.stdout),
            options=options,
        )
        for row in find_rows(report, tool)
    ]
    write("\n".join(texts), sys.stdout)

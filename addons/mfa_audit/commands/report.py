"""`mfa-audit report`: which tools call Partner Center without MFA."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from mfa_audit.commands import database_option, quiet_option
from mfa_audit.commands.baseline import read_baseline
from mfa_audit.commands.decisions_file import decisions_option, load_decisions
from mfa_audit.commands.exits import report_exit_code, report_fail_on_option
from mfa_audit.commands.filter_options import filter_options, read_filters
from mfa_audit.commands.judging_options import (
    names_option,
    read_settings,
    retired_option,
    strict_option,
    users_option,
)
from mfa_audit.commands.output import open_in_browser, write_file
from mfa_audit.commands.terminal import print_report, say, write_data
from mfa_audit.formats import FORMATS, format_of, render
from mfa_audit.machine.folders import default_database
from mfa_audit.reports.comparison import compare_with
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.filters import choose
from mfa_audit.reports.periods import DEFAULT_SINCE, read_period


@click.command(epilog="Example: mfa-audit report --since 7d --format html --output report.html")
@database_option(multiple=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="How to write the report. Default: by the ending of --output, else table.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of stdout."
)
@click.option("--all", "every", is_flag=True, help="Every tool, also beyond the terminal's lines.")
@click.option("--verbose", is_flag=True, help="All that is known of each tool.")
@click.option("--open", "open_", is_flag=True, help="Show the report as HTML in your browser.")
@click.option(
    "--since", default=DEFAULT_SINCE, show_default=True, help="From when: 24h, 7d, 2026-11-01, all."
)
@click.option("--until", help="Until when: 24h (ago), 2026-11-08. Default: now.")
@click.option("--compare", metavar="WHEN|FILE", help="What changed since 7d, or a JSON report.")
@report_fail_on_option
@filter_options
@decisions_option
@names_option
@users_option
@strict_option
@retired_option
@quiet_option
@click.argument(
    "more_databases", metavar="[DB]...", nargs=-1, type=click.Path(path_type=Path, dir_okay=False)
)
def command(
    databases: tuple[Path, ...],
    format_: str | None,
    output: Path | None,
    every: bool,
    verbose: bool,
    open_: bool,
    since: str,
    until: str | None,
    compare: str | None,
    fail_on: str,
    tools: tuple[str, ...],
    machines: tuple[str, ...],
    user_names: tuple[str, ...],
    tenants: tuple[str, ...],
    verdicts: tuple[str, ...],
    decisions: Path | None,
    names: Path | None,
    users: str | None,
    strict: bool,
    retired: tuple[str, ...],
    quiet: bool,
    more_databases: tuple[Path, ...],
) -> int:
    """Say which tools call Partner Center without MFA, and what to change.

    Several databases are reported as one: give --db more than once, or name them one after the other. --tool,
    --machine, --user, --tenant and --verdict choose what is listed, never what is judged or the exit code.

    Exit codes: 0 yes, 1 no, 3 cannot tell yet, 2 wrong usage or failure.
    """
    format_ = _choose_format(format_, output, open_=open_)
    if fail_on == "new" and compare is None:
        raise click.UsageError("--fail-on new needs --compare: new since when?")
    now = datetime.now(UTC)
    period = read_period(since, until, now)
    source = click.get_current_context().get_parameter_source("databases")
    if more_databases and source is ParameterSource.ENVIRONMENT:
        databases = ()  # MFA_AUDIT_DB stands in for a database that is not named
    chosen = (*databases, *more_databases) or (default_database(),)
    followed = load_decisions(decisions, chosen)
    settings = read_settings(names, users, strict, format_, retired, followed)
    report = report_on(chosen, period, settings)
    if compare is not None:
        before = read_baseline(compare, chosen, period, settings, now)
        report = replace(report, comparison=compare_with(before, report, followed))
    report = choose(report, read_filters(tools, machines, user_names, tenants, verdicts))
    if open_:
        open_in_browser(render("html", report), quiet=quiet)
    elif output is not None:
        write_file(output, render(format_, report, verbose=verbose))
        say(f"Wrote {output}", quiet=quiet)
    elif format_ == "table":
        print_report(report, sys.stdout, every=every, verbose=verbose)
    else:
        write_data(render(format_, report))
    return report_exit_code(report, fail_on)


def _choose_format(given: str | None, output: Path | None, *, open_: bool) -> str:
    """The format that --format, --open or the name of the file asks for. Raises UsageError where two disagree."""
    if open_:
        if given not in (None, "html") or output is not None:
            raise click.UsageError("--open shows the report as HTML; use it without --format and --output.")
        return "html"
    named = format_of(output.name) if output is not None else None
    if given is not None and named is not None and given != named:
        raise click.UsageError(
            f"--format {given} and a file named *{output.suffix if output else ''} disagree: leave --format out to "
            f"write {named}, or give the file another ending."
        )
    return given or named or "table"

"""`mfa-audit decide TOOL`: an entry for the file of decisions, printed or added to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import click

from mfa_audit.commands import database_option, quiet_option
from mfa_audit.commands.decisions_file import append, decisions_option, default_file, load_decisions
from mfa_audit.commands.judging_options import names_option, read_settings
from mfa_audit.commands.terminal import say, write
from mfa_audit.machine.folders import default_database
from mfa_audit.printable import line
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.decisions import NONE, Accepted, Rhythm, parse, stanza
from mfa_audit.reports.found_rows import find_row
from mfa_audit.reports.model import Period, Report, ToolRow
from mfa_audit.reports.rulings import subject_of
from mfa_audit.store.sessions import this_account


def _read_day(_context: click.Context, _option: click.Parameter, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return _today() if value.strip().lower() == "today" else date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{line(value, 40)} is no date such as 2026-12-31 or today.") from None


def _today() -> date:
    return datetime.now(UTC).astimezone().date()


@click.command(
    epilog='Example: mfa-audit decide nightly-sync.ps1 --accept-until 2026-12-31 --reason "vendor" --write'
)
@database_option(multiple=True)
@decisions_option
@names_option
@click.option(
    "--accept-until",
    callback=_read_day,
    metavar="DATE",
    help="It may go on without MFA until the end of this day; needs --reason.",
)
@click.option("--reason", help="Why it is accepted.")
@click.option(
    "--fixed",
    callback=_read_day,
    metavar="DATE",
    help="It was fixed on this day: what came before counts no more once it shows MFA.",
)
@click.option(
    "--retired",
    callback=_read_day,
    metavar="DATE",
    help="It will not call from this day on; a call ends that.",
)
@click.option("--owner", help="Whose it is.")
@click.option("--ticket", help="Where the work on it is tracked.")
@click.option("--due", callback=_read_day, metavar="DATE", help="Until when it is to be fixed.")
@click.option("--name", "called", help="What to call it in reports.")
@click.option("--expect", type=click.Choice([str(one) for one in Rhythm]), help="How often it must be seen.")
@click.option(
    "--write", "writes", is_flag=True, help="Add the entry to the file, instead of only printing it."
)
@quiet_option
@click.argument("tool")
def command(
    databases: tuple[Path, ...],
    decisions: Path | None,
    names: Path | None,
    accept_until: date | None,
    reason: str | None,
    fixed: date | None,
    retired: date | None,
    owner: str | None,
    ticket: str | None,
    due: date | None,
    called: str | None,
    expect: str | None,
    writes: bool,
    quiet: bool,
    tool: str,
) -> None:
    """Print what to add to decisions.toml about TOOL: a name, program, app id or key from the report.

    A decision turns no failing tool into a passing one: an accepted tool still fails, a fixed one has to show a good
    token, and a retired one counts again with its next call.
    """
    if (accept_until is None) != (reason is None):
        raise click.UsageError("--accept-until and --reason go together: until when, and why.")
    accept = Accepted(accept_until, reason) if accept_until and reason else None
    said = {"name": called, "owner": owner, "ticket": ticket, "due": due, "accept": accept}
    said |= {"fixed": fixed, "retired": retired, "expect": expect}
    given = {key: value for key, value in said.items() if value is not None}
    if not given:
        raise click.UsageError("Say what is decided, such as --owner NAME or --fixed today.")
    chosen = databases or (default_database(),)
    path = decisions or default_file(chosen)
    followed = load_decisions(decisions, chosen) if path.exists() else NONE
    report = report_on(
        chosen, Period(None, None), read_settings(names, None, strict=False, decisions=followed)
    )
    row = find_row(report, tool)
    match = _match(row)
    entry = stanza(match, given | {"decided_by": this_account(), "decided_at": _today()})
    [made] = parse(entry.encode("utf-8", "replace"), "the new entry").entries
    write(entry, sys.stdout)
    others = [one.title for one in _rows(report) if one.key != row.key and made.fits(subject_of(one))]
    if others:
        say(f"It is also about {', '.join(line(one, 80) for one in others)}.", quiet=quiet)
    if writes:
        append(path, entry)
        say(f"Added to {path}", quiet=quiet)
    else:
        say(f"Add this to {path}, or say --write.", quiet=quiet)


def _rows(report: Report) -> tuple[ToolRow, ...]:
    return (*report.tools, *report.quiet, *report.retired)


def _match(row: ToolRow) -> Mapping[str, str]:
    """What tells the row from others; of a known program app id and tool may change with a fix."""
    others = None if row.specific else row.app_id
    tool = None if row.specific else subject_of(row).name
    match = {"tool": tool, "program": row.program, "app_id": others, "machine": row.machine}
    return {key: value for key, value in match.items() if value}

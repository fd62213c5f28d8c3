"""Options on how to judge and to name, shared by the commands that print a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mfa_audit.errors import AuditError
from mfa_audit.formats import FORMATS
from mfa_audit.judging.clients import Names, parse_names
from mfa_audit.judging.people import Mode
from mfa_audit.machine.people_key import people_for
from mfa_audit.reports.decisions import NONE, Decisions
from mfa_audit.reports.settings import Settings

names_option = click.option(
    "--names",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with your own names: CSV or JSON, app id or product to name.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="Any call without MFA in the period counts, also of a tool fixed since."
)
retired_option = click.option(
    "--retired",
    multiple=True,
    metavar="NAME",
    help="A program, tool or app id that will not run again, though it failed when last seen. Repeatable.",
)
users_option = click.option(
    "--users",
    type=click.Choice([mode.value for mode in Mode]),
    help="Show users by name, under a pseudonym, or not at all. Default: name; pseudonym for "
    f"{' and '.join(name for name, row in FORMATS.items() if row.travels)}.",
)


def read_settings(
    names: Path | None,
    users: str | None,
    strict: bool,
    format_: str = "table",
    retired: Sequence[str] = (),
    decisions: Decisions = NONE,
) -> Settings:
    """The settings that these options ask for. Raises AuditError."""
    mode = Mode(users) if users else Mode.PSEUDONYM if FORMATS[format_].travels else Mode.NAME
    return Settings(
        names=read_names(names),
        people=people_for(mode),
        strict=strict,
        retired=frozenset(name.strip().lower() for name in retired),
        decisions=decisions,
    )


def read_names(path: Path | None) -> Names | None:
    """The partner's own names from a file. Raises AuditError."""
    if path is None:
        return None
    try:
        return parse_names(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AuditError(
            f"cannot read the names in {path}: {cause}. Save it as CSV or JSON in UTF-8."
        ) from None

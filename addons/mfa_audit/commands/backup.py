"""`mfa-audit backup`: one consistent file, also while proxies write."""

from __future__ import annotations

from pathlib import Path

import click

from mfa_audit.commands import database_option, quiet_option
from mfa_audit.commands.terminal import say
from mfa_audit.store.snapshot import copy_database


@click.command(epilog="Example: mfa-audit backup audit-2026-11-07.db")
@database_option()
@quiet_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def command(database: Path, quiet: bool, file: Path) -> int:
    """Copy the audit database into FILE, also while proxies write to it.

    FILE is private to you, needs no second file beside it, and is replaced when it is an audit database already.
    Its SHA-256 goes to stdout, in the form that `sha256sum --check` reads.
    """
    digest = copy_database(database, file)
    click.echo(f"{digest}  {file}")
    say(f"Wrote {file}, {file.stat().st_size:,} bytes.", quiet=quiet)
    return 0

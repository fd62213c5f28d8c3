"""`mfa-audit help`: what `--help` says, for those who type it this way."""

from __future__ import annotations

import click


@click.command(epilog="Example: mfa-audit help run")
@click.argument("name", metavar="[COMMAND]", required=False)
@click.pass_context
def command(context: click.Context, name: str | None) -> None:
    """Explain COMMAND, or list the commands."""
    whole = context.parent
    assert whole is not None  # noqa: S101 - a command of the group has the group above it
    assert isinstance(whole.command, click.Group)  # noqa: S101
    if name is None:
        click.echo(whole.get_help())
        return
    _, found, _ = whole.command.resolve_command(whole, [name])
    assert found is not None  # noqa: S101 - an unknown name has raised UsageError
    click.echo(found.get_help(click.Context(found, info_name=name, parent=whole)))

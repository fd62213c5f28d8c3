"""How the commands that bring something into the database are told what to keep of people."""

from __future__ import annotations

import click

from mfa_audit.judging.people import Mode

stored_users_option = click.option(
    "--users",
    type=click.Choice([mode.value for mode in Mode]),
    default="name",
    show_default=True,
    help="Store users by name, under a pseudonym, or not at all.",
)

"""Options that choose which tools a report lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.filters import Filters


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--tool`, `--machine`, `--user`, `--tenant` and `--verdict`, each repeatable."""
    for option in reversed(
        (
            click.option(
                "--tool", "tools", multiple=True, help="List only tools so named, or with this key."
            ),
            click.option("--machine", "machines", multiple=True, help="List only tools on this machine."),
            click.option("--user", "user_names", multiple=True, help="List only tools of this user."),
            click.option("--tenant", "tenants", multiple=True, help="List only tools with this tenant's id."),
            click.option(
                "--verdict",
                "verdicts",
                multiple=True,
                type=click.Choice([str(verdict) for verdict in Verdict]),
                help="List only tools with this verdict.",
            ),
        )
    ):
        command = option(command)
    return command


def read_filters(
    tools: Sequence[str],
    machines: Sequence[str],
    users: Sequence[str],
    tenants: Sequence[str],
    verdicts: Sequence[str],
) -> Filters:
    """The filters that these options ask for."""
    return Filters(
        tuple(tools), tuple(machines), tuple(users), tuple(tenants), tuple(Verdict(one) for one in verdicts)
    )

"""Options and steps that all recording commands share: where the proxy listens, what it opens, how it asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from mfa_audit.commands import database_option
from mfa_audit.commands.judging_options import names_option, read_settings, strict_option
from mfa_audit.judging.people import Mode
from mfa_audit.machine import proxies
from mfa_audit.machine.authorities import Authority
from mfa_audit.proxy.serving import ProxySettings, check_hosts
from mfa_audit.proxy.upstream import Route, Upstream, from_settings, parse
from mfa_audit.reports.summary import Settings

EXIT_OPTIONS: Final = ("command", "report")

# What ends a recording. SIGHUP is a closed terminal; SIGBREAK is Ctrl-Break and the closing console on Windows.
STOP_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


_OPTIONS: Final = (
    database_option(),
    click.option("--host", "hosts", multiple=True, metavar="NAME", help="A further API host. Repeatable."),
    click.option(
        "--validate",
        is_flag=True,
        help="Ask Partner Center on each call with a user token whether it is MFA compliant (ValidateMfa).",
    ),
    click.option(
        "--enforce",
        is_flag=True,
        help="Ask Partner Center to refuse user tokens without MFA (MS-Enforce-MFA), GET and HEAD only.",
    ),
    click.option(
        "--users",
        type=click.Choice([mode.value for mode in Mode]),
        default="name",
        show_default=True,
        help="Store users by name, under a pseudonym, or not at all.",
    ),
    click.option(
        "--synchronous",
        type=click.Choice(["normal", "full"]),
        default="normal",
        show_default=True,
        help="full: recorded calls survive a power failure too, at the disk's speed.",
    ),
    click.option(
        "--upstream",
        metavar="URL",
        envvar="MFA_AUDIT_UPSTREAM",
        help="The proxy behind ours, http://USER:PASSWORD@HOST:PORT, or none. Default: the one in use now.",
    ),
    click.option(
        "--tunnel/--no-tunnel",
        default=True,
        show_default=True,
        help="Let calls pass unread that would fail, for 10 minutes after a program refused our certificate.",
    ),
    click.option(
        "--set",
        "extra",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any mitmproxy option, as for mitmdump. Repeatable.",
    ),
    names_option,
    strict_option,
)


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What the options that all recording commands share were given."""

    database: Path
    hosts: tuple[str, ...]
    validate: bool
    enforce: bool
    users: str
    synchronous: str
    upstream: str | None
    tunnel: bool
    extra: tuple[str, ...]
    names: Path | None
    strict: bool

    def report_settings(self) -> Settings:
        """How to report on the recording. Raises AuditError."""
        return read_settings(self.names, None, self.strict)

    def read_upstream(self) -> Upstream | None:
        """The proxy behind ours: what `--upstream` names, else the one that this user's HTTPS takes now.

        None for `--upstream none`, and where `--set mode=...` says otherwise. Raises AuditError.
        """
        if self.upstream is not None:
            return None if self.upstream.lower() == "none" else parse(self.upstream)
        if any(spec.startswith("mode=") for spec in self.extra):
            return None
        return from_settings(os.environ, own=[proxy.url for proxy in proxies.find_all()])

    def proxy_settings(
        self,
        kind: str,
        authority: Authority,
        listen: tuple[str, int],
        *,
        route: Route | None = None,
        page: bool = False,
    ) -> ProxySettings:
        """How to record as a command of this `kind`. Raises AuditError."""
        host, port = listen
        return ProxySettings(
            kind=kind,
            database=self.database,
            authority=authority,
            host=host,
            port=port,
            hosts=self.hosts,
            validate=self.validate,
            enforce=self.enforce,
            users=self.users,
            synchronous=self.synchronous,
            tunnel=self.tunnel,
            extra=self.extra,
            route=route or Route(upstream=self.read_upstream()),
            page=page,
        )


def recording_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command, which gets them as one argument, `recording`."""

    @wraps(function)
    def gather(**values: Any) -> Any:
        given = {one.name: values.pop(one.name) for one in fields(RecordingOptions)}
        given["hosts"] = check_hosts(given["hosts"])
        return function(recording=RecordingOptions(**given), **values)

    command: Callable[..., Any] = gather
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextlib.contextmanager
def signals_to(handler: Callable[[int], None]) -> Iterator[None]:
    """Call `handler` on the event loop for each stop signal, instead of what Python does, for as long as it lasts.

    Plain `signal.signal`, since asyncio's own handlers do not exist on Windows.
    """
    loop = asyncio.get_running_loop()

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            loop.call_soon_threadsafe(handler, number)

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

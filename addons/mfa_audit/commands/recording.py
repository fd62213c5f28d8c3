"""Options and steps that all recording commands share: where the proxy listens, what it opens, how it asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

import click

from mfa_audit import running
from mfa_audit.errors import AuditError
from mfa_audit.judging.people import Mode
from mfa_audit.upstream import Upstream, from_settings, parse

EXIT_OPTIONS: Final = ("command", "report")

# What ends a recording. SIGHUP is a closed terminal; SIGBREAK is Ctrl-Break and the closing console on Windows.
STOP_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


def recording_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--host`, `--validate`, `--enforce`, `--users`, `--synchronous`, `--upstream`, `--set`."""
    for option in reversed(
        (
            click.option(
                "--host", "hosts", multiple=True, metavar="NAME", help="A further API host. Repeatable."
            ),
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
                "--set",
                "extra",
                multiple=True,
                metavar="NAME=VALUE",
                help="Any mitmproxy option, as for mitmdump. Repeatable.",
            ),
        )
    ):
        function = option(function)
    return function


def read_listen(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT`, `:PORT` or `PORT`. Raises AuditError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535 or (":" in host and not text.startswith("[")):
        raise AuditError("--listen takes HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080.")
    return host, int(port)


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


def read_upstream(text: str | None, extra: Sequence[str]) -> Upstream | None:
    """The proxy behind ours: what `--upstream` names, else the one that this user's HTTPS takes now.

    None for `--upstream none`, and where `--set mode=...` says otherwise. Raises AuditError.
    """
    if text is not None and text.lower() == "none":
        return None
    if text is not None:
        return parse(text)
    if any(spec.startswith("mode=") for spec in extra):
        return None
    return from_settings(os.environ, own=[proxy.url for proxy in running.find_all()])

"""`mfa-audit proxy`: record until Ctrl-C, then report."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

import click

from mfa_audit.commands import EXIT_INTERRUPTED, quiet_option
from mfa_audit.commands.conductor import Stops, conclude, record, telling
from mfa_audit.commands.recording_options import RecordingOptions, recording_options
from mfa_audit.commands.terminal import say
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.environment import bypasses, shells
from mfa_audit.machine.environment.shells import Shell
from mfa_audit.machine.kept_authorities import ensure, is_due
from mfa_audit.machine.trust import changes
from mfa_audit.proxy.upstream import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    Route,
    check_listening,
    check_mode,
    read_listen,
)

if TYPE_CHECKING:
    from mfa_audit.proxy.serving import Proxy


_NAMED: Final = 5  # programs that are named when the proxy stops


@click.command(epilog="Example: mfa-audit proxy --listen 127.0.0.1:8080")
@click.option(
    "--listen",
    default=f"{DEFAULT_HOST}:{DEFAULT_PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen.",
)
@click.option(
    "--proxy-auth",
    metavar="USER:PASSWORD",
    envvar="MFA_AUDIT_PROXY_AUTH",
    help="What clients must give, or @FILE with htpasswd lines. Needed to listen beyond this machine.",
)
@click.option(
    "--mode",
    "modes",
    multiple=True,
    metavar="MODE",
    help="A further way in: local:PROGRAM, socks5, transparent, reverse:URL or wireguard. Repeatable.",
)
@recording_options
@quiet_option
def command(
    *,
    listen: str,
    recording: RecordingOptions,
    proxy_auth: str | None,
    modes: tuple[str, ...],
    quiet: bool,
) -> int:
    """Record what passes through the proxy until Ctrl-C, then report on it.

    Only connections to Partner Center are opened; all others pass through untouched. Point your tools to the
    proxy (HTTPS_PROXY) and let them trust its certificate authority, both printed at the start.

    Exit codes: 0 after a normal stop, 130 after Ctrl-C twice, 2 wrong usage or failure.
    """
    address = read_listen(listen)
    check_listening(address[0], proxy_auth)
    settings = recording.report_settings()
    trusted = changes.find_trusted()
    authority = ensure(recording.hosts, trusted)
    plan = recording.proxy_settings(
        "proxy",
        authority,
        address,
        route=Route(_read_modes(modes), recording.read_upstream(address), proxy_auth),
        page=True,
    )

    async def work(proxy: Proxy, stops: Stops) -> Stops:
        from mfa_audit.proxy.live_report import LatestReport

        latest = LatestReport(proxy.recorder, settings)
        page = proxy.open_page(latest.read)
        said = [
            f"Recording to {plan.database}",
            f"Certificate authority: {authority.certificate_file}",
            *_how_trusted(authority, recording.hosts, trusted),
            *([f"Report page: {page}"] if page else []),
            f"Listening at {proxy.url} - press Ctrl-C to stop and see the report.",
        ]
        for text in said:
            say(text, quiet=quiet)
        async with telling(latest, quiet=quiet, said=said):
            await stops.wait()
        if left := bypasses.left_behind(proxy.url):
            others = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            undo = shells.how_to_run(Shell.POWERSHELL if os.name == "nt" else Shell.BASH, " --unset")
            say(
                f"Still running with this proxy in their variables: {', '.join(left[:_NAMED])}{others}. "
                f"Restart them without it; a terminal is freed by: {undo}",
                quiet=quiet,
            )
        return stops

    recorder, stops = record(plan, work, quiet=quiet)
    if stops.numbers.count(signal.SIGINT) > 1:  # the second one may have come while the proxy stopped
        return EXIT_INTERRUPTED
    if not quiet:
        conclude(recorder, settings, quiet=quiet)
    return 0


def _how_trusted(authority: Authority, hosts: Sequence[str], trusted: Container[str]) -> list[str]:
    """What is to be done about trust in the authority: nothing, as long as no store trusts any of ours."""
    if authority.fingerprint in trusted:
        return (
            [
                f"It ends on {authority.expires:%d %b %Y}. Before that, run `mfa-audit trust`, which makes the next "
                "one and lets your stores trust it. Until then this one stays in use."
            ]
            if is_due(authority)
            else []
        )
    if not trusted:
        return []
    options = "".join(f" --host {host}" for host in hosts)
    return [f"No store trusts this authority yet. Run: mfa-audit trust{options}"]


def _read_modes(modes: tuple[str, ...]) -> tuple[str, ...]:
    version = tuple(
        int(part) for part in importlib.metadata.version("mitmproxy").split(".")[:3] if part.isdigit()
    )
    root = os.geteuid() == 0 if hasattr(os, "geteuid") else True  # Windows asks by itself
    return tuple(check_mode(mode, platform=sys.platform, version=version, root=root) for mode in modes)

"""`mfa-audit proxy`: record until Ctrl-C, then report."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import sys
from pathlib import Path

import click

from mfa_audit import running
from mfa_audit.audit import report_on_recording
from mfa_audit.certificates import ensure
from mfa_audit.commands import EXIT_INTERRUPTED, database_option, quiet_option
from mfa_audit.commands.recording import read_listen, read_upstream, recording_options, signals_to
from mfa_audit.commands.settings import names_option, read_settings, strict_option
from mfa_audit.commands.terminal import print_report, say
from mfa_audit.commands.watching import watch
from mfa_audit.folders import authority_folder
from mfa_audit.proxy import DEFAULT_HOST, DEFAULT_PORT, ProxySettings, check_hosts, serve
from mfa_audit.store.recorder import Recorder
from mfa_audit.summary import Settings
from mfa_audit.upstream import Route, check_listening, check_mode


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
@database_option()
@recording_options
@names_option
@strict_option
@quiet_option
def command(
    listen: str,
    database: Path,
    hosts: tuple[str, ...],
    validate: bool,
    enforce: bool,
    users: str,
    synchronous: str,
    upstream: str | None,
    proxy_auth: str | None,
    modes: tuple[str, ...],
    extra: tuple[str, ...],
    names: Path | None,
    strict: bool,
    quiet: bool,
) -> int:
    """Record what passes through the proxy until Ctrl-C, then report on it.

    Only connections to Partner Center are opened; all others pass through untouched. Point your tools to the
    proxy (HTTPS_PROXY) and let them trust its certificate authority, both printed at the start.

    Exit codes: 0 after a normal stop, 130 after Ctrl-C twice, 2 wrong usage or failure.
    """
    host, port = read_listen(listen)
    check_listening(host, proxy_auth)
    further = check_hosts(hosts)
    settings = read_settings(names, None, strict)
    proxy_settings = ProxySettings(
        "proxy",
        database,
        ensure(authority_folder(), further),
        host,
        port,
        further,
        validate,
        enforce,
        users,
        synchronous,
        extra,
        _read_route(modes, upstream, proxy_auth, extra),
    )
    recorder, aborted = asyncio.run(_record(proxy_settings, settings, quiet))
    if aborted:
        return EXIT_INTERRUPTED
    if not quiet:
        print_report(report_on_recording(recorder, settings), sys.stderr)
    return 0


def _read_route(
    modes: tuple[str, ...], upstream: str | None, proxy_auth: str | None, extra: tuple[str, ...]
) -> Route:
    version = tuple(
        int(part) for part in importlib.metadata.version("mitmproxy").split(".")[:3] if part.isdigit()
    )
    root = os.geteuid() == 0 if hasattr(os, "geteuid") else True  # Windows asks by itself
    checked = tuple(check_mode(mode, platform=sys.platform, version=version, root=root) for mode in modes)
    return Route(checked, read_upstream(upstream, extra), proxy_auth)


async def _record(proxy_settings: ProxySettings, settings: Settings, quiet: bool) -> tuple[Recorder, bool]:
    stop = asyncio.Event()
    signals: list[int] = []

    def note(number: int) -> None:
        signals.append(number)
        stop.set()

    with signals_to(note):
        async with serve(proxy_settings, say) as proxy:
            authority = proxy_settings.authority.certificate_file
            with running.announce(
                proxy.host,
                proxy.port,
                authority=authority,
                database=proxy_settings.database,
                hosts=proxy_settings.hosts,
            ):
                say(f"Recording to {proxy_settings.database}", quiet=quiet)
                say(f"Certificate authority: {authority}", quiet=quiet)
                say(f"Listening at {proxy.url} - press Ctrl-C to stop and see the report.", quiet=quiet)
                watching = asyncio.create_task(watch(proxy.recorder, settings, quiet=quiet))
                await stop.wait()
                watching.cancel()
    return proxy.recorder, signals.count(signal.SIGINT) > 1

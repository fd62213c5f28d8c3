"""`mfa-audit proxy`: record until Ctrl-C, then report."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import AsyncIterator

import click

from mfa_audit.commands import EXIT_INTERRUPTED, quiet_option
from mfa_audit.commands.announcements import watch
from mfa_audit.commands.recording_options import RecordingOptions, recording_options, signals_to
from mfa_audit.commands.terminal import print_report, say, wants_colour
from mfa_audit.machine import proxies
from mfa_audit.machine.authorities import ensure
from mfa_audit.machine.folders import authority_folder
from mfa_audit.proxy.live_report import LatestReport
from mfa_audit.proxy.serving import DEFAULT_HOST, DEFAULT_PORT, ProxySettings, serve
from mfa_audit.proxy.upstream import Route, check_listening, check_mode, read_listen
from mfa_audit.reports.databases import report_on_recording
from mfa_audit.reports.settings import Settings
from mfa_audit.store.recorder import Recorder


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
    proxy_settings = recording.proxy_settings(
        "proxy",
        ensure(authority_folder(), recording.hosts),
        address,
        route=Route(_read_modes(modes), recording.read_upstream(), proxy_auth),
        page=True,
    )
    recorder, aborted = asyncio.run(_record(proxy_settings, settings, quiet))
    if aborted:
        return EXIT_INTERRUPTED
    if not quiet:
        print_report(report_on_recording(recorder, settings), sys.stderr)
    return 0


def _read_modes(modes: tuple[str, ...]) -> tuple[str, ...]:
    version = tuple(
        int(part) for part in importlib.metadata.version("mitmproxy").split(".")[:3] if part.isdigit()
    )
    root = os.geteuid() == 0 if hasattr(os, "geteuid") else True  # Windows asks by itself
    return tuple(check_mode(mode, platform=sys.platform, version=version, root=root) for mode in modes)


async def _record(proxy_settings: ProxySettings, settings: Settings, quiet: bool) -> tuple[Recorder, bool]:
    stop = asyncio.Event()
    signals: list[int] = []

    def note(number: int) -> None:
        signals.append(number)
        stop.set()

    with signals_to(note):
        async with serve(proxy_settings, say) as proxy:
            authority = proxy_settings.authority.certificate_file
            with proxies.announce(
                proxy.host,
                proxy.port,
                authority=authority,
                database=proxy_settings.database,
                hosts=proxy_settings.hosts,
            ):
                latest = LatestReport(proxy.recorder, settings)
                page = proxy.open_page(latest.read)
                said = [
                    f"Recording to {proxy_settings.database}",
                    f"Certificate authority: {authority}",
                    *([f"Report page: {page}"] if page else []),
                    f"Listening at {proxy.url} - press Ctrl-C to stop and see the report.",
                ]
                if not quiet:
                    for text in said:
                        say(text)
                async with _telling(latest, said, quiet=quiet):
                    await stop.wait()
    return proxy.recorder, signals.count(signal.SIGINT) > 1


@contextlib.asynccontextmanager
async def _telling(latest: LatestReport, said: list[str], *, quiet: bool) -> AsyncIterator[None]:
    """Tell what is seen for as long as the context lasts: in place on a terminal, else in lines."""
    if quiet:
        yield
        return
    if wants_colour(sys.stderr):
        # With rich, 2 MB that a proxy without a terminal can do without.
        from mfa_audit.commands.live_table import show

        telling = asyncio.create_task(show(latest, said))
    else:
        telling = asyncio.create_task(watch(latest))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait([telling])  # it takes its table off the screen before anything else is said
        if not telling.cancelled() and (error := telling.exception()) is not None:
            say(
                f"Telling what was seen met an unexpected {type(error).__name__}; the recording is not touched."
            )

"""`mfa-audit browse`: the recording proxy and a browser of its own, which trusts it and is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.conductor import Stops, conclude, record, telling
from mfa_audit.commands.exits import exit_code_of
from mfa_audit.commands.recording_options import RecordingOptions, recording_options
from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError
from mfa_audit.machine import browsers, scratch
from mfa_audit.machine.authorities import create
from mfa_audit.machine.browsers import Browser
from mfa_audit.machine.folders import user_home
from mfa_audit.proxy.upstream import DEFAULT_HOST
from mfa_audit.reports.settings import Settings

if TYPE_CHECKING:
    from mfa_audit.proxy.serving import Proxy, ProxySettings

START_PAGE: Final = "https://partner.microsoft.com/dashboard"
_BEFORE: Final = (
    "The Partner Center portal works largely with cookies. Only pages and add-ons that call the API with a bearer "
    "token show up in the report; your scripts and tools do not: for them, use `mfa-audit run`."
)
_NOTHING: Final = """\
No bearer token went to Partner Center's API from this browser. That is usual: the portal's own pages work with
cookies, and say nothing about your tools. What to try:
  - a web application that calls the API itself, such as your own dashboard: mfa-audit browse https://...
  - a script or program: mfa-audit run -- pwsh ./nightly-sync.ps1
  - one token that you have: mfa-audit check"""
_SECONDS_TO_CLOSE: Final = 10
_SECONDS_TO_START: Final = 5


@click.command(epilog="Example: mfa-audit browse --browser edge https://dashboard.contoso.com")
@click.argument("url", default=START_PAGE)
@click.option(
    "--browser",
    "name",
    type=click.Choice(browsers.NAMES),
    help="Which browser. Default: the first found of these.",
)
@click.option("--headless", is_flag=True, help="Without a window, until Ctrl-C; for tests and scripts.")
@recording_options
@quiet_option
def command(
    *,
    url: str,
    name: str | None,
    headless: bool,
    recording: RecordingOptions,
    quiet: bool,
) -> int:
    """Open a browser of its own that goes through the recording proxy; close it to see the report.

    It has a throw-away profile and trusts the proxy in this one process: no certificate is installed, no setting is
    changed, and your own browser's sign-ins are not used.

    Exit codes: 0 yes, 1 no, 3 cannot tell yet; 2 wrong usage or failure.
    """
    if not url.startswith(("https://", "http://")):
        raise AuditError("browse takes an address such as https://partner.microsoft.com/dashboard.")
    browser = browsers.choose(name, browsers.find(os.environ))
    settings = recording.report_settings()
    say(_BEFORE, quiet=quiet)
    with scratch.folder() as folder:
        authority = create(folder / "authority", recording.hosts, keeps_key=False)
        plan = recording.proxy_settings("browse", authority, (DEFAULT_HOST, 0))
        # Not in our folder: a browser puts a socket there, whose path has to be short, and a snap does not see it.
        parent = browsers.profile_parent(browser, user_home())
        profile = Path(tempfile.mkdtemp(prefix=scratch.PREFIX, dir=parent))
        scratch.adopt(folder, profile)
        try:
            work = _Session(browser, profile, url, plan, settings, headless=headless, quiet=quiet)
            recorder, _ = record(plan, work, quiet=quiet)
        finally:
            _remove(profile)
    report = conclude(recorder, settings, quiet=quiet)
    if not report.totals.requests:
        say(_NOTHING, quiet=quiet)
    return exit_code_of(report.answer)


@dataclass(frozen=True, slots=True)
class _Session:
    """The browser, from its start until it is closed or a stop signal comes."""

    browser: Browser
    profile: Path
    url: str
    plan: ProxySettings
    settings: Settings
    headless: bool
    quiet: bool

    async def __call__(self, proxy: Proxy, stops: Stops) -> None:
        from mfa_audit.proxy.live_report import LatestReport

        browser, authority = self.browser, self.plan.authority
        browsers.prepare(browser, self.profile, proxy_url=proxy.url, authority=authority.certificate_file)
        line = browsers.arguments(
            browser,
            self.profile,
            self.url,
            proxy_url=proxy.url,
            spki_hash=authority.spki_hash,
            headless=self.headless,
        )
        quit_ = " (quit it with Cmd-Q)" if sys.platform == "darwin" else ""
        say(
            f"Recording to {self.plan.database}. Close {browser.name}{quit_} to see the report.",
            quiet=self.quiet,
        )
        try:
            # In a group of its own, so that its many processes can be ended together, and so that Ctrl-C comes
            # to us first. What it says of itself on its outputs is of no use here.
            child = await asyncio.create_subprocess_exec(
                *line,
                env=browsers.surroundings(os.environ, self.profile),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise AuditError(f"cannot start {browser.path}: {error.strerror}.") from None
        began = time.monotonic()
        closed = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(stops.wait())
        try:
            async with telling(LatestReport(proxy.recorder, self.settings), quiet=self.quiet):
                await asyncio.wait([closed, stopped], return_when=asyncio.FIRST_COMPLETED)
            failed = closed.done() and closed.result() != 0 and time.monotonic() - began < _SECONDS_TO_START
        finally:
            stopped.cancel()
            await _end(child, closed)
        if failed:
            raise AuditError(
                f"{browser.name} ended at once with status {closed.result()}: {browser.path}. Try whether it starts by "
                "itself, or another one with --browser."
            )


async def _end(child: asyncio.subprocess.Process, closed: asyncio.Task[int]) -> None:
    """End the browser: politely first, so that it clears up after itself; then whatever it has left behind."""
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(closed), _SECONDS_TO_CLOSE)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    elif not closed.done():
        child.kill()
    await closed


def _remove(folder: Path) -> None:
    """Delete the profile; a browser's last process may still hold a file for a moment (on Windows, for longer)."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.25)
    say(f"Could not remove {folder}, a program still uses it. Delete that folder.")

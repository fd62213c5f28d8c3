"""`mfa-audit run`: a command through the recording proxy, and the report on its calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.exits import exit_code_of, fail_on_option
from mfa_audit.commands.recording_options import EXIT_OPTIONS, RecordingOptions, recording_options, signals_to
from mfa_audit.commands.terminal import print_report, say
from mfa_audit.errors import AuditError
from mfa_audit.machine import proxies
from mfa_audit.machine.authorities import create
from mfa_audit.machine.environment import bypasses
from mfa_audit.machine.environment.variables import child_environment
from mfa_audit.machine.folders import authority_folder
from mfa_audit.machine.trust.known import trusted_authority
from mfa_audit.proxy.serving import DEFAULT_HOST, ProxySettings, serve
from mfa_audit.proxy.upstream import check_listening, read_listen
from mfa_audit.reports.databases import report_on_recording
from mfa_audit.store.recorder import Recorder


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: mfa-audit run -- pwsh ./nightly-sync.ps1",
)
@click.option(
    "--listen", metavar="HOST:PORT", help="Where the proxy listens. Default: a free port on 127.0.0.1."
)
@recording_options
@click.option(
    "--exit-code",
    type=click.Choice(EXIT_OPTIONS),
    default="command",
    show_default=True,
    help="Whose failure comes first: the command's own exit code, or always the report's.",
)
@fail_on_option
@quiet_option
@click.argument("command_line", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    *,
    listen: str | None,
    recording: RecordingOptions,
    exit_code: str,
    fail_on: str,
    quiet: bool,
    command_line: tuple[str, ...],
) -> int:
    """Run a command through the recording proxy and judge its calls to Partner Center.

    The command's environment is set so that its HTTPS goes through the proxy and trusts it; nothing else on the
    machine changes. The report goes to stderr: stdout is the command's.

    Exit codes: the command's own if it is not 0, else 0 yes, 1 no, 3 cannot tell yet; 2 wrong usage or failure.
    """
    address = read_listen(listen) if listen else (DEFAULT_HOST, 0)
    check_listening(address[0], None)
    settings = recording.report_settings()
    program = shutil.which(command_line[0])
    if program is None:
        raise AuditError(f"there is no program {command_line[0]}. Give its path, or check PATH.")
    folder = Path(tempfile.mkdtemp(prefix="mfa-audit-run-"))  # mode 0700
    try:
        authority = trusted_authority(authority_folder(), recording.hosts) or create(
            folder / "authority", recording.hosts
        )
        proxy_settings = recording.proxy_settings("run", authority, address)
        recorder, status = asyncio.run(_run([program, *command_line[1:]], proxy_settings, folder, quiet))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = report_on_recording(recorder, settings)
    if not quiet:
        print_report(report, sys.stderr)
        if not report.totals.requests and not report.totals.without_token and not report.not_audited:
            say("No call reached the proxy. Programs that do not look at its variables:")
            for kind in bypasses.KINDS:
                say(f"  - {kind}")
    if status and exit_code == "command":
        return status
    return exit_code_of(report.answer, fail_on)


async def _run(
    arguments: list[str], proxy_settings: ProxySettings, folder: Path, quiet: bool
) -> tuple[Recorder, int]:
    child: asyncio.subprocess.Process | None = None
    stops: list[int] = []

    def pass_on(number: int) -> None:
        # A terminal sends its Ctrl-C to every process in the foreground, so the child has had it already.
        if number == signal.SIGINT or number == getattr(signal, "SIGBREAK", None):
            return
        stops.append(number)
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if len(stops) > 1:
                    child.kill()
                else:
                    child.send_signal(number)

    with signals_to(pass_on):
        async with serve(proxy_settings, say) as proxy, contextlib.AsyncExitStack() as stack:
            with contextlib.suppress(AuditError):  # only `mfa-audit env` inside the command would miss it
                stack.enter_context(
                    proxies.announce(
                        proxy.host,
                        proxy.port,
                        authority=proxy_settings.authority.certificate_file,
                        database=proxy_settings.database,
                        hosts=proxy_settings.hosts,
                        kind=proxies.RUN,
                    )
                )
            environment = child_environment(
                os.environ,
                proxy_url=proxy.url,
                authority_pem=proxy_settings.authority.certificate_file,
                folder=folder / "trust",
                api_hosts=proxy_settings.hosts,
                say=lambda text: say(text, quiet=quiet),
            )
            for warning in bypasses.warnings_for(arguments, environment):
                say(warning, quiet=quiet)
            try:
                child = await asyncio.create_subprocess_exec(*arguments, env=environment)
            except OSError as error:
                raise AuditError(f"cannot start {arguments[0]}: {error.strerror}.") from None
            if stops:
                pass_on(stops.pop())
            status = await child.wait()
            left = bypasses.left_behind(proxy.url)
            if left:
                say(f"Left running, and without their proxy from now on: {', '.join(left)}", quiet=quiet)
    return proxy.recorder, status if status >= 0 else 128 - status

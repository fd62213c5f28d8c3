"""`mfa-audit run`: a command through the recording proxy, and the report on its calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.conductor import Stops, conclude, record
from mfa_audit.commands.exits import exit_code_of, fail_on_option
from mfa_audit.commands.recording_options import RecordingOptions, recording_options
from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError
from mfa_audit.machine import scratch
from mfa_audit.machine.authorities import create
from mfa_audit.machine.environment import bypasses
from mfa_audit.machine.environment.batch_files import batch_line
from mfa_audit.machine.environment.shells import quote
from mfa_audit.machine.environment.variables import child_environment
from mfa_audit.machine.kept_authorities import find_trusted
from mfa_audit.machine.trust import changes
from mfa_audit.printable import line
from mfa_audit.proxy.upstream import DEFAULT_HOST, check_listening, read_listen

if TYPE_CHECKING:
    from mfa_audit.proxy.serving import Proxy, ProxySettings

_OF_TERMINAL: Final = (signal.SIGINT, getattr(signal, "SIGBREAK", signal.SIGINT))


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
    type=click.Choice(["command", "report"]),
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
    program = _find(command_line[0])
    with scratch.folder() as folder:
        trusted = find_trusted(recording.hosts, changes.find_trusted())
        authority = trusted or create(folder / "authority", recording.hosts, keeps_key=False)
        plan = recording.proxy_settings("run", authority, address)
        arguments = [program, *command_line[1:]]
        for warning in bypasses.warnings_for(arguments, os.environ, trusted=trusted is not None):
            say(warning, quiet=quiet)
        refusing = bypasses.known_to_refuse(command_line)
        plan = plan if refusing is None else replace(plan, refusing=refusing)
        work = _Command(arguments, plan, folder, quiet=quiet)
        recorder, status = record(plan, work, quiet=quiet)
    report = conclude(recorder, settings, quiet=quiet)
    if not report.totals.requests and not report.totals.without_token and not report.not_audited:
        say("No call reached the proxy. Programs that ignore its variables:", quiet=quiet)
        for kind in bypasses.KINDS:
            say(f"  - {kind}", quiet=quiet)
    if status and exit_code == "command":
        return status
    return exit_code_of(report.answer, fail_on)


def _find(name: str) -> str:
    """The path of the program. Raises AuditError, which says whether it is missing or only not executable."""
    program = shutil.which(name)
    if program is not None:
        return program
    shown = line(name)
    path = Path(name)
    if path.is_dir():
        raise AuditError(f"{shown} is a folder, not a program.")
    if path.is_file() and (os.path.dirname(name) or os.name == "nt"):  # noqa: PTH120 - Path forgets a leading ./
        how = "name the program that runs it, such as: mfa-audit run -- python3 "
        chmod = "" if os.name == "nt" else f", or make it executable: chmod +x {quote(name)}"
        raise AuditError(f"{shown} is not executable; {how}{quote(name)}{chmod}.")
    if path.is_file():
        raise AuditError(
            f"{shown} is a file here and no program on PATH; give it as ./{shown}, or name its interpreter."
        )
    raise AuditError(f"there is no program {shown}. Give its path, or check PATH.")


class _Command:
    """The user's command, started once the proxy listens; its exit status is what the shell would have."""

    def __init__(self, arguments: list[str], plan: ProxySettings, folder: Path, *, quiet: bool) -> None:
        self._arguments = arguments
        self._plan = plan
        self._folder = folder
        self._quiet = quiet

    async def __call__(self, proxy: Proxy, stops: Stops) -> int:
        environment = child_environment(
            os.environ,
            proxy_url=proxy.url,
            authority_pem=self._plan.authority.certificate_file,
            folder=self._folder / "trust",
            api_hosts=self._plan.hosts,
            say=lambda text: say(text, quiet=self._quiet),
        )
        try:
            # On Windows a batch file's line is built as cmd reads it, which asyncio has no way to be told.
            batch = batch_line(self._arguments)
            shell = os.path.expandvars(r"%SystemRoot%\System32\cmd.exe") if batch else None
            # What the shell opened for the command, as in `curl -H @<(...)`, is the command's; Windows has no such
            # thing, and our own files are never inherited (PEP 446).
            child = subprocess.Popen(
                batch or self._arguments, executable=shell, env=environment, close_fds=os.name == "nt"
            )
        except OSError as error:
            raise AuditError(f"cannot start {line(self._arguments[0])}: {error.strerror}.") from None
        passed: list[int] = []

        def pass_on(number: int) -> None:
            # A terminal sends its Ctrl-C to every process in the foreground, so the child has had it already.
            if number in _OF_TERMINAL or child.returncode is not None:
                return
            passed.append(number)
            with contextlib.suppress(ProcessLookupError):
                if len(passed) > 1:
                    child.kill()
                else:
                    child.send_signal(number)

        stops.pass_to(pass_on)
        status = await asyncio.to_thread(child.wait)
        left = bypasses.left_behind(proxy.url)
        if left:
            say(f"Left running, and without their proxy from now on: {', '.join(left)}", quiet=self._quiet)
        return status if status >= 0 else 128 - status

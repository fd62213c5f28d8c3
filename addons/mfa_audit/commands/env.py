"""`mfa-audit env`: the lines that send a terminal through a running proxy, and those that undo it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click
import psutil

from mfa_audit.commands import quiet_option
from mfa_audit.errors import AuditError
from mfa_audit.machine import proxies
from mfa_audit.machine.environment import shells
from mfa_audit.machine.environment.shells import Shell
from mfa_audit.machine.environment.variables import child_environment

_EXAMPLES = """\b
Examples:
  eval "$(mfa-audit env)"                                                   bash, zsh, sh
  mfa-audit env | source                                                    fish
  mfa-audit env | Out-String | Invoke-Expression                            PowerShell
  for /f "delims=" %i in ('mfa-audit env --shell cmd') do @%i               cmd"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--shell",
    "program",
    type=click.Choice(sorted(shells.PROGRAMS), case_sensitive=False),
    help="The shell's language.  [default: the shell that called]",
)
@click.option("--unset", is_flag=True, help="Print the lines that undo it.")
@click.option("--port", type=click.IntRange(1, 65535), help="Which proxy, where several run.")
@quiet_option
def command(program: str | None, unset: bool, port: int | None, quiet: bool) -> None:
    """Print the lines that send this terminal through the running proxy."""
    shell = shells.PROGRAMS[program.lower()] if program is not None else _calling_shell()
    said: list[str] = []
    try:
        lines = _lines_back(shell, said) if unset else _lines_there(shell, port, said)
    except AuditError:
        # What carries these lines out gets one that does nothing: to PowerShell, no line is an error of its own, which
        # ends a script under $ErrorActionPreference = 'Stop'.
        _print(shell, [shells.remark(shell)])
        raise
    _print(shell, lines)
    for sentence in () if quiet else said:
        click.echo(sentence, err=True)


def _lines_there(shell: Shell, port: int | None, said: list[str]) -> list[str]:
    # Under `run` the variables name its proxy already, but PowerShell and .NET Framework do not look at them.
    proxy = proxies.find(port, url=os.environ.get("HTTPS_PROXY"))
    if proxy is None:
        where = "" if port is None else f" on port {port}"
        raise AuditError(
            f"no proxy of yours is running{where}; start one in another terminal: mfa-audit proxy"
        )
    undo = shells.restore(os.environ)
    before = shells.apply(os.environ, undo)
    after = child_environment(
        before,
        proxy_url=proxy.url,
        authority_pem=proxy.authority,
        # Each terminal has variables of its own, so bundles of its own. They go when the proxy goes.
        folder=Path(tempfile.mkdtemp(prefix="env-", dir=proxy.folder)),
        api_hosts=proxy.hosts,
        say=said.append,
    )
    lines = shells.render(shell, {**undo, **shells.redirect(before, after)})
    if shell is Shell.POWERSHELL:
        lines += shells.dotnet_proxy(proxy.url)
        if os.name == "nt":
            said.append("PowerShell on Windows trusts the Windows store only; once: mfa-audit trust")
    undo_line = shells.how_to_run(shell, " --unset")
    said.append(f"This terminal's HTTPS goes through the proxy at {proxy.url}. To undo it: {undo_line}")
    return lines


def _lines_back(shell: Shell, said: list[str]) -> list[str]:
    changes = shells.restore(os.environ)
    said.append(
        "This terminal's variables are as they were before."
        if changes
        else "Nothing to undo: this terminal was not sent through a proxy by mfa-audit env."
    )
    return shells.render(shell, changes) + (shells.dotnet_restore() if shell is Shell.POWERSHELL else [])


def _calling_shell() -> Shell:
    try:
        names = [process.name() for process in psutil.Process().parents()]
    except psutil.Error:
        names = []
    usual = os.environ.get("SHELL", "").rpartition("/")[2]
    found = shells.named([*names, usual])
    return found or (Shell.POWERSHELL if os.name == "nt" else Shell.BASH)


def _print(shell: Shell, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if shell is Shell.CMD and sys.platform == "win32":
        import ctypes

        # `for /f` reads what we write with the console's code page, Python writes with the system's.
        page = ctypes.windll.kernel32.GetConsoleOutputCP()
        sys.stdout.buffer.write(text.encode(f"cp{page}" if page else "oem"))
        return
    # A path may hold bytes that are not UTF-8; they go out as they came in.
    sys.stdout.buffer.write(text.encode(sys.getfilesystemencoding(), "surrogateescape"))

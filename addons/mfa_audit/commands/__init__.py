"""The command line: parsing and printing only. Each command has a module of its own, loaded when it is
called.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

import click

from mfa_audit import __version__
from mfa_audit.errors import AuditError
from mfa_audit.machine import scratch
from mfa_audit.machine.folders import default_database
from mfa_audit.printable import line

# Command -> (group, module here, one line for `mfa-audit --help`). The line stands here so that `--help` loads no
# command's module.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "run": ("Audit", "run", "Run a command through the recording proxy and judge its calls."),
    "proxy": ("Audit", "proxy", "Record until Ctrl-C, then report."),
    "browse": ("Audit", "browse", "Record a browser of its own, then report."),
    "import": ("Audit", "import_", "Audit captures, and what Microsoft saw."),
    "fetch": ("Audit", "fetch", "Ask Microsoft for its lists and sign-in logs."),
    "check": ("Audit", "check", "Say Yes or No for one token."),
    "env": ("Set up", "env", "Print the lines that send this terminal through the running proxy."),
    "trust": ("Set up", "trust", "Let this computer's programs trust the proxy's authority."),
    "untrust": ("Set up", "untrust", "Take the proxy's authority out of the trust stores again."),
    "doctor": ("Set up", "doctor", "Check what a recording needs, and say what to fix."),
    "addon": ("Set up", "addon_path", "Print the path of the addon for your own mitmproxy."),
    "report": ("Look", "report", "Say which tools call Partner Center without MFA."),
    "show": ("Look", "show", "Show all that is known of one tool."),
    "decide": ("Look", "decide", "Note an owner, an acceptance, a fix or a retirement."),
    "backup": ("Look", "backup", "Copy the database into one file, also while proxies write."),
    "demo": ("Look", "demo.command", "Show the whole job, offline, with made-up tokens."),
    "help": ("Look", "help", "Explain a command."),
}

EXIT_FAILED: Final = 2
EXIT_INTERRUPTED: Final = 130


_version_option: Final = click.version_option(__version__, prog_name="mfa-audit")


class _Commands(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mfa_audit.commands.{COMMANDS[cmd_name][1]}")
        command: click.Command = module.command
        if not any(option.name == "version" for option in command.params):
            _version_option(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; the error for an unknown one says which was likely meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
            likely = f"Did you mean {close[0]!r}?" if close else "`mfa-audit --help` lists the commands."
            ctx.fail(f"No such command {line(name, 40)!r}. {likely}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group_ in dict.fromkeys(row[0] for row in COMMANDS.values()):
            with formatter.section(group_):
                formatter.write_dl(
                    [(f"{name:<8}", text) for name, (of, _, text) in COMMANDS.items() if of == group_]
                )


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: mfa-audit run -- pwsh ./nightly-sync.ps1",
)
@_version_option
def group() -> None:
    """Find the tools that call Microsoft Partner Center without multi-factor authentication."""


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def database_option(**attributes: Any) -> Decorator:
    """`--db PATH`, the same for all commands that store or read; pass `multiple=True` for several."""
    return click.option(
        "--db",
        "database" if not attributes.get("multiple") else "databases",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="MFA_AUDIT_DB",
        default=None if attributes.get("multiple") else default_database,
        help="The audit database. Default: audit.db in your data folder, or what MFA_AUDIT_DB names.",
        **attributes,
    )


quiet_option = click.option("--quiet", is_flag=True, help="Say nothing on stderr but errors.")


def main() -> None:
    """Run the command line; never returns and never shows a traceback.

    Exit codes: 2 for wrong usage and failures, 130 for an abort; anything else is the command's own.
    """
    _complete_streams()
    scratch.sweep()
    try:
        code = group.main(standalone_mode=False, prog_name="mfa-audit")
    except click.exceptions.Abort:
        click.echo("Aborted.", err=True)
        code = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = EXIT_FAILED
    except AuditError as error:
        _say_failure(error)
        code = EXIT_FAILED
    except (BrokenPipeError, SystemExit) as error:  # click turns the former into the latter, with 1, our "no"
        if isinstance(error, SystemExit) and error.code in (0, None):
            raise  # a shell has asked for completions and has them
        # The reader of our stdout has gone (`mfa-audit report | head`): nothing to say and no one to say it
        # to.
        _drop(sys.stdout)
        code = EXIT_FAILED
    except ImportError as error:
        click.echo(
            f"mfa-audit: the Python package {error.name or 'of an unknown name'} is missing or damaged. "
            "Install mfa-audit again: pip install --force-reinstall, from where it came.",
            err=True,
        )
        code = EXIT_FAILED
    except OSError as error:
        if error.errno == errno.EINVAL and error.filename is None:  # how Windows says that a pipe is closed
            _drop(sys.stdout)
            sys.exit(EXIT_FAILED)
        # Commands expect what can happen to the files they open; what is left is a full disk behind stdout.
        where = "the output" if error.filename is None else line(str(error.filename))
        _say_failure(AuditError(f"{where} cannot be written: {error.strerror or type(error).__name__}."))
        code = EXIT_FAILED
    except Exception as error:  # a traceback would show locals, and a local may be a token
        _say_failure(error)
        code = EXIT_FAILED
    # All is said and done: a Ctrl-C while Python ends would only spoil the exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code if isinstance(code, int) else 0)


def _complete_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr (`>&-`) empty ones, and let them take any text.

    Otherwise the next file that is opened, such as the database, would take the free number and our talk.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            # A path may hold what a console's code page, or any text, cannot.
            stream.reconfigure(errors="backslashreplace")


def _drop(stream: TextIO) -> None:
    """Let all that is written to `stream` from now on, at the end of Python too, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say_failure(error: Exception) -> None:
    said = (
        str(error)
        if isinstance(error, AuditError)
        else f"unexpected {type(error).__name__}. Nothing recorded is lost. "
        "Please report it with the command and `mfa-audit --version`."
    )
    # Without a reader of stderr the exit code says it.
    with contextlib.suppress(OSError):
        click.echo(f"mfa-audit: {said}", err=True)

"""`mfa-audit import`: audit what is already recorded, and what Microsoft saw."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from mfa_audit.captures import recognition
from mfa_audit.captures.importer import describe_failure, import_capture
from mfa_audit.captures.recognition import Capture, NotACaptureError
from mfa_audit.commands import EXIT_FAILED, database_option, quiet_option
from mfa_audit.commands.import_summary import describe
from mfa_audit.commands.people_options import stored_users_option
from mfa_audit.commands.terminal import say, wants_colour
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import check_hosts
from mfa_audit.judging.people import Mode, People
from mfa_audit.machine.people_key import people_for
from mfa_audit.printable import line
from mfa_audit.store.imports import Importer
from mfa_audit.store.sessions import UNKNOWN_ACCOUNT

_STDIN: Final = "-"
_FOREIGN_NAMED: Final = 5


def _clean_name(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The name without what would act on a screen. Raises BadParameter for an empty or a very long one."""
    if value is None:
        return None
    name = line(value.strip(), 256)
    if not name or len(name) > 255:
        raise click.BadParameter(f"--{parameter.name} needs a name of 1 to 255 characters.")
    return name


@click.command(epilog="Example: mfa-audit import browser.har fiddler.saz; mfa-audit report")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=str))
@database_option()
@click.option("--recursive", is_flag=True, help="Also folders: import every capture below them.")
@click.option("--password", "ask", is_flag=True, help="Ask for the password of locked archives.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file whose first line is the password of locked archives.",
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A further API host. Repeatable.")
@stored_users_option
@click.option(
    "--machine", metavar="NAME", callback=_clean_name, help="The machine that the captures were made on."
)
@click.option(
    "--account", metavar="NAME", callback=_clean_name, help="The account that they were made under."
)
@quiet_option
def command(
    files: tuple[str, ...],
    database: Path,
    recursive: bool,
    ask: bool,
    password_file: Path | None,
    hosts: tuple[str, ...],
    users: str,
    machine: str | None,
    account: str | None,
    quiet: bool,
) -> int:
    """Audit captures: mitmproxy flow files, HAR, Fiddler SAZ, and Microsoft's own lists as JSON.

    The content tells what a file is. `-` reads standard input. Importing a file again, also one that has grown,
    adds only what is new. Name the --machine of captures that were made elsewhere: its tools are rows of their own. The
    answer is the report's: run `mfa-audit report` afterwards.

    Exit codes: 0 read what could be read, 2 a named file could not be read at all, or wrong usage.
    """
    if machine is not None and account is None:
        account = UNKNOWN_ACCOUNT  # ours is none of that machine's
    people = people_for(Mode(users))
    password = _Password(ask, password_file)
    failed = False
    foreign: list[str] = []
    further = check_hosts(hosts)
    with contextlib.ExitStack() as stack:
        importer: Importer | None = None
        for path, named in _find_files(files, recursive, database):
            try:
                capture = recognition.read(path, password, further)
            except NotACaptureError as error:
                if named:
                    _complain(error)
                    failed = True
                else:
                    foreign.append(line(str(path), 120))
                continue
            except AuditError as error:
                _complain(error)
                failed |= named
                continue
            except ImportError:
                raise  # a package is missing: no file's fault
            except Exception as error:
                _complain(
                    AuditError(f"{line(str(path or 'standard input'), 120)}: {describe_failure(error)}")
                )
                failed |= named
                continue
            with capture:
                # No database is made for files of which none can be read.
                importer = importer or stack.enter_context(Importer(database, machine, account))
                failed |= not _import(capture, importer, people, quiet) and named
    if foreign:
        shown = ", ".join(foreign[:_FOREIGN_NAMED])
        more = f" and {len(foreign) - _FOREIGN_NAMED:,} more" if len(foreign) > _FOREIGN_NAMED else ""
        say(f"Not captures, left alone: {shown}{more}.", quiet=quiet)
    return EXIT_FAILED if failed else 0


def _import(capture: Capture, importer: Importer, people: People, quiet: bool) -> bool:
    """Import one open capture and say what it held; whether anything could be read."""
    with _progress(capture, quiet) as advance:
        done = import_capture(capture, importer, people, advance)
    for sentence in describe(done):
        say(sentence, quiet=quiet)
    if done.trouble is not None:
        _complain(AuditError(f"{line(done.name)}: {done.trouble}"))
        return bool(done.calls or done.rows)
    if not done.usable:
        _complain(AuditError(f"{line(done.name)}: nothing in it could be used. The lines above say why."))
    return done.usable


def _complain(error: AuditError) -> None:
    say(f"mfa-audit: {error}")


def _find_files(files: Sequence[str], recursive: bool, database: Path) -> Iterator[tuple[Path | None, bool]]:
    """The files to read, in order, and whether each was named; None is standard input."""
    for name in files:
        path = Path(name)
        if name == _STDIN:
            yield None, True
        elif recursive and path.is_dir():
            own = {database.absolute().with_name(database.name + end) for end in ("", "-wal", "-shm")}
            for found in sorted(path.rglob("*")):
                # A link may lead out of the folder, or in a circle.
                if found.is_file() and not found.is_symlink() and found.absolute() not in own:
                    yield found, False
        else:
            yield path, True


class _Password:
    """The password of locked archives, asked for once."""

    def __init__(self, ask: bool, file: Path | None) -> None:
        self._ask = ask
        self._file = file
        self._word: bytes | None = None

    def __call__(self) -> bytes | None:
        if self._word is None and self._file is not None:
            try:
                self._word = self._file.read_bytes().partition(b"\n")[0].rstrip(b"\r")
            except OSError as error:
                raise AuditError(f"cannot read the password file {self._file}: {error.strerror}.") from None
        if self._word is None and self._ask:
            word: str = click.prompt("Password of the archive", hide_input=True, err=True)
            self._word = word.encode()
        return self._word


@contextlib.contextmanager
def _progress(capture: Capture, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr while a capture is read; on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, no_color=not wants_colour(sys.stderr), highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(line(capture.name, 40), total=capture.size)
        yield lambda: bar.update(task, completed=capture.position)

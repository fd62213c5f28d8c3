"""The file of decisions on the command line: which one is read, and how an entry is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from mfa_audit.commands.output import write_file
from mfa_audit.errors import AuditError
from mfa_audit.machine.folders import read_own
from mfa_audit.reports.decisions import NONE, Decisions, parse

NAME: Final = "decisions.toml"
_LARGEST: Final = 1 << 20

decisions_option = click.option(
    "--decisions",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"What you decided. Default: {NAME} beside the database.",
)


def default_file(databases: Sequence[Path]) -> Path:
    """Where decisions are looked for when no file is named: beside the first database."""
    return databases[0].with_name(NAME)


def load_decisions(named: Path | None, databases: Sequence[Path]) -> Decisions:
    """What people decided, by the file that they named, else by the default one. Raises AuditError.

    The default file is read only where nobody else could have written it; a file that was named is trusted.
    """
    path = named or default_file(databases)
    try:
        if named is not None:
            with path.open("rb") as file:
                content: bytes | None = file.read(_LARGEST + 1)
        else:
            content = read_own(path, _LARGEST + 1)
    except OSError as error:
        if named is None and isinstance(error, FileNotFoundError):
            return NONE
        raise AuditError(f"cannot read the decisions in {path}: {error.strerror}.") from None
    if content is None:
        return Decisions(source=str(path), problem="not read, because others can write it")
    if len(content) > _LARGEST:
        raise AuditError(f"{path} is longer than 1 MiB, which no file of decisions is.")
    return parse(content, str(path))


def append(path: Path, entry: str) -> None:
    """Add an entry to the file, which is the user's alone afterwards. Raises AuditError where it is no good before."""
    path = path.resolve()  # a link stays one
    try:
        before = read_own(path, _LARGEST)
    except FileNotFoundError:
        before = b""
    except OSError as error:
        raise AuditError(f"cannot read the decisions in {path}: {error.strerror}.") from None
    if before is None:
        raise AuditError(
            f"{path} can be written by others: make it yours alone, or name another with --decisions."
        )
    parse(before, str(path))
    gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
    after = before + gap + entry.encode("utf-8", "replace")
    parse(after, str(path))
    write_file(path, after.decode("utf-8"))

"""What commands share in talking to a person: where a report goes, in which width and colour."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

import click

from mfa_audit.formats import render
from mfa_audit.reports.model import Report


def wants_colour(stream: TextIO) -> bool:
    """Colour only on a terminal, and not where NO_COLOR is set to anything (no-color.org) or the terminal is dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    """The terminal's columns; 80 for a file or a pipe."""
    return shutil.get_terminal_size((80, 24)).columns if stream.isatty() else 80


def height_of(stream: TextIO) -> int | None:
    """The terminal's lines; None for a file or a pipe, which have no end."""
    return shutil.get_terminal_size((80, 24)).lines if stream.isatty() else None


def print_report(report: Report, stream: TextIO, *, every: bool = False, verbose: bool = False) -> None:
    """The table, as `stream` can show it: `every` tool, however many lines that takes; `verbose`: all of each."""
    text = render(
        "table",
        report,
        width=width_of(stream),
        colour=wants_colour(stream),
        height=height_of(stream),
        every=every,
        verbose=verbose,
    )
    write(text, stream)


def write(text: str, stream: TextIO) -> None:
    """Write text that a console's code page may not hold (Windows): what it cannot show becomes `?`.

    Talk to a terminal that has been closed is dropped: a recording goes on, or ends, as if it had been read.
    """
    encoding = stream.encoding or "utf-8"
    try:
        click.echo(text.encode(encoding, "replace").decode(encoding), file=stream, nl=False)
    except OSError:
        if stream is not sys.stderr:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else its flush at the end fails again


def write_data(text: str) -> None:
    """Write a report for programs to stdout, as UTF-8 and with the newlines that it has.

    Text through Python's stdout would be in the console's code page, and on Windows with other newlines.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def say(text: str, *, quiet: bool = False) -> None:
    """A line of talk on stderr."""
    if not quiet:
        write(text + "\n", sys.stderr)

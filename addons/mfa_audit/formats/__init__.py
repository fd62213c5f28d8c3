"""A report as text: a module a format, each with `render(report) -> str`, and a row in FORMATS."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mfa_audit.reports.model import Report


@dataclass(frozen=True, slots=True)
class Format:
    """A format of the report, rendered by `module` in this folder.

    `travels`: it goes into tickets, pull requests and pipelines, so people are pseudonyms in it unless `--users` says
    otherwise. `endings`: the file names of `--output` that choose it. `on_screen`: it takes a screen's size.
    """

    module: str
    on_screen: bool = False
    travels: bool = False
    endings: tuple[str, ...] = ()


# By the name on the command line; docs/reports.md says what each is for.
FORMATS: Final[Mapping[str, Format]] = {
    "table": Format("terminal_table", on_screen=True),
    "json": Format("json_document", endings=(".json",)),
    "html": Format("html_page", endings=(".html", ".htm")),
    "csv": Format("csv_rows", endings=(".csv",)),
    "markdown": Format("markdown_text", travels=True, endings=(".md", ".markdown")),
    "junit": Format("junit_xml", travels=True, endings=(".xml",)),
}


def format_of(file_name: str) -> str | None:
    """The format that a file's name asks for by its ending, in any letters' case; None where it asks for none."""
    lowered = file_name.lower()
    return next((name for name, row in FORMATS.items() if lowered.endswith(row.endings)), None)


def render(
    name: str,
    report: Report,
    *,
    width: int = 80,
    colour: bool = False,
    height: int | None = None,
    every: bool = False,
    verbose: bool = False,
) -> str:
    """`report` in the format called `name`, ending in a newline.

    The rest matters to `table` only, and the caller knows its terminal and NO_COLOR: `width` in columns, `colour` (ANSI
    sequences), and `height` in lines (None: no end), beyond which tools are counted only. `every`: no tool is left out;
    `verbose`: all that is known of each. The text holds no lone surrogates: encode it as UTF-8, with newlines as
    they are.

    Raises KeyError for a name that is not in FORMATS.
    """
    # Loaded on use: whoever asks for JSON waits for neither rich nor Jinja2.
    row = FORMATS[name]
    module = importlib.import_module(f"mfa_audit.formats.{row.module}")
    text: str = (
        module.render(report, width=width, colour=colour, height=height, every=every, verbose=verbose)
        if row.on_screen
        else module.render(report)
    )
    return text

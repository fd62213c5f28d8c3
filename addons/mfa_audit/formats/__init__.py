"""A report as text: one module a format, each with `render(report, *, width, colour) -> str`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Final

from mfa_audit.reports.model import Report

Renderer = Callable[..., str]


def _load_and_render(module: str, report: Report, *, width: int = 80, colour: bool = False) -> str:
    # Loaded on use: whoever asks for JSON waits for neither rich nor Jinja2.
    renderer: Renderer = importlib.import_module(f"mfa_audit.formats.{module}").render
    return renderer(report, width=width, colour=colour)


_MODULES: Final = {
    "table": "terminal_table",
    "json": "json_document",
    "html": "html_page",
    "csv": "csv_rows",
    "markdown": "markdown_text",
    "junit": "junit_xml",
}
# The name on the command line -> (report, *, width=80, colour=False) -> str.
FORMATS: Final[dict[str, Renderer]] = {
    name: partial(_load_and_render, module) for name, module in _MODULES.items()
}


def render(name: str, report: Report, *, width: int = 80, colour: bool = False) -> str:
    """`report` in the format called `name`, ending in a newline.

    `width` in columns and `colour` (ANSI sequences) matter to `table` only; the caller knows its terminal and
    NO_COLOR. The text holds no lone surrogates: encode it as UTF-8, with newlines left as they are.

    Raises KeyError for a name that is not in FORMATS.
    """
    return FORMATS[name](report, width=width, colour=colour)

"""From an answer to the exit code that pipelines and schedulers go by; 2 and 130 are never an answer."""

from __future__ import annotations

from typing import Final

import click

from mfa_audit.judging.verdicts import Answer

EXIT_CODES: Final = {Answer.YES: 0, Answer.NO: 1, Answer.UNCLEAR: 3}

fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["no", "unclear"]),
    default="unclear",
    show_default=True,
    help="`no`: exit 0 also when the answer is unclear.",
)


def exit_code_of(answer: Answer, fail_on: str = "unclear") -> int:
    """The exit code of an answer; with `fail_on` "no" an unclear one passes."""
    return 0 if answer is Answer.UNCLEAR and fail_on == "no" else EXIT_CODES[answer]

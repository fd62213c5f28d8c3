"""From an answer to the exit code that pipelines and schedulers go by; 2 and 130 are never an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from mfa_audit.judging.verdicts import Answer

if TYPE_CHECKING:  # `check` needs no report
    from mfa_audit.reports.model import Report

EXIT_CODES: Final = {Answer.YES: 0, Answer.NO: 1, Answer.UNCLEAR: 3}

fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["no", "unclear"]),
    default="unclear",
    show_default=True,
    help="`no`: exit 0 also when the answer is unclear.",
)


report_fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["no", "unclear", "unaccepted", "new"]),
    default="unclear",
    show_default=True,
    help="`no`: 0 also when unclear. `unaccepted`: accepted tools do not count. `new`: only what --compare finds new.",
)


def report_exit_code(report: Report, fail_on: str) -> int:
    """The exit code of a report, which filters do not change."""
    from mfa_audit.reports.summary import answer_of

    whole = report.whole
    if fail_on == "unaccepted":
        return EXIT_CODES[answer_of(whole, without_accepted=True)]
    if fail_on == "new" and whole.comparison is not None:
        if whole.comparison.new or whole.comparison.newly_blocked:
            return EXIT_CODES[Answer.NO]
        return EXIT_CODES[Answer.YES if whole.tools else Answer.UNCLEAR]
    return exit_code_of(whole.answer, fail_on)


def exit_code_of(answer: Answer, fail_on: str = "unclear") -> int:
    """The exit code of an answer; with `fail_on` "no" an unclear one passes."""
    return 0 if answer is Answer.UNCLEAR and fail_on == "no" else EXIT_CODES[answer]

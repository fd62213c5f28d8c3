"""A pytest plugin: where CI=true, a test skipped for a reason that allowed_skips.txt does not list fails the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

_ALLOWED: Final = {
    line
    for line in Path(__file__).with_name("allowed_skips.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
_found: Final[dict[str, str]] = {}  # reason -> where it was met last


def _look(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason not in _ALLOWED:
            _found[reason] = report.nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _look(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _look(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _found and exitstatus == pytest.ExitCode.OK and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") == "true":
        for reason, where in sorted(_found.items()):
            terminalreporter.write_line(
                f"SKIPPED IN CI, and not in allowed_skips.txt: {reason} ({where})", red=True
            )

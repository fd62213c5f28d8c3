"""From a capture to the database: what goes wrong in one file stays with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from click.testing import CliRunner
from producers import entry, har

from mfa_audit.commands.import_ import command


class Failing:
    """A function that fails on its first call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.failed = False
        self._function = function

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        return partial(self, instance)

    def __call__(self, *arguments: Any) -> Any:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError("a secret token")
        return self._function(*arguments)


@pytest.mark.parametrize(
    "where", ["mfa_audit.captures.recognition.read", "mfa_audit.captures.har.Har._read_entry"]
)
def test_a_bug_of_ours_costs_one_file(
    monkeypatch: pytest.MonkeyPatch, home: Path, database: Path, tmp_path: Path, where: str
) -> None:
    """An unexpected error in a reader is told in a sentence without its text, and the next file is imported."""
    monkeypatch.setattr(where, fail := Failing(resolve_name(where)))
    for name in ("first.har", "second.har"):
        (tmp_path / name).write_bytes(har(entry()))
    done = CliRunner().invoke(
        command, ["--db", str(database), str(tmp_path / "first.har"), str(tmp_path / "second.har")],
        standalone_mode=False,
    )  # fmt: skip
    assert 2 == done.return_value
    assert fail.failed
    assert "first.har: mfa-audit failed while reading it (ZeroDivisionError)" in done.stderr
    assert "second.har (HAR of WebInspector 537.36): 1 call" in done.stderr
    assert "secret" not in done.stderr

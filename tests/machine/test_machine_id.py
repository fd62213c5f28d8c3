"""The id of a machine: stable, and nothing of the system's own id in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfa_audit.machine import machine_id
from mfa_audit.machine.machine_id import LENGTH, hashed, this_machine


@pytest.fixture(autouse=True)
def fresh() -> None:
    this_machine.cache_clear()


def test_it_is_a_hash_of_the_systems_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same system gives the same id, another one another, and the system's own id is not in it."""
    own = "4fc1d2f3a5b6479c8d7e6f5a4b3c2d1e"
    (tmp_path / "machine-id").write_text(own + "\n")
    monkeypatch.setattr(machine_id.sys, "platform", "linux")
    monkeypatch.setattr(machine_id, "_LINUX", (tmp_path / "missing", tmp_path / "machine-id"))
    found = this_machine()
    assert hashed(own.upper()) == found
    assert found != hashed("0" * 32)
    assert (LENGTH, False) == (len(found or ""), (found or "") in own)


def test_a_system_without_one_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without an id, or with an empty one, is known by its name alone."""
    (tmp_path / "machine-id").write_text("uninitialized\n")
    monkeypatch.setattr(machine_id.sys, "platform", "linux")
    monkeypatch.setattr(machine_id, "_LINUX", (tmp_path / "machine-id",))
    assert this_machine() is None

"""The key behind pseudonyms."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine.people_key import read_key


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The first use makes it, later ones read it, and no draft is left beside it."""
    file = tmp_path / "people" / "people.key"
    key = read_key(file)
    assert 32 == len(key)
    assert key == read_key(file)
    assert [file] == list(file.parent.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_the_key_is_private(tmp_path: Path) -> None:
    """Nobody else may read it."""
    file = tmp_path / "people" / "people.key"
    read_key(file)
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)


def test_commands_at_once_share_one_key(tmp_path: Path) -> None:
    """Two that start together end with the same key."""
    file, start, keys = tmp_path / "people.key", threading.Barrier(8), []

    def make() -> None:
        start.wait()
        keys.append(read_key(file))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file.read_bytes()} == set(keys)
    assert 8 == len(keys)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """A key that is none is not replaced behind the user's back: his pseudonyms would change."""
    file = tmp_path / "people.key"
    file.write_bytes(content)
    with pytest.raises(AuditError, match="damaged"):
        read_key(file)
    assert content == file.read_bytes()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where the key cannot be kept the error says what to do."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(AuditError, match="--users"):
        read_key(tmp_path / "file" / "people.key")

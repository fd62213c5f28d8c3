"""scratch: a folder lives as long as its process, and goes after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine import scratch

KILLED = """
import os, sys
from pathlib import Path
from mfa_audit.machine import scratch
with scratch.folder(Path(sys.argv[1])) as own:
    (own / "file").write_text("x")
    for other in sys.argv[2:]:
        scratch.adopt(own, Path(other))
    os._exit(9)
"""


def kill_one(within: Path, *adopted: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(within), *map(str, adopted)]
    subprocess.run(command, env=variables, timeout=60, check=False)


def test_it_goes_when_the_context_ends(tmp_path: Path) -> None:
    """The folder is private and is deleted with all that is in it, and with its lock."""
    with scratch.folder(tmp_path) as own:
        (own / "deep").mkdir()
        (own / "deep" / "file").write_text("x")
        if os.name == "posix":
            assert 0o700 == own.stat().st_mode & 0o777
    assert [] == list(tmp_path.iterdir())


def test_only_the_dead_are_swept(tmp_path: Path) -> None:
    """What a killed process left is deleted; what a living one holds stays."""
    with scratch.folder(tmp_path) as own:
        kill_one(tmp_path)
        assert 2 == len([path for path in tmp_path.iterdir() if path.is_dir()])
        scratch.sweep(tmp_path)
        assert [own] == [path for path in tmp_path.iterdir() if path.is_dir()]


def test_adopted_folders_go_with_it(tmp_path: Path) -> None:
    """A folder elsewhere that bears our prefix is deleted too; one with another name never is."""
    profile, foreign = tmp_path / "mfa-audit-abc", tmp_path / "documents"
    profile.mkdir()
    foreign.mkdir()
    kill_one(tmp_path / "running", profile, foreign)
    scratch.sweep(tmp_path / "running")
    assert (False, True) == (profile.exists(), foreign.exists())


def test_an_unusable_folder_is_told(tmp_path: Path) -> None:
    """Where it cannot be made the error says what to do; sweeping there is no error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="MFA_AUDIT_HOME"), scratch.folder(tmp_path / "file"):
        pass
    scratch.sweep(tmp_path / "file")

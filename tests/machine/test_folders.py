"""Where our files go, with and without MFA_AUDIT_HOME and a home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from mfa_audit.machine import folders
from processes import Audit

# A user id without an entry in the system's list of users, and a folder that no variable names.
NOBODY = ["unshare", "--user", "--map-user=54321", "env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME"]


def every_folder() -> set[Path]:
    return {
        folders.default_database(),
        folders.authorities_folder(),
        folders.trust_journal(),
        folders.running_folder(),
        folders.people_folder(),
    }


def test_one_variable_moves_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MFA_AUDIT_HOME moves all that we keep, and the key of pseudonyms stays apart from the databases."""
    monkeypatch.setenv("MFA_AUDIT_HOME", str(tmp_path / "ours"))
    assert {tmp_path / "ours"} == {folder.parents[1] for folder in every_folder()}
    assert tmp_path / "ours" == folders.machine_folder().parent
    assert folders.default_database().parent not in folders.people_folder().parents
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MFA_AUDIT_HOME", "ours")
    assert {tmp_path / "ours"} == {folder.parents[1] for folder in every_folder()}


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_system_decides(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Without MFA_AUDIT_HOME, or with an empty one, files are where the system keeps such things."""
    if value is None:
        monkeypatch.delenv("MFA_AUDIT_HOME")
    else:
        monkeypatch.setenv("MFA_AUDIT_HOME", value)
    data = platformdirs.user_data_path("mfa-audit", appauthor=False)
    state = platformdirs.user_state_path("mfa-audit", appauthor=False)
    config = platformdirs.user_config_path("mfa-audit", appauthor=False)
    of_data = {data / "audit.db", data / "authorities", data / "trust.jsonl"}
    assert {*of_data, state / "running", config / "people"} == every_folder()
    assert folders.machine_folder().is_absolute()


def test_commands_write_nowhere_else(audit: Audit, home: Path, upstream: list[str]) -> None:
    """A recording with a key of pseudonyms, all in default places, leaves nothing outside of MFA_AUDIT_HOME."""
    done = audit.run("run", "--users", "pseudonym", *upstream, "--", sys.executable, "-c", "")
    assert 3 == done.returncode, done.stderr
    assert ["mfa-audit"] == [entry.name for entry in home.iterdir()]
    kept = {path.name for path in (home / "mfa-audit").rglob("*") if path.is_file()}
    assert {"audit.db", "people.key"} <= kept


@pytest.fixture
def nobody() -> list[str]:
    """What comes before a command so that it runs without a home folder and with a user id that has no name."""
    if shutil.which("unshare") is None:
        pytest.skip("NOT HERE: unshare, of Linux")
    if subprocess.run([*NOBODY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT HERE: user namespaces are not allowed on this machine")
    return [*NOBODY, sys.executable, "-m", "mfa_audit"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--db", "a.db", "--", "true"],
        ["report"],
        ["doctor"],
        ["trust", "--dry-run"],
        ["import", "x.har"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_account_without_a_home_or_a_name(tmp_path: Path, nobody: list[str], arguments: list[str]) -> None:
    """Where no folder can be known, commands end with one sentence that names the variable to set."""
    variables = {name: value for name, value in os.environ.items() if name != "MFA_AUDIT_HOME"}
    done = subprocess.run(
        [*nobody, *arguments],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("mfa-audit: this account has no home folder: set MFA_AUDIT_HOME to ")
    assert 1 == done.stderr.count("\n")
    assert [] == list(tmp_path.iterdir())


def test_such_an_account_with_the_variable(tmp_path: Path, nobody: list[str]) -> None:
    """With MFA_AUDIT_HOME such an account records and reports; what needs a real home says that."""
    variables = {**os.environ, "MFA_AUDIT_HOME": str(tmp_path / "ours")}

    def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*nobody, *arguments], env=variables, capture_output=True, text=True, check=False, timeout=60
        )

    assert 3 == audit("run", "--", "true").returncode
    assert "1 single run" in audit("report").stdout
    done = audit("trust", "--dry-run")
    assert (2, "mfa-audit: this account has no home folder: set HOME (on Windows USERPROFILE) to one.\n") == (
        done.returncode,
        done.stderr.splitlines(keepends=True)[-1],
    )


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_what_others_can_write_is_not_read(tmp_path: Path) -> None:
    """A file counts as one's own only without a right of others to write it; a pipe, which would block, never does."""
    file = tmp_path / "decisions.toml"
    file.write_bytes(b"ours")
    for mode, content in ((0o600, b"ours"), (0o644, b"ours"), (0o664, None), (0o646, None)):
        file.chmod(mode)
        assert content == folders.read_own(file, 100), oct(mode)
    file.chmod(0o600)
    assert b"ou" == folders.read_own(file, 2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert folders.read_own(pipe, 100) is None


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_what_belongs_to_others_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another account is not one's own, and neither is one that another account's link leads to."""
    file, link = tmp_path / "theirs", tmp_path / "link"
    file.write_bytes(b"theirs")
    link.symlink_to(file)
    assert b"theirs" == folders.read_own(link, 100)
    if os.geteuid() == 0:  # only root gives files away
        os.chown(link, 54321, 54321, follow_symlinks=False)
        assert folders.read_own(link, 100) is None
        os.chown(file, 54321, 54321)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert folders.read_own(file, 100) is None

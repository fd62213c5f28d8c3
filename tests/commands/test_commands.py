"""The command line as a whole: what it says and how it ends where the installation or the machine lacks something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import pyzipper


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("jwt", ["check"]),
        ("psutil", ["doctor"]),
        ("pyzipper", ["import", "--password-file", "word", "locked.saz"]),
    ],
)
def test_a_missing_package(package: str, arguments: list[str], tmp_path: Path) -> None:
    """A package that is missing is named with what to do about it, and nothing else is made of its absence."""
    with pyzipper.AESZipFile(tmp_path / "locked.saz", "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"word")
        archive.writestr(
            "raw/1_c.txt", b"GET https://api.partnercenter.microsoft.com/v1/customers HTTP/1.1\r\n\r\n"
        )
    (tmp_path / "word").write_text("word")
    blocked = f"import sys; sys.modules[{package!r}] = None; from mfa_audit.commands import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", blocked, *arguments],
        input="a.e30.c",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert f"mfa-audit: the Python package {package} is missing or damaged. Install" in done.stderr
    assert 1 == done.stderr.count("\n")

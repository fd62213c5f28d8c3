"""The tests themselves: they can be collected on every system, and in CI nothing is skipped unnoticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A plugin that takes away what Windows lacks once all else is loaded, and before any test module is.
AS_ON_WINDOWS = """
import os, signal, sys
import mfa_audit.proxy.serving, mitmproxy.test.taddons, requests, httpx, datasette.app

def pytest_collection(session):
    for module in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
        sys.modules[module] = None
    for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM"):
        delattr(signal, name)
    for name in ("geteuid", "getuid", "mkfifo", "fork", "killpg", "openpty"):
        delattr(os, name)
"""


def run_pytest(
    plugin_folder: Path, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, that finds plugins in `plugin_folder`."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(plugin_folder), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_collected_without_posix(tmp_path: Path) -> None:
    """Without the modules, signals and functions that Windows lacks every test module can still be collected."""
    (tmp_path / "as_on_windows.py").write_text(AS_ON_WINDOWS)
    done = run_pytest(tmp_path, "-p", "as_on_windows", "--collect-only", "tests")
    assert 0 == done.returncode, done.stdout[-4000:] + done.stderr
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert modules == {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}


@pytest.fixture
def skips(tmp_path: Path) -> Path:
    """A folder with the plugin `skips` and a list that allows one reason."""
    shutil.copy(ROOT / "tests" / "skips.py", tmp_path)
    (tmp_path / "allowed_skips.txt").write_text("# Programs:\nno such shell here\n")
    return tmp_path


SKIPPING = """
import pytest

def test_that_passes():
    pass

@pytest.mark.skip(reason={reason!r})
def test_that_is_skipped():
    pass
"""


@pytest.mark.parametrize(
    ("reason", "ci", "expected"),
    [("no curl here", "true", 1), ("no curl here", "", 0), ("no such shell here", "true", 0)],
)
def test_a_skip_in_ci(skips: Path, reason: str, ci: str, expected: int) -> None:
    """In CI a skip for a reason that is not on the list fails the run and is named; elsewhere it does not."""
    (skips / "test_it.py").write_text(SKIPPING.format(reason=reason))
    done = run_pytest(skips, "-p", "skips", "--rootdir", skips, skips, CI=ci)
    assert expected == done.returncode, done.stdout + done.stderr
    assert (expected == 1) is (f"SKIPPED IN CI, and not in allowed_skips.txt: {reason}" in done.stdout)


def test_a_module_skipped_in_ci(skips: Path) -> None:
    """A module that skips itself while it is collected fails the run in CI just so."""
    (skips / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (skips / "test_other.py").write_text("def test_it():\n    pass\n")
    done = run_pytest(skips, "-p", "skips", "--rootdir", skips, skips, CI="true")
    assert 1 == done.returncode, done.stdout + done.stderr
    assert "SKIPPED IN CI, and not in allowed_skips.txt: could not import 'no_such_module'" in done.stdout

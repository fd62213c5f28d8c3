"""`mfa-audit env` in real shells: there and back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from endpoints import Endpoint, Issuer, listening
from mfa_audit.machine import proxies

API = "api.partnercenter.microsoft.com"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Endpoint]:
    """A proxy that has announced itself in a state folder of the test's own."""
    issuer = Issuer("the proxy's", tmp_path)
    with listening({API: issuer.server(API)}) as endpoint:
        port = urlsplit(endpoint.url).port
        assert port is not None
        with proxies.announce(
            "127.0.0.1", port, authority=issuer.file("ca.pem"), database=tmp_path / "audit.db"
        ):
            yield endpoint


def in_shell(tmp_path: Path, program: str, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `script`, in which `mfa-audit` is this package's, under a real shell with a small environment."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    command = tmp_path / "bin" / "mfa-audit"
    command.parent.mkdir(exist_ok=True)
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{os.pathsep.join(sys.path)}" exec "{sys.executable}" -m mfa_audit "$@"\n'
    )
    command.chmod(0o755)
    environment = {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "MFA_AUDIT_HOME": os.environ["MFA_AUDIT_HOME"],
        **variables,
    }
    return subprocess.run(
        [path, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


HOSTILE = 'it\'s "$(touch owned)" `touch owned`; touch owned, .microsoft.com'
BASH = f"""
env | sort > before; eval "$(mfa-audit env --quiet)"; env | sort > there; curl -sS https://{API}/ > answer
eval "$(mfa-audit env --quiet)"; eval "$(mfa-audit env --unset)"; env | sort > after
"""
FISH = f"""
env | sort > before; mfa-audit env --quiet | source; env | sort > there; curl -sS https://{API}/ > answer
mfa-audit env --quiet | source; mfa-audit env --unset | source; env | sort > after
"""


@pytest.mark.parametrize(
    ("program", "script"), [("bash", BASH), ("dash", BASH), ("zsh", BASH), ("fish", FISH)]
)
def test_there_and_back(tmp_path: Path, proxy: Endpoint, program: str, script: str) -> None:
    """A call from the terminal goes through the proxy; undone, every variable is as before, whatever was in
    it.
    """
    done = in_shell(
        tmp_path, program, script, no_proxy=HOSTILE, JAVA_TOOL_OPTIONS="-Da='b c'", HTTPS_PROXY=""
    )

    assert ("there", [API]) == ((tmp_path / "answer").read_text(), proxy.calls), done.stderr
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert proxy.url in (tmp_path / "there").read_text()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("program", "line"),
    [("bash", 'eval "$(mfa-audit env --unset)"'), ("fish", "mfa-audit env --shell fish --unset | source")],
)
def test_says_how_to_undo_it(tmp_path: Path, proxy: Endpoint, program: str, line: str) -> None:
    """Without --shell the calling shell is recognised: stderr has the line to type in it."""
    assert line in in_shell(tmp_path, program, "mfa-audit env > lines; true").stderr


@pytest.mark.parametrize("shell", ["powershell", "cmd"])
def test_windows_shells_get_their_language(tmp_path: Path, proxy: Endpoint, shell: str) -> None:
    """PowerShell and cmd get lines of their own; PowerShell's cover .NET Framework too."""
    lines = in_shell(tmp_path, "sh", f"mfa-audit env --shell {shell}").stdout

    expected = {
        "powershell": [
            f"$env:HTTPS_PROXY = '{proxy.url}'",
            "[System.Net.WebRequest]::DefaultWebProxy = (New-Object",
        ],
        "cmd": [f'set "HTTPS_PROXY={proxy.url}"'],
    }[shell]
    assert [True] * len(expected) == [text in lines for text in expected]


def test_bundles_go_with_the_proxy(tmp_path: Path) -> None:
    """What env wrote for the terminal is gone once the proxy has ended."""
    issuer = Issuer("the proxy's", tmp_path)
    with listening({}) as endpoint:
        port = urlsplit(endpoint.url).port
        assert port is not None
        with proxies.announce(
            "127.0.0.1", port, authority=issuer.file("ca.pem"), database=tmp_path / "audit.db"
        ):
            shown = in_shell(
                tmp_path, "sh", 'eval "$(mfa-audit env --quiet)"; echo $SSL_CERT_FILE'
            ).stdout.strip()
            assert Path(shown).is_file()

    folder = proxies.running_folder()
    assert folder.is_dir()
    assert [] == [path for path in folder.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "# nothing was changed"),
        ("powershell", "# nothing was changed"),
        ("cmd", "rem nothing was changed"),
    ],
)
def test_no_proxy_runs(tmp_path: Path, shell: str, line: str) -> None:
    """Without a running proxy the shell gets a line that does nothing, and the error says what to start.

    No line at all would be an error of its own to PowerShell's Invoke-Expression, which ends a script.
    """
    done = in_shell(tmp_path, "sh", f"mfa-audit env --shell {shell}")

    assert (2, [line]) == (done.returncode, done.stdout.splitlines())
    assert "mfa-audit proxy" in done.stderr


@pytest.mark.parametrize(
    ("program", "script"),
    [("bash", 'eval "$(mfa-audit env)"; env'), ("fish", "mfa-audit env | source; env")],
)
def test_the_line_without_a_proxy_is_harmless(tmp_path: Path, program: str, script: str) -> None:
    """A shell that carries that line out goes on, and none of its variables is another."""
    done = in_shell(tmp_path, program, script)
    assert (0, False) == (done.returncode, "MFA_AUDIT_ENV" in done.stdout), done.stderr


def test_nothing_to_undo(tmp_path: Path) -> None:
    """Undoing where nothing was done prints no line and says so."""
    done = in_shell(tmp_path, "sh", "mfa-audit env --unset")

    assert (0, "") == (done.returncode, done.stdout)
    assert "Nothing to undo" in done.stderr


def test_inside_a_run(tmp_path: Path) -> None:
    """What `run` starts finds the proxy that serves it: PowerShell 5.1 needs its lines there, too."""
    done = in_shell(tmp_path, "sh", "mfa-audit run --db audit.db -- mfa-audit env --shell powershell")

    assert "DefaultWebProxy = (New-Object System.Net.WebProxy('http://127.0.0.1:" in done.stdout, done.stderr

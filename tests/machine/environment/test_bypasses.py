"""bypasses: programs that ignore the variables are named before they start, with what helps."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from mfa_audit.machine.environment.bypasses import (
    left_behind,
    mend_refusal,
    reads_proxy_variables,
    warnings_for,
)


def program(folder: Path, name: str, content: str = "#!/bin/sh\n") -> dict[str, str]:
    """An environment whose PATH holds a program of that name before all others."""
    path = folder / name
    path.write_text(content)
    path.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("command", "platform", "helps"),
    [
        (
            [r"C:\Windows\System32\WindowsPowerShell\v1.0\PowerShell.EXE", "-File", "x.ps1"],
            "win32",
            "Invoke-Expression",
        ),
        (["pwsh"], "win32", "mfa-audit trust"),
        (["curl.exe"], "win32", "mfa-audit trust"),
        (["/usr/bin/chromium"], "linux", "mfa-audit browse"),
        (["docker", "run", "x"], "linux", "docs/clients.md"),
        (["sudo", "curl"], "linux", "sudo mfa-audit run"),
        (["wget", "https://x"], "linux", "--ca-certificate"),
    ],
)
def test_names_what_helps(command: list[str], platform: str, helps: str) -> None:
    """A program that is known to ignore the variables gets one sentence with what to do."""
    (sentence,) = warnings_for(command, {"PATH": ""}, platform=platform)

    assert helps in sentence


@pytest.mark.parametrize("program", ["pwsh", "dotnet", "curl"])
def test_windows_needs_trust_only_once(program: str) -> None:
    """What trusts the Windows store only is told `mfa-audit trust`, and nothing more once a store trusts ours."""
    (sentence,) = warnings_for([program], {"PATH": ""}, platform="win32")
    assert "mfa-audit trust" in sentence
    assert [] == warnings_for([program], {"PATH": ""}, trusted=True, platform="win32")


def test_windows_powershell_needs_its_line_still() -> None:
    """Windows PowerShell ignores the variables, whether it trusts the proxy or not."""
    for trusted, said in ((False, True), (True, False)):
        (sentence,) = warnings_for(["powershell"], {"PATH": ""}, trusted=trusted, platform="win32")
        assert (True, said) == ("Invoke-Expression" in sentence, "mfa-audit trust" in sentence)


@pytest.mark.parametrize("command", [["pwsh", "x.ps1"], ["curl", "https://x"], ["python3"], ["no-such"]])
def test_silent_about_the_rest(command: list[str]) -> None:
    """A program that takes the variables gets none."""
    assert [] == warnings_for(command, {"PATH": os.environ["PATH"]}, platform="linux")


@pytest.mark.parametrize(("version", "warned"), [("v20.20.2", True), ("v22.21.0", False), ("v24.1.0", False)])
def test_node_is_asked_for_its_version(tmp_path: Path, version: str, warned: bool) -> None:
    """Node before 24 (22.21) is named, whichever of its programs is started."""
    program(tmp_path, "npx")
    environment = program(tmp_path, "node", f"#!/bin/sh\necho {version}\n")

    sentences = warnings_for(["npx", "x"], environment, platform="linux")

    assert warned == any("EnvHttpProxyAgent" in sentence for sentence in sentences)


@pytest.mark.parametrize("version", [(20, 20), (22, 20), (23, 11)])
def test_old_node_ignores_the_variables(version: tuple[int, int]) -> None:
    """NODE_USE_ENV_PROXY came with 24.0 and 22.21; 23 never had it."""
    assert not reads_proxy_variables(*version)


@pytest.mark.parametrize(("platform", "warned"), [("win32", True), ("darwin", True), ("linux", False)])
def test_go_program_is_recognised(platform: str, warned: bool) -> None:
    """A program that the Go tools built is known by its build information; it matters on two systems."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go here")

    assert warned == bool(warnings_for([go], {"PATH": ""}, platform=platform))


@pytest.mark.parametrize(
    ("program", "user_agent", "platform", "line"),
    [
        ("java", "Java/17.0.15", "linux", "mfa-audit trust --store java"),
        ("powershell.exe", None, "win32", "mfa-audit trust"),
        (None, "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0", "linux", "mfa-audit browse"),
        ("python3", None, "linux", 'eval "$(mfa-audit env)"'),
        # Neither reads the store of Windows by default.
        ("python.exe", "python-requests/2.34", "win32", "| Out-String | Invoke-Expression"),
        ("node.exe", "axios/1.21", "win32", "| Out-String | Invoke-Expression"),
        ("curl.exe", "curl/8.9", "win32", "--ssl-revoke-best-effort"),
    ],
)
def test_one_line_mends_a_refusal(
    program: str | None, user_agent: str | None, platform: str, line: str
) -> None:
    """A client that refused the certificate gets the line that fits it."""
    assert line in mend_refusal(program, user_agent, platform=platform)


@pytest.mark.skipif(os.name != "posix", reason="starts a POSIX program")
def test_finds_what_was_left_behind() -> None:
    """A program that outlives the command is named, by the proxy in its environment."""
    environment = {"HTTPS_PROXY": "http://127.0.0.1:4711", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        try:
            deadline = time.monotonic() + 10  # the child is the parent's copy until it has become `sleep`
            while not left_behind("http://127.0.0.1:4711") and time.monotonic() < deadline:
                time.sleep(0.05)
            assert [f"sleep (process {process.pid})"] == left_behind("http://127.0.0.1:4711")
            assert [] == left_behind("http://127.0.0.1:4712")
        finally:
            process.kill()

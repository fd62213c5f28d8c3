"""The command line as a whole: help, unknown commands, completion, the addon's path, and what may be missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import pyzipper

from mfa_audit.commands import COMMANDS
from observed import fill, observe
from processes import COMMAND, Audit

posix = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the streams")


def test_help_groups_the_commands(audit: Audit) -> None:
    """`mfa-audit --help` and `mfa-audit help` list each command once, in three groups, on one screen."""
    told = audit.run("--help").stdout
    assert told == audit.run("help").stdout
    assert 36 > len(told.splitlines())
    assert ["Audit:", "Set up:", "Look:"] == [
        line for line in told.splitlines() if line in ("Audit:", "Set up:", "Look:")
    ]
    assert sorted(COMMANDS) == sorted(
        line.split()[0]
        for line in told.partition("Audit:")[2].splitlines()
        if line.startswith("  ") and "Example" not in line
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(audit: Audit, name: str) -> None:
    """`mfa-audit help COMMAND` is `mfa-audit COMMAND --help`, with an example."""
    told = audit.run("help", name).stdout
    assert told == audit.run(name, "--help").stdout
    assert told.startswith(f"Usage: mfa-audit {name} ")
    assert "Example" in told


@pytest.mark.parametrize("words", [("reprot",), ("help", "reprot")])
def test_an_unknown_command_gets_a_suggestion(audit: Audit, words: tuple[str, ...]) -> None:
    """A slip of the finger is one sentence with the command that was likely meant, exit 2."""
    done = audit.run(*words)
    assert 2 == done.returncode
    assert "No such command 'reprot'. Did you mean 'report'?" in done.stderr
    assert "`mfa-audit --help` lists the commands." in audit.run("xyzzy").stderr


def test_a_shell_completes(audit: Audit) -> None:
    """click's completion answers a shell, with exit 0."""
    asked = {"_MFA_AUDIT_COMPLETE": "bash_complete", "COMP_WORDS": "mfa-audit re", "COMP_CWORD": "1"}
    done = audit.run(**asked)
    assert (0, "plain,report\n") == (done.returncode, done.stdout)


def test_addon_prints_a_path_that_mitmdump_loads(audit: Audit) -> None:
    """`mfa-audit addon` prints only the path of a file that makes the addon."""
    path = Path(audit.run("addon", "--quiet").stdout.strip())
    code = "import runpy, sys; print(type(runpy.run_path(sys.argv[1])['addons'][0]).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )
    assert "PartnerCenterMfa" == done.stdout.strip()


@pytest.mark.parametrize(
    ("frozen", "told"),
    [(False, "-m pip install"), (True, "The standalone mitmproxy cannot import packages")],
)
def test_a_foreign_mitmdump_says_what_to_install(
    audit: Audit, tmp_path: Path, *, frozen: bool, told: str
) -> None:
    """A mitmdump that has no mfa-audit says one sentence with what to install where, no traceback, and ends with 1."""
    path = audit.run("addon", "--quiet").stdout.strip()
    code = (
        f"import sys; sys.modules['mfa_audit'] = None; from mitmproxy.tools.main import mitmdump\n"
        f"{'sys.frozen = True' if frozen else ''}\nmitmdump(sys.argv[1:])"
    )
    options = ["-p", "0", "--listen-host", "127.0.0.1", "--set", f"confdir={tmp_path}", "-s", path]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert 1 == done.returncode
    output = done.stdout + done.stderr
    assert re.search(r"This mitmproxy cannot load mfa-audit: mfa_audit\S* is missing\.", output)
    assert told in output
    assert "Traceback" not in output


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


@pytest.fixture
def recorded(database: Path) -> Path:
    """A database with one call."""
    fill(database, [observe()])
    return database


def in_shell(command: str, database: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `"$@"` is `mfa-audit` with these arguments, and `$0` the database."""
    return subprocess.run(
        ["sh", "-c", command, database, *COMMAND, *arguments],
        input="a.e30.c",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@posix
@pytest.mark.parametrize(
    ("closed", "arguments", "expected"),
    [
        (">&-", ["report"], 0),
        ("2>&-", ["report"], 0),
        (">&- 2>&-", ["report"], 0),
        ("<&-", ["report"], 0),
        (">&-", ["report", "--format", "json"], 0),
        (">&-", ["check"], 3),
        ("<&-", ["check"], 2),
        (">&-", ["env", "--unset", "--shell", "bash"], 0),
    ],
)
def test_closed_streams(recorded: Path, closed: str, arguments: list[str], expected: int) -> None:
    """Without stdin, stdout or stderr a command ends as ever, and writes its talk into no other file."""
    before = recorded.read_bytes()
    done = in_shell(f'MFA_AUDIT_DB="$0" "$@" {closed}', recorded, *arguments)
    assert expected == done.returncode
    assert "unexpected" not in done.stderr
    assert before == recorded.read_bytes()


@posix
def test_recording_with_closed_streams(audit: Audit, database: Path) -> None:
    """A run without stdout and stderr records into its database as ever, and into nothing else."""
    done = in_shell('"$@" >&- 2>&-', database, "run", "--db", str(database), "--", "true")
    assert 3 == done.returncode
    assert "1 single run" in audit.run("report", "--db", database).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("form", ["table", "json"])
def test_output_that_is_full(recorded: Path, form: str) -> None:
    """A report that finds no room where it is written to ends with 2 and says that."""
    done = in_shell('"$@" >/dev/full', recorded, "report", "--db", str(recorded), "--format", form)
    assert (2, "mfa-audit: the output cannot be written: No space left on device.\n") == (
        done.returncode,
        done.stderr,
    )


@posix
@pytest.mark.parametrize("encoding", ["ascii", "cp437", "utf-8"])
def test_paths_beyond_the_code_page(audit: Audit, recorded: Path, encoding: str) -> None:
    """A path with letters that the console lacks, and with bytes that are no text, is used and shown somehow."""
    odd = recorded.with_name("\u0444\u6587\udcff.db")
    recorded.rename(odd)
    copy = odd.with_name("copy " + odd.name)
    for arguments, expected in (
        (["backup", "--db", odd, copy], 0),
        (["report", "--db", copy], 0),
        (["report", "--db", odd.with_suffix(".none")], 2),
    ):
        done = audit.run(*arguments, PYTHONIOENCODING="ascii")
        assert expected == done.returncode, done.stderr
        assert "unexpected" not in done.stderr
    assert copy.exists()


@pytest.mark.parametrize(
    "arguments",
    [["trust", "--dry-run"], ["doctor"], ["report"], ["help", "run"], ["env"], ["untrust"]],
    ids=" ".join,
)
def test_no_code_page_breaks_the_output(audit: Audit, tmp_path: Path, arguments: list[str]) -> None:
    """Whatever a console's code page lacks is spelled, not an error, also in the path of a home folder."""
    home = str(tmp_path / "\u00dcbung \u2713")
    done = audit.run(*arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0", MFA_AUDIT_HOME=home, HOME=home)
    assert "UnicodeEncodeError" not in done.stderr
    assert "unexpected" not in done.stderr


def test_a_closed_pipe_of_windows_is_quiet() -> None:
    """Windows says EINVAL where others say EPIPE: nothing is said, and the exit code is that of a failure."""
    script = (
        "import errno, sys\nfrom mfa_audit import commands\n"
        "def broken(**_): raise OSError(errno.EINVAL, 'Invalid argument')\n"
        "commands.group.main = broken\ncommands.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (2, "", "") == (done.returncode, done.stdout, done.stderr)

"""`mfa-audit run`: the whole path from a client's call to a Yes or No, with real programs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clients import API
from endpoints import Issuer, listening
from processes import COMMAND, Audit

HOST = "api.partnercenter.microsoft.com"
CUSTOMERS = f"{API}/v1/customers"


def test_nothing_seen_is_not_yes(audit: Audit, database: Path) -> None:
    """A command that calls nothing leaves the answer unclear, and is told what kinds of programs pass us by."""
    done = audit.run("run", "--db", database, "--", sys.executable, "-c", "")
    assert done.returncode == 3
    assert "CANNOT TELL YET" in done.stderr
    assert "No call reached the proxy." in done.stderr
    assert (
        audit.run("run", "--db", database, "--fail-on", "no", "--", sys.executable, "-c", "").returncode == 0
    )


def test_stdin_and_stdout_are_the_commands(audit: Audit, database: Path) -> None:
    """What goes in and out of the command passes untouched; our own talk is on stderr."""
    code = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    done = audit.run("run", "--db", database, "--", sys.executable, "-c", code, stdin="abc")
    assert done.stdout == "ABC"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
def test_a_stop_signal_reaches_the_command(audit: Audit, database: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGHUP are passed on, the report is still printed, and the exit code is the command's."""
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "time.sleep(60)"
    )
    running = audit.start("run", "--db", database, "--", sys.executable, "-c", code)
    running.wait_for("ready")
    running.signal(number)
    done = running.end()
    assert done.returncode == 9
    assert "CANNOT TELL YET" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_command_that_hangs_is_ended_by_the_second_signal(audit: Audit, database: Path) -> None:
    """A child that ignores SIGTERM is killed when SIGTERM comes again; nothing of it is left."""
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('child', os.getpid(), file=sys.stderr, flush=True)\n"
        "time.sleep(60)"
    )
    running = audit.start("run", "--db", database, "--", sys.executable, "-c", code)
    child = int(running.wait_for(r"child (\d+)")[1])
    running.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert running.process.poll() is None
    running.signal(signal.SIGTERM)
    assert running.end().returncode == 128 + signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_nothing_is_left_of_a_run(
    audit: Audit, upstream: list[str], database: Path, home: Path, tmp_path: Path
) -> None:
    """The trust bundles are private while the command runs, its authority's key is on no disk, and all of it goes."""
    code = (
        "import json, os, pathlib, stat; file = os.environ['SSL_CERT_FILE'];"
        "files = [p for p in pathlib.Path(os.environ['MFA_AUDIT_HOME']).rglob('*') if p.is_file()];"
        "print(json.dumps([stat.S_IMODE(os.stat(file).st_mode), stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode),"
        " file in map(str, files), [str(p) for p in files if b'PRIVATE KEY' in p.read_bytes()]]))"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["run", "--db", database, *upstream, "--", sys.executable, "-c", code]
    done = audit.run(*command, TMPDIR=str(temporary), TEMP=str(temporary))
    mode, folder_mode, ours, keys = json.loads(done.stdout)
    assert (True, []) == (ours, keys)
    if os.name != "nt":
        assert (0o600, 0o700) == (mode, folder_mode)
    assert [] == list(temporary.iterdir())
    assert [] == files_below(home)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_a_killed_run_left_goes_with_the_next_command(audit: Audit, database: Path, home: Path) -> None:
    """After kill -9 any command clears away what lay in our folders, and nothing of a run that still goes on."""
    code = "import os, sys, time; print(os.environ['SSL_CERT_FILE'], file=sys.stderr, flush=True); time.sleep(60)"
    command = ["run", "--db", database, "--", sys.executable, "-c", code]
    dead, alive = audit.start(*command), audit.start(*command)
    files = [Path(running.wait_for(r"(/.*trusted\.pem)\n")[1]) for running in (dead, alive)]
    dead.kill()
    assert [True, True] == [file.exists() for file in files]
    audit.run("check", stdin="no token")
    assert [False, True] == [file.exists() for file in files]
    alive.signal(signal.SIGTERM)
    alive.end()
    assert [] == files_below(home)


def test_a_missing_program_is_one_sentence(audit: Audit, database: Path) -> None:
    """A command that does not exist is said in one line, exit 2, and no database is made."""
    done = audit.run("run", "--db", database, "--", "no-such-program")
    assert done.returncode == 2
    assert done.stderr == "mfa-audit: there is no program no-such-program. Give its path, or check PATH.\n"
    assert not database.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no executable mode")
def test_what_cannot_be_started_is_told_apart(
    audit: Audit, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without execute permission, a folder, and a file that is only in this folder are not "no program"."""
    monkeypatch.chdir(tmp_path)
    Path("sync it.py").write_text("")
    expected = {
        "./sync it.py": "./sync it.py is not executable; name the program that runs it, such as: mfa-audit run -- "
        "python3 './sync it.py', or make it executable: chmod +x './sync it.py'.",
        ".": ". is a folder, not a program.",
        "sync it.py": "sync it.py is a file here and no program on PATH; give it as ./sync it.py, or name its "
        "interpreter.",
    }
    for name, told in expected.items():
        done = audit.run("run", "--db", database, "--", name)
        assert (2, f"mfa-audit: {told}\n") == (done.returncode, done.stderr)


def test_after_nothing_the_advice_is_not_run_again(audit: Audit, database: Path) -> None:
    """After a `run` without calls the advice is about what the command may be, not to use `run`."""
    done = audit.run("run", "--db", database, "--", sys.executable, "-c", "")
    assert 3 == done.returncode
    assert "mfa-audit run" not in done.stderr
    assert "The command did not call Partner Center, or ignores the proxy variables." in done.stderr
    assert "containers, services and scheduled tasks" in done.stderr


def test_passwords_of_ours_do_not_reach_the_command(audit: Audit, database: Path) -> None:
    """The command's environment has neither the upstream proxy's address nor the password for our own."""
    code = (
        "import os; print([os.environ.get(name) for name in ('MFA_AUDIT_UPSTREAM', 'MFA_AUDIT_PROXY_AUTH')])"
    )
    secrets = {"MFA_AUDIT_UPSTREAM": "http://ann:hunter2@127.0.0.1:9", "MFA_AUDIT_PROXY_AUTH": "ann:hunter2"}
    done = audit.run(
        "run", "--db", database, "--", sys.executable, "-c", code, MFA_AUDIT_DB="x.db", **secrets
    )
    assert "[None, None]" == done.stdout.strip(), done.stderr
    assert "hunter2" not in done.stderr


def test_help_loads_no_mitmproxy() -> None:
    """The help of the recording commands comes without mitmproxy, which takes most of a second to load."""
    code = (
        "import sys\nfrom mfa_audit.commands import group\n"
        "for name in sys.argv[1:]: group.main([name, '--help'], standalone_mode=False)\n"
        "assert not [name for name in sys.modules if name.startswith('mitmproxy')]"
    )
    subprocess.run(
        [sys.executable, "-c", code, "run", "proxy", "browse"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "no_such_option=1"], "no_such_option: mfa-audit does not know this option of mitmproxy"),
        (["--set", "connection_strategy=zzz"], "connection_strategy: it must be one of"),
        (["--set", "listen_port=x"], "listen_port: use --listen"),
        (["--set", "allow_hosts=."], "allow_hosts: only Partner Center's hosts are opened"),
        (
            ["--set", "flow_detail=4"],
            "flow_detail: nothing of a call is printed here; `mfa-audit addon` says how",
        ),
        (["--set", "stream_large_bodies=lots"], "Invalid stream_large_bodies"),
        (["--host", "not a host"], "is not a host name"),
        (["--listen", "nowhere"], "--listen takes HOST:PORT"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_wrong_options_are_said_before_anything_runs(
    audit: Audit, database: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    """An unknown or ill-valued option is one clear line and exit 2, and the command does not start."""
    mark = tmp_path / "started"
    done = audit.run(
        "run", "--db", database, *options, "--", sys.executable, "-c", f"open({str(mark)!r}, 'w')"
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not mark.exists()


def test_an_unusable_database_is_said_before_anything_runs(audit: Audit, tmp_path: Path) -> None:
    """A foreign file, a damaged database and a folder in its place are each one line, exit 2, and stay as they are."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    for path in (text, damaged):
        before = path.read_bytes()
        done = audit.run("run", "--db", path, "--", sys.executable, "-c", "")
        assert done.returncode == 2
        assert f"{path} is not an audit database. Nothing was changed" in done.stderr
        assert "Traceback" not in done.stderr
        assert before == path.read_bytes()
    assert audit.run("run", "--db", tmp_path, "--", sys.executable, "-c", "").returncode == 2


def test_the_whole_call_is_told(
    audit: Audit, upstream: list[str], database: Path, curl: str, without_mfa: str
) -> None:
    """Blocked calls, the program, the user and the operation are in the JSON report, and nothing of the customer is."""
    audit.run(
        *("run", "--db", database, *upstream, "--", curl, "-s", "-A", "CIPP/8.2.0 (user:john@msp.example)"),
        *("-H", f"Authorization: Bearer {without_mfa}", f"{CUSTOMERS}/7f3a/users?enforcement=2026"),
    )
    report = json.loads(audit.run("report", "--db", database, "--format", "json").stdout)
    (tool,) = report["tools"]
    assert ("CIPP", "non-compliant", 1) == (tool["name"], tool["verdict"], tool["blocked"])
    assert ["curl"] == tool["programs"]
    assert {"GET /v1/customers/*/users"} == {operation["operation"] for operation in tool["operations"]}
    everything = b"".join(path.read_bytes() for path in database.parent.glob("audit.db*"))
    assert b"7f3a" not in everything
    assert b"john@msp" not in everything


@pytest.mark.skipif(os.name == "nt", reason="Windows has no descriptors to inherit")
def test_what_the_shell_opened_reaches_the_command(database: Path, tmp_path: Path) -> None:
    """A descriptor that the shell opens for the command, as `curl -H @<(...)` needs it, is there in the command."""
    (tmp_path / "header").write_text("Authorization: it is here")
    command = " ".join(map(shlex.quote, [*COMMAND, "run", "--db", str(database), "--", "cat", "/dev/fd/9"]))

    ran = subprocess.run(
        ["sh", "-c", f"{command} 9<{shlex.quote(str(tmp_path / 'header'))}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "Authorization: it is here" == ran.stdout


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not on this machine")
def test_a_program_that_will_refuse_passes_unread(
    audit: Audit, database: Path, tmp_path: Path, home: Path
) -> None:
    """`run` says of a program that will refuse our certificate how to make it take it, and does not make it fail."""
    issuer = Issuer("A root of the machine", tmp_path)
    with listening({HOST: issuer.server(HOST)}) as company:
        roots = issuer.file("roots.pem")
        ran = audit.run(
            *("run", "--db", database, "--upstream", company.url),
            *("--set", f"ssl_verify_upstream_trusted_ca={roots}", "--", "wget", "--tries=1", "-qO-"),
            f"https://{HOST}/",
            WGETRC=str(_trusting(tmp_path, roots)),
        )

    assert "there" == ran.stdout
    assert "--ca-certificate" in ran.stderr
    assert [HOST] == company.calls


def _trusting(folder: Path, roots: Path) -> Path:
    """Settings of wget that trust these roots, as a machine's own would."""
    path = folder / "wgetrc"
    path.write_text(f"ca_certificate = {roots}\n")
    return path

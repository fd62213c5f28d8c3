"""However a recording ends, everything seen is stored, the exit code is right, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from observed import query
from processes import COMMAND, Audit
from traffic import Connection

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and terminals")
# Windows has none, and must be able to collect this module.
SIGHUP = getattr(signal, "SIGHUP", signal.SIGTERM)


class Terminal:
    """A command in a session with a terminal of its own, as a shell would start it in the foreground."""

    def __init__(self, *arguments: str | Path) -> None:
        import pty

        self.pid, self.side = pty.fork()
        if self.pid == 0:
            os.execvp(COMMAND[0], [*COMMAND, *map(str, arguments)])
        self.said = ""

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        import select

        deadline = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < deadline, f"{text!r} was not said, but:\n{self.said}"
            if select.select([self.side], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.side, 65536).decode(errors="replace")
                except OSError:
                    pytest.fail(f"it ended without {text!r}:\n{self.said}")

    def type(self, keys: bytes) -> None:
        os.write(self.side, keys)

    def hang_up(self) -> None:
        os.close(self.side)

    def end(self, seconds: float = 30.0) -> int:
        deadline = time.monotonic() + seconds
        while (found := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < deadline, "it did not end"
            time.sleep(0.05)
        return os.waitstatus_to_exitcode(found[1])


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no folder of ours is in the temporary folder, no process of ours runs, no record is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    yield
    ours = [one.name for one in folder.iterdir() if "standin" not in one.name]
    assert [] == ours
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert [] == [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
    assert [] == list(home.rglob("running/*"))


SLEEPER = "import signal, sys, time\n{}\nprint('ready', flush=True)\ntime.sleep(60)"
COUNTER = SLEEPER.format(
    "seen = []\ndef note(number, frame):\n    seen.append(number); print('signal', len(seen), flush=True)\n"
    "    signal.setitimer(signal.ITIMER_REAL, 1)\nsignal.signal(signal.SIGINT, note)\n"
    "signal.signal(signal.SIGALRM, lambda *_: sys.exit(7))"
)


def test_ctrl_c_reaches_the_command_exactly_once(database: Path) -> None:
    """A terminal's Ctrl-C is the command's own: it gets one SIGINT, and its exit code is the run's."""
    terminal = Terminal("run", "--db", database, "--", sys.executable, "-c", COUNTER)
    terminal.wait_for("ready")
    terminal.type(b"\x03")
    terminal.wait_for("no call to Partner Center")
    assert 7 == terminal.end()
    assert 1 == terminal.said.count("signal")
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")


def test_ctrl_c_twice_ends_a_proxy_at_once(database: Path) -> None:
    """Ctrl-C twice gives 130, soon, and the session is ended all the same."""
    terminal = Terminal("proxy", "--db", database, "--listen", "127.0.0.1:0")
    terminal.wait_for("Listening")
    began = time.monotonic()
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # so that stopping takes a moment
        terminal.type(b"\x03")
        time.sleep(0.1)  # else the system makes one signal of both
        terminal.type(b"\x03")
        time.sleep(0.1)
        connection.execute("ROLLBACK")
    assert 130 == terminal.end()
    assert time.monotonic() - began < 10
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")


def test_a_closed_terminal_ends_a_proxy(database: Path) -> None:
    """A terminal that goes away ends the proxy as a stop does: nobody is there to read, and nothing fails for it."""
    terminal = Terminal("proxy", "--db", database, "--listen", "127.0.0.1:0")
    terminal.wait_for("Listening")
    terminal.hang_up()
    assert 0 == terminal.end()
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")


@pytest.mark.parametrize("number", [signal.SIGTERM, SIGHUP, signal.SIGINT])
def test_a_proxy_with_open_connections_stops(
    audit: Audit, upstream: list[str], database: Path, with_mfa: str, number: signal.Signals
) -> None:
    """A signal ends the proxy with connections open and a call under way: exit 0, the call is stored, the port free."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    running.wait_for("Listening at")
    port = running.wait_for_port()
    authority = Path(running.wait_for(r"Certificate authority: (.+)")[1])
    idle = Connection(port, authority)
    busy = Connection(port, authority)
    assert 200 == busy.call(with_mfa)
    busy.send(with_mfa, path="/v1/invoices?delay=30")
    time.sleep(0.3)
    running.signal(number)
    done = running.end(20)
    assert 0 == done.returncode, done.stderr
    assert "2 calls" in done.stderr
    assert "Traceback" not in done.stderr
    assert [(200,), (None,)] == query(database, "SELECT status FROM calls ORDER BY id")
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")
    with pytest.raises(OSError, match="refused"):
        Connection(port, authority)
    idle.tls.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, SIGHUP])
def test_a_signal_is_passed_on_to_the_command(
    audit: Audit, database: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM and SIGHUP reach the command, whose death by them is the run's exit code."""
    ready = tmp_path / "ready"
    code = SLEEPER.format(f"open({str(ready)!r}, 'w').close()")
    running = audit.start("run", "--db", database, "--", sys.executable, "-c", code)
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    running.signal(number)
    done = running.end(20)
    assert 128 + number == done.returncode
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")


def test_the_command_dies_at_once(audit: Audit, database: Path) -> None:
    """A command that kills itself gives its own status, and the report is still printed."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = audit.run("run", "--db", database, "--", sys.executable, "-c", code)
    assert 137 == done.returncode
    assert "CANNOT TELL YET" in done.stderr


def test_a_report_nobody_reads(audit: Audit, database: Path) -> None:
    """A reader that goes away before the report comes makes no traceback."""
    audit.run("run", "--db", database, "--", sys.executable, "-c", "")
    process = subprocess.Popen(
        [*COMMAND, "report", "--db", str(database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait(30) == 2

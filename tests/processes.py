"""`mfa-audit` as a process of its own, as users run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

# Where it says that it listens: an address of this machine with a port.
_ADDRESS: Final = re.compile(r"\b(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)\b")
PATIENCE: Final = 60.0


def _find_command() -> list[str]:
    """The installed command beside this Python; from a checkout that is not installed, the package itself."""
    for name in ("mfa-audit", "mfa-audit.exe"):
        installed = Path(sys.executable).with_name(name)
        if installed.is_file():
            return [str(installed)]
    return [sys.executable, "-m", "mfa_audit"]


COMMAND: Final = _find_command()


class Running:
    """A process that was started: what it says on stderr, line by line, and its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def stderr(self) -> str:
        """All that it has said so far."""
        return "".join(self.lines)

    def wait_for(self, pattern: str | re.Pattern[str], timeout: float = PATIENCE) -> re.Match[str]:
        """The first match in what it says on stderr; the test fails when it ends or `timeout` s pass."""
        deadline = time.monotonic() + timeout
        with self._said:
            while not (found := re.search(pattern, self.stderr)):
                left = deadline - time.monotonic()
                assert left > 0, f"{pattern!r} was not said within {timeout} s but:\n{self.stderr}"
                assert self._reader.is_alive(), f"it ended without saying {pattern!r} but:\n{self.stderr}"
                self._said.wait(min(left, 0.2))
        return found

    def wait_for_port(self) -> int:
        """The port that it listens on, as soon as it says so."""
        return int(self.wait_for(_ADDRESS)[1])

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Wait for its end; its exit code, stdout and stderr."""
        assert self.process.stdout is not None
        output = self.process.stdout.read()
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return subprocess.CompletedProcess(self.process.args, code, output, self.stderr)

    def stop(self) -> subprocess.CompletedProcess[str]:
        """Ask it to end (SIGTERM; on Windows it is ended), and wait."""
        self.process.terminate()
        return self.end()

    def kill(self) -> None:
        """End it as a power cut would, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()


class Audit:
    """Starts `mfa-audit`; use the fixture, which ends what is left."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    def run(
        self, *arguments: str | Path, stdin: str = "", timeout: float = PATIENCE, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, with the further `environment`; its exit code, stdout and stderr."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=timeout,
            env={**os.environ, **environment},
        )

    def start(self, *arguments: str | Path, **environment: str) -> Running:
        """Start it and return at once."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment},
        )
        self._running.append(Running(process))
        return self._running[-1]

    def close(self) -> None:
        """Kill whatever of it still runs."""
        for running in self._running:
            if running.process.poll() is None:
                running.kill()

"""What `proxy` shows in place on a terminal, and that it shows it on terminals only."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import reports_samples as samples
from mfa_audit.commands import live_table
from mfa_audit.judging.reasons import Verdict
from processes import COMMAND


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 6), (200, 60)])
def test_fits_the_terminal(name: str, width: int, height: int) -> None:
    """Whatever the report, it has no more lines and columns than there are, and says what is left out."""
    shown = live_table.lines(samples.ALL[name](), width, height)
    assert len(shown) <= height
    assert max(text.cell_len for text in shown) <= width
    assert [] == [text.plain for text in shown if not text.plain.isprintable()]


def test_says_what_is_left_out() -> None:
    """The last line counts the tools that have no room."""
    every = [text.plain for text in live_table.lines(samples.rich(), 80, 1000)]
    shown = [text.plain for text in live_table.lines(samples.rich(), 80, 6)]
    assert every[:5] == shown[:5]
    assert shown[5].startswith(f"and {len(every) - 5} more tools")


def test_is_a_table() -> None:
    """At 60 by 16 too: the answer on top, then a line for each tool, failing first, with what called just now."""
    now = samples.NOW
    report = samples.report(
        samples.tool("PowerShell", program="nightly-sync.ps1", blocked=3),
        samples.fine("CIPP", machine="SRV02", last_seen=now - timedelta(seconds=4)),
        samples.fine("Inventory", Verdict.EXEMPT, last_seen=now - timedelta(seconds=40)),
    )
    shown = [text.plain for text in live_table.lines(report, 60, 16)]
    assert shown[0].startswith("NO - 1 of 3 tools calls Partner Center without MFA.")
    tools = [row for row in shown if " PC17 " in row or " SRV02 " in row]
    assert ["BLOCKED NOW", "With MFA", "App-only"] == [
        re.split(r"\d\d:\d\d +", row)[-1].strip() for row in tools
    ]
    assert [False, True, False] == [row.startswith(" >") for row in tools]
    assert len({re.search(" PC17 | SRV02 ", row).start() for row in tools}) == 1  # type: ignore[union-attr]


def test_waits_before_the_first_call() -> None:
    """A report of nothing is no report yet, but one line on what to do."""
    assert [live_table.WAITING] == [text.plain for text in live_table.lines(samples.empty(), 80, 24)]


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal needs POSIX")
@pytest.mark.parametrize(
    ("environment", "in_place"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_only_on_a_terminal_that_can(
    database: Path, upstream: list[str], environment: dict[str, str], in_place: bool
) -> None:
    """In place where the terminal can move its cursor; with NO_COLOR and on a dumb one nothing moves it."""
    with _on_terminal(database, upstream, environment) as (process, ours):
        said = _read(ours, until=live_table.WAITING if in_place else "Listening at", seconds=30)
        if not in_place:
            said += _read(ours, until=live_table.WAITING, seconds=2.5)
        process.send_signal(signal.SIGINT)
        rest = _read(ours, until="", seconds=30)
        assert process.wait(30) == 0
    assert in_place is ("\x1b[?25l" in said)
    assert in_place is (live_table.WAITING in said)
    if in_place:
        assert re.search(r"\x1b\[2K", rest), "the table stays on the screen beside the report"
    assert "Token signatures were not checked." in rest


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal needs POSIX")
def test_another_size_begins_anew(database: Path, upstream: list[str]) -> None:
    """When the terminal's size changes it is cleared, and all that stands on it is said again in the new width."""
    with _on_terminal(database, upstream, {"TERM": "xterm"}) as (process, ours):
        _resize(ours, 100)
        _read(ours, until=live_table.WAITING, seconds=30)
        _resize(ours, 40)
        said = _read(ours, until="Listening at", seconds=30)
        said += _read(ours, until="No call yet. `mfa-audit env` in another\u2026", seconds=30)
        process.send_signal(signal.SIGINT)
        _read(ours, until="", seconds=30)
        assert process.wait(30) == 0
    _, cleared, after = said.partition("\x1b[2J")
    assert cleared
    assert "Recording to" in after
    assert "Listening at" in after


@contextmanager
def _on_terminal(
    database: Path, upstream: list[str], environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A proxy whose stderr is a terminal, and our side of that; it has ended when the context ends."""
    import pty

    ours, theirs = pty.openpty()
    # Where these are set, Rich believes them instead of the terminal.
    seen = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*COMMAND, "proxy", "--db", str(database), "--listen", "127.0.0.1:0", *upstream],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**seen, **environment},
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait(30)
        os.close(ours)


def _resize(side: int, width: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))


def _read(terminal: int, *, until: str, seconds: float) -> str:
    """What comes, until it holds a text, nothing more comes, or the time is over."""
    got = b""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not (until and until.encode() in got):
        if select.select([terminal], [], [], left)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            got += piece
    return got.decode()

"""Where a token for `check` comes from: standard input, a hidden prompt, the clipboard. Nothing of it is
kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import click

from mfa_audit.errors import AuditError

# More than any token; what is piped in by mistake is not read to its end.
LONGEST: Final = 1024 * 1024
# A terminal hands on a paste as fast as it is read; a person takes longer to go on typing.
PASTE_SECONDS: Final = 0.15
_CLIPBOARD_SECONDS: Final = 15.0

_POWERSHELL: Final = "[Console]::OutputEncoding=[Text.Encoding]::UTF8; Get-Clipboard -Raw"


def read_stdin() -> bytes:
    """Standard input up to LONGEST bytes."""
    return sys.stdin.buffer.read(LONGEST)


def ask(prompt: str) -> bytes:
    """What is typed or pasted at the terminal, without showing it; `prompt` goes to stderr.

    Enter ends it, unless more is there already: of a paste of several lines all are read. What comes later is dropped,
    so that a shell neither runs nor remembers it.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    return _ask_windows(prompt) if os.name == "nt" else _ask_posix(prompt)


def _ask_posix(prompt: str) -> bytes:
    """Reads key by key: a terminal's own line editing holds 1,024 bytes on macOS and 4,096 on Linux, and
    loses the rest of a longer token, in getpass too."""
    import select
    import termios

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, hidden)
        click.echo(prompt, nl=False, err=True)
        return read_keys(
            lambda: os.read(descriptor, 4096),
            lambda seconds: bool(select.select([descriptor], [], [], seconds)[0]),
        )
    finally:
        # FLUSH drops what was pasted but not read.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        click.echo(err=True)


def _ask_windows(prompt: str) -> bytes:
    """Key by key as well: what getpass leaves of a paste would be the shell's. Untested on Windows."""
    if sys.platform != "win32":
        raise AssertionError
    import msvcrt

    def waits(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not msvcrt.kbhit():
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def read() -> bytes:
        key = msvcrt.getwch()
        if key == "\x03":  # Ctrl-C comes as a key
            raise KeyboardInterrupt
        if key in ("\x00", "\xe0"):  # a function key, followed by which one
            msvcrt.getwch()
            return b"\x00"
        return b"\x04" if key == "\x1a" else key.encode("utf-8", "replace")

    click.echo(prompt, nl=False, err=True)
    try:
        return read_keys(read, waits)
    finally:
        while waits(0):
            msvcrt.getwch()
        click.echo(err=True)


def read_keys(read: Callable[[], bytes], waits: Callable[[float], bool]) -> bytes:
    """The keys up to an Enter after which nothing waits; an empty line first is skipped.

    `read` gives the next keys (b"" at the end of the input), `waits` says whether more of them come within so many
    seconds. Ctrl-D ends it too.
    """
    typed = bytearray()
    while len(typed) < LONGEST and (keys := read()):
        for key in keys:
            if key == 4:
                return bytes(typed)
            if key in (8, 127):
                del typed[-1:]
            else:
                typed.append(key)
        if typed.endswith((b"\r", b"\n")) and typed.strip() and not waits(PASTE_SECONDS):
            break
    return bytes(typed)


def read_clipboard() -> bytes:
    """The text on the clipboard, by the platform's own program.

    Raises:
        AuditError: where there is no such program, or it fails.
    """
    for command in _clipboard_commands():
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CLIPBOARD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return done.stdout[:LONGEST]
    raise AuditError(
        "The clipboard cannot be read here: no program for it works"
        + (" (install wl-clipboard, xclip or xsel)" if sys.platform.startswith("linux") else "")
        + ". Run `mfa-audit check` and paste the token when asked."
    )


def _clipboard_commands() -> list[list[str]]:
    powershell = [
        [name, "-NoProfile", "-NonInteractive", "-Command", _POWERSHELL]
        for name in ("powershell.exe", "pwsh")
    ]
    if sys.platform == "win32":
        return powershell
    if sys.platform == "darwin":
        return [["pbpaste"]]
    x11 = [["xclip", "-selection", "clipboard", "-out"], ["xsel", "--clipboard", "--output"]]
    wayland = [["wl-paste", "--no-newline"]]
    # The last one is Windows' own, seen from WSL.
    return [*(wayland if os.environ.get("WAYLAND_DISPLAY") else []), *x11, powershell[0]]

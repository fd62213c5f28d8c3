"""Where a token for `check` comes from: standard input, a hidden prompt, the clipboard. Nothing of it is
kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

import click

from mfa_audit.errors import AuditError

# More than any token; what is piped in by mistake is not read to its end.
LONGEST: Final = 1024 * 1024
_CLIPBOARD_SECONDS: Final = 15.0

_POWERSHELL: Final = "[Console]::OutputEncoding=[Text.Encoding]::UTF8; Get-Clipboard -Raw"


def read_stdin() -> bytes:
    """Standard input up to LONGEST bytes."""
    return sys.stdin.buffer.read(LONGEST)


def ask(prompt: str) -> bytes:
    """One line typed or pasted at the terminal, without showing it; `prompt` goes to stderr.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    return _ask_windows(prompt) if os.name == "nt" else _ask_posix(prompt)


def _ask_posix(prompt: str) -> bytes:
    """Reads key by key: a terminal's own line editing holds 1,024 bytes on macOS and 4,096 on Linux, and
    loses the rest of a longer token, in getpass too."""
    import termios

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, hidden)
        click.echo(prompt, nl=False, err=True)
        return _read_line(descriptor)
    finally:
        # FLUSH drops what was pasted after the first line: the shell must not get it to run and to remember.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        click.echo(err=True)


def _read_line(descriptor: int) -> bytes:
    """Keys up to Enter (an empty line first is skipped), Ctrl-D or the end."""
    typed = bytearray()
    while len(typed) < LONGEST and (keys := os.read(descriptor, 4096)):
        for key in keys:
            if key == 4 or (key in b"\r\n" and typed.strip()):
                return bytes(typed)
            if key in (8, 127):
                del typed[-1:]
            else:
                typed.append(key)
    return bytes(typed)


def _ask_windows(prompt: str) -> bytes:
    import getpass

    # Reads the console key by key, without a limit.
    return getpass.getpass(prompt).encode("utf-8", "surrogatepass")


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

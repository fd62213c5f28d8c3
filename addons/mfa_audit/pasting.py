"""Where a token for `check` comes from: standard input, a hidden prompt, the clipboard. Nothing of it is
kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

from mfa_audit.errors import AuditError

# More than any token; what is piped in by mistake is not read to its end.
LONGEST: Final = 1024 * 1024
_CLIPBOARD_SECONDS: Final = 15.0

_POWERSHELL: Final = "[Console]::OutputEncoding=[Text.Encoding]::UTF8; Get-Clipboard -Raw"


def read_stdin() -> bytes:
    """Standard input up to LONGEST bytes."""
    return sys.stdin.buffer.read(LONGEST)


def ask(prompt: str) -> bytes:
    """One line typed or pasted at the terminal, without showing it.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201 - stdout is data
    try:
        return _ask_windows() if os.name == "nt" else _ask_posix()
    finally:
        print(file=sys.stderr, flush=True)  # noqa: T201


def _ask_posix() -> bytes:
    """Reads key by key: a terminal's own line editing holds 1,024 bytes on macOS and 4,096 on Linux, and
    cuts a longer token without a word, in getpass too.
    """
    import termios

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~(termios.ECHO | termios.ICANON)
    typed = bytearray()
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, hidden)
        while len(typed) < LONGEST:
            for byte in os.read(descriptor, 4096):
                if byte in b"\r\n":
                    # A token pasted in several lines goes on after a first line that is no whole one.
                    if typed.strip():
                        return bytes(typed)
                elif byte == 4:  # Ctrl-D
                    return bytes(typed)
                elif byte in (8, 127):
                    del typed[-1:]
                else:
                    typed.append(byte)
    finally:
        # FLUSH drops what was pasted after the first line: the shell must not get a token to run and
        # remember.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
    return bytes(typed)


def _ask_windows() -> bytes:
    import getpass

    return getpass.getpass("", stream=sys.stderr).encode("utf-8", "surrogatepass")


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

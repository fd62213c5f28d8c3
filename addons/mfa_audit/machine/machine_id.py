"""Which machine this is: a stable id, since two machines may have one host name, and one machine several in its time.

The system's own id is never kept or shown: only a hash of it, which is good for nothing but telling machines apart
(machine-id(5) asks for that). A cloned machine has the id of its original; then the names tell them apart.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

# systemd's file, and D-Bus' older one (https://www.freedesktop.org/software/systemd/man/latest/machine-id.html).
_LINUX: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_MACOS: Final = ("ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
_SECONDS: Final = 5.0
LENGTH: Final = 12


@cache
def this_machine() -> str | None:
    """A hash of this machine's own id, 12 hex digits; None where the system has none."""
    try:
        found = (
            _of_windows()
            if sys.platform == "win32"
            else _of_macos()
            if sys.platform == "darwin"
            else _of_linux()
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return hashed(found) if found else None


def hashed(own: str) -> str:
    """The hash of a system's id."""
    return hashlib.sha256(b"mfa-audit machine " + own.strip().lower().encode()).hexdigest()[:LENGTH]


def _of_linux() -> str | None:
    for file in _LINUX:
        if file.is_file() and re.fullmatch(r"[0-9a-fA-F-]{32,36}", text := file.read_text("ascii").strip()):
            return text
    return None


def _of_windows() -> str | None:
    """From documentation; untested: the id that Windows' setup makes."""
    if sys.platform != "win32":
        return None
    import winreg

    with winreg.OpenKey(
        winreg.HKEY_LOCAL_MACHINE,
        r"SOFTWARE\Microsoft\Cryptography",
        access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
    ) as key:
        return str(winreg.QueryValueEx(key, "MachineGuid")[0])


def _of_macos() -> str | None:
    """From documentation; untested: the id of the machine's hardware."""
    done = subprocess.run(_MACOS, capture_output=True, text=True, timeout=_SECONDS, check=False)
    found = re.search(r'"IOPlatformUUID" = "([0-9A-Fa-f-]{36})"', done.stdout)
    return found[1] if found else None

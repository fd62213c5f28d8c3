"""Which stores a system has, and which of them an entry of the journal means."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Final

from mfa_audit.machine.trust import Scope, Store, nss, runtimes, systems
from mfa_audit.machine.trust.changes import Entry

SYSTEMS: Final = ("windows", "macos", "debian", "fedora")


def stores_of(system: str, *, machine: bool, home: Path) -> list[Store]:
    """The stores that a system of that kind has; `machine`: those of every account, where the user's are apart."""
    found = runtimes.stores(os.environ)
    if system == "windows":
        return [systems.windows(machine=machine), *found]
    if system == "macos":
        return [systems.macos(home, machine=machine), *found]
    return [systems.fedora() if system == "fedora" else systems.debian(), *nss.stores(home), *found]


def store_of(entry: Entry) -> Store | None:
    """The store that `entry` says was changed, wherever variables lead today; None for an unknown kind."""
    machine = entry.scope is Scope.MACHINE
    match entry.store:
        case "windows" | "windows-machine":
            found = systems.windows(machine=machine)
        case "macos" | "macos-system":
            found = systems.keychain_at(PurePosixPath(entry.place), machine=machine)
        case "debian" | "fedora":
            found = systems.debian() if entry.store == "debian" else systems.fedora()
        case "chromium" | "firefox":
            found = nss.store_at(entry.store, Path(entry.place))
        case "java":
            found = runtimes.store_at(Path(entry.place))
        case _:
            return None
    return found


def this_system() -> str:
    """Which of `SYSTEMS` this is; a Linux that is neither is treated as Debian's kind."""
    if sys.platform in ("win32", "darwin"):
        return "windows" if sys.platform == "win32" else "macos"
    return (
        "fedora"
        if shutil.which("update-ca-trust") and not shutil.which("update-ca-certificates")
        else "debian"
    )

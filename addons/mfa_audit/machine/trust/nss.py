"""NSS databases: where Chromium on Linux and Firefox keep whom they trust."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mfa_audit.machine.environment import roots
from mfa_audit.machine.trust import Certificate, Delete, MakeFolder, Run, Scope, Step, Store, output_of

CHROMIUM: Final = Path(".pki/nssdb")
# Chromium's newer place, which it uses where the older one is missing.
CHROMIUM_XDG: Final = Path(".local/share/pki/nssdb")
CHROMIUM_PROGRAMS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "microsoft-edge",
    "brave-browser",
)
FIREFOX_FOLDERS: Final = (
    Path(".mozilla/firefox"),
    Path(".config/mozilla/firefox"),  # from Firefox 147 on
    Path("snap/firefox/common/.mozilla/firefox"),
    Path(".var/app/org.mozilla.firefox/.mozilla/firefox"),
)
_MADE_BY_US: Final = ".made-by-mfa-audit"
_MISSING_TOOL: Final = (
    "certutil is missing; install it: sudo apt install libnss3-tools (Fedora: sudo dnf install nss-tools)"
)


def stores(home: Path, *, programs: Iterable[str] = CHROMIUM_PROGRAMS) -> list[Store]:
    """The databases of Chromium and of each Firefox profile below `home`.

    Chromium's is offered before it exists, where one of `programs` is installed: it makes its own at its
    first start and takes one that is there.
    """
    found = [home / place for place in (CHROMIUM, CHROMIUM_XDG) if (home / place / "cert9.db").is_file()]
    if not found and any(shutil.which(program) for program in programs):
        found = [home / CHROMIUM]
    made = [store_at("chromium", folder) for folder in found]
    for place in FIREFOX_FOLDERS:
        made += [store_at("firefox", file.parent) for file in sorted((home / place).glob("*/cert9.db"))]
    return made


def add_to(folder: Path, it: Certificate) -> list[Step]:
    """The steps that make the NSS database in `folder` trust `it` for servers, making the database when
    missing.
    """
    steps: list[Step] = []
    if not (folder / "cert9.db").is_file():
        steps += [
            MakeFolder(folder, marked=_MADE_BY_US),
            Run("certutil", ("-N", "--empty-password", "-d", f"sql:{folder}")),
        ]
    options = ("-t", "C,,", "-n", it.name, "-i", str(it.file))
    return [*steps, Run("certutil", ("-A", "-d", f"sql:{folder}", *options))]


def remove_from(folder: Path, it: Certificate) -> list[Step]:
    """The steps that take `it` out again; a database that we made, and nobody used since, goes as a whole."""
    listed = output_of("certutil", "-L", "-d", f"sql:{folder}") or ""
    # Nickname and trust flags, such as `mfa-audit 1a2b3c4d      C,,`.
    entries = re.findall(r"^.*\S\s+\w*,\w*,\w*\s*$", listed, re.MULTILINE)
    if len(entries) != 1 or not (folder / _MADE_BY_US).is_file():
        return [Run("certutil", ("-D", "-d", f"sql:{folder}", "-n", it.name))]
    steps: list[Step] = [Delete(folder, whole=True)]
    if [folder] == list(folder.parent.iterdir()):
        steps.append(Delete(folder.parent))
    return steps


def store_at(key: str, folder: Path) -> Store:
    """The database in `folder`, of the kind `key`: chromium or firefox."""
    database = f"sql:{folder}"
    title = "Chromium, Chrome, Edge" if key == "chromium" else f"Firefox, profile {folder.name}"

    def holds(it: Certificate) -> bool | None:
        if not (folder / "cert9.db").is_file():
            return False
        if shutil.which("certutil") is None:
            return None
        listed = output_of("certutil", "-L", "-d", database, "-n", it.name, "-a")
        return listed is not None and it.der in roots.from_pem(listed.encode())

    def trusts(it: Certificate) -> bool | None:
        held = holds(it)
        listed = output_of("certutil", "-L", "-d", database) if held else None
        # A capital C among the flags for servers: trusted to issue their certificates.
        return (
            held
            if not listed
            else re.search(rf"^{re.escape(it.name)}\s+\w*C", listed, re.MULTILINE) is not None
        )

    return Store(
        key,
        f"{title} ({folder})",
        Scope.USER,
        add=lambda it: add_to(folder, it),
        remove=lambda it: remove_from(folder, it),
        holds=holds,
        trusts=trusts,
        obstacle=None if shutil.which("certutil") else _MISSING_TOOL,
        place=str(folder),
    )

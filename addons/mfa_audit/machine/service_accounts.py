"""An authority for the account of a service: an administrator makes it, and only that account can read its key."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.machine.authorities import PRIVATE_FILE, PUBLIC_FILE, Authority, load, permitted_hosts, writing
from mfa_audit.machine.folders import machine_folder
from mfa_audit.machine.kept_authorities import is_due, keep
from mfa_audit.machine.trust import Run
from mfa_audit.machine.trust.changes import make_machine_folder

# Whose it is, in the folder of each: on Windows no mode says it.
_ACCOUNT_FILE: Final = "account.txt"
# What icacls grants the system and the administrators.
_FULL: Final = ("*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F")


def ensure_for(account: str, hosts: Sequence[str]) -> Authority:
    """The authority of `account` for the further `hosts`, made where there is none that lasts.

    Raises AuditError where there is no such account, and where this one is no administrator.
    """
    number = _number_of(account)
    folder = machine_folder() / "authorities"
    with writing(folder):
        make_machine_folder()
        folder.mkdir(exist_ok=True)
        if os.name == "posix":  # whatever the umask says: the account has to get there
            folder.chmod(0o755)
        found = [place for place in sorted(folder.iterdir()) if _account_of(place) == account]
    for place in found:
        kept = load(place)
        if kept is not None and kept.hosts == permitted_hosts(hosts) and not is_due(kept):
            return kept

    def prepare(draft: Path) -> None:
        if sys.platform == "win32":
            administrators_only(draft).perform()

    def finish(place: Path) -> None:
        (place / _ACCOUNT_FILE).write_text(account, "utf-8")
        if sys.platform == "win32":
            for step in rights_on_windows(place, account):
                step.perform()
        else:
            (place / PRIVATE_FILE).chmod(0o400)
            os.chown(place / PRIVATE_FILE, number, -1)
            (place / PUBLIC_FILE).chmod(0o644)
            place.chmod(0o755)

    return keep(folder, hosts, prepare=prepare, finish=finish)


def administrators_only(folder: Path) -> Run:
    """The step that leaves `folder` to the system and the administrators, before a key is made in it."""
    return Run("icacls.exe", (str(folder), "/inheritance:r", "/grant:r", *_FULL))


def rights_on_windows(folder: Path, account: str) -> list[Run]:
    """The steps that leave `folder` and its key to the system, the administrators, and for reading to `account`.

    By SID where a name would be in the system's language. Untested on Windows.
    """
    reading = f"{account}:(OI)(CI)RX"
    return [
        Run("icacls.exe", (str(folder), "/inheritance:r", "/grant:r", *_FULL, reading)),
        Run("icacls.exe", (str(folder / PRIVATE_FILE), "/reset")),  # what it has from the folder, and no more
        Run("icacls.exe", (str(folder), "/setowner", "*S-1-5-32-544", "/T")),
    ]


def _account_of(place: Path) -> str | None:
    try:
        return (place / _ACCOUNT_FILE).read_text("utf-8")
    except OSError:
        return None


def _number_of(account: str) -> int:
    if sys.platform == "win32":
        return 0
    import pwd

    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        raise AuditError(f"there is no account {account}; give the name of the service's account.") from None

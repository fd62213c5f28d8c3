"""The folders that hold our files, and how a file or folder is made that only its owner can read.

`MFA_AUDIT_HOME` in the environment names one folder for all of them, on every system; without it they are where the
system keeps such things.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

import platformdirs

from mfa_audit.errors import AuditError

HOME_VARIABLE: Final = "MFA_AUDIT_HOME"


def default_database() -> Path:
    """`audit.db` in the data folder. Raises AuditError, as all here do, where the account has no home folder."""
    return _folder("data") / "audit.db"


def authorities_folder() -> Path:
    """The authorities that `proxy` keeps, a folder each; never mitmproxy's own."""
    return _folder("data") / "authorities"


def trust_journal() -> Path:
    """What `trust` changed in this account's stores."""
    return _folder("data") / "trust.jsonl"


def machine_folder() -> Path:
    """What an administrator keeps for every account: the journal of the machine's stores, authorities of services.

    Not the `mfa-audit` where a service's unit or job may keep its database: that one belongs to the service.
    """
    if chosen := os.environ.get(HOME_VARIABLE):
        return Path(chosen).absolute() / "machine"
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "mfa-audit"
    return Path(
        "/Library/Application Support/mfa-audit" if sys.platform == "darwin" else "/var/lib/mfa-audit"
    )


def running_folder() -> Path:
    """What lives as long as a process of ours: running proxies, trust bundles."""
    return _folder("state") / "running"


def journals_folder() -> Path:
    """Journals whose database is not on a local disk."""
    return _folder("state") / "journals"


def people_folder() -> Path:
    """The key of pseudonyms, apart from the databases: copying those does not take it along."""
    return _folder("config") / "people"


def user_home() -> Path:
    """The user's home folder, where other programs keep their settings. Raises AuditError."""
    try:
        return Path.home()
    except RuntimeError:
        raise AuditError(
            "this account has no home folder: set HOME (on Windows USERPROFILE) to one."
        ) from None


def _folder(kind: Literal["data", "state", "config"]) -> Path:
    if chosen := os.environ.get(HOME_VARIABLE):
        return Path(chosen).absolute() / kind
    try:
        system = platformdirs.PlatformDirs("mfa-audit", appauthor=False)
        folder: Path = getattr(system, f"user_{kind}_path")
    except RuntimeError:
        raise _homeless() from None
    if not folder.is_absolute():  # "~" stays as it is where nobody knows whose home it is
        raise _homeless()
    return folder


def _homeless() -> AuditError:
    return AuditError(
        f"this account has no home folder: set {HOME_VARIABLE} to a folder for mfa-audit's files, or HOME to a home."
    )


def make_private(folder: Path) -> None:
    """Make `folder`, or take the rights of others on it away. Raises OSError.

    On Windows it inherits the rights of the folder above, the user's profile. Mode 0o700 would not do: Python 3.13
    turns it into an access list for the owner (docs.python.org/3/library/os.html#os.mkdir), and what an elevated
    process makes is owned by the administrators, so that the same user without elevation would be locked out.
    """
    if os.name != "posix":
        folder.mkdir(parents=True, exist_ok=True)
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def read_own(path: Path, most: int) -> bytes | None:
    """The first `most` bytes of a file; None where somebody else could have written it. Raises OSError.

    That is where it, or a link to it, belongs to neither this account nor root, or where its mode lets others write. On
    Windows nothing is asked: there a file has the rights of its folder, which is the user's own (untested on Windows).
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return None  # opening a pipe would wait for somebody to write into it
    with path.open("rb") as file:
        if os.name == "posix":
            opened, link = os.fstat(file.fileno()), path.lstat()
            owners = {opened.st_uid, link.st_uid}
            if not owners <= {0, os.geteuid()} or opened.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
        return file.read(most)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` in one step by a file that only its owner can read (mkstemp makes it with mode 0600).

    Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

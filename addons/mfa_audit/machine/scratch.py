"""Folders that live as long as the process that made them, and the removal of those whose process was killed.

Each folder has a file beside it that its process holds locked. The system frees the lock when the process dies,
however that happens; process numbers and start times would not do, since they come again, differ between containers,
and shift when a clock is set.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from mfa_audit.errors import AuditError
from mfa_audit.machine.folders import make_private, running_folder

_LOCK: Final = ".lock"
_ELSEWHERE: Final = "elsewhere.txt"
# What a folder of ours elsewhere is called; nothing with another name is ever deleted there.
PREFIX: Final = "mfa-audit-"


@contextlib.contextmanager
def folder(within: Path | None = None) -> Iterator[Path]:
    """A folder private to this user, in `within` (default: `folders.running_folder`), deleted when the context ends.

    After a kill `sweep` deletes it. Raises AuditError where it cannot be made.
    """
    parent = running_folder() if within is None else within
    own = parent / secrets.token_hex(4)
    try:
        make_private(parent)
        lock = _locked(own.with_suffix(_LOCK))
        make_private(own)
    except OSError as error:
        raise AuditError(
            f"cannot keep files in {parent} while this runs ({error.strerror or error}); "
            "make that folder yours and writable, or name another one with MFA_AUDIT_HOME"
        ) from error
    try:
        # Python of the Microsoft Store sees a copy of AppData that other programs see elsewhere, by its real path.
        yield own.resolve() if os.name == "nt" else own
    finally:
        _delete(own)
        _free(lock, own.with_suffix(_LOCK))


def adopt(own: Path, elsewhere: Path) -> None:
    """Let `elsewhere`, named with PREFIX and made by this process, be deleted together with the folder `own`."""
    with (own / _ELSEWHERE).open("a", encoding="utf-8") as file:
        file.write(f"{elsewhere}\n")


def sweep(within: Path | None = None) -> None:
    """Delete the folders whose process is gone. Raises nothing: what cannot be deleted is tried again next time."""
    with contextlib.suppress(OSError, AuditError):
        for path in (running_folder() if within is None else within).glob(f"*{_LOCK}"):
            with contextlib.suppress(OSError):
                file = path.open("r+b")
                if not _try_lock(file):
                    file.close()
                    continue
                _delete(path.with_suffix(""))
                _free(file, path)


def _locked(path: Path) -> IO[bytes]:
    """The file `path`, held locked by this process. Raises OSError."""
    while True:
        file = path.open("a+b")
        # Without locks on this file system nobody can tell that we are gone, and nothing is swept.
        _try_lock(file)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # swept between its making and its locking


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _free(lock: IO[bytes], path: Path) -> None:
    if os.name == "posix":
        path.unlink(missing_ok=True)  # while it is locked: nobody can take it for a new one
        lock.close()
        return
    lock.close()  # Windows deletes no open file
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _delete(own: Path) -> None:
    with contextlib.suppress(OSError):
        for line in (own / _ELSEWHERE).read_text("utf-8").splitlines():
            if Path(line).name.startswith(PREFIX):
                shutil.rmtree(line, ignore_errors=True)
    shutil.rmtree(own, ignore_errors=True)

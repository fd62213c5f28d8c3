"""The key behind pseudonyms: one file in a folder of its own, private to the user, never exported."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.judging.people import NAMES, Mode, People
from mfa_audit.machine.folders import make_private, people_folder

_LENGTH: Final = 32


def read_key(path: Path | None = None) -> bytes:
    """The key of this user's pseudonyms, made on first use.

    It has mode 0600; on Windows the user's profile protects it.

    Raises:
        AuditError: where the file cannot be made or read, or is not such a key.
    """
    file = path or people_folder() / "people.key"
    try:
        key = file.read_bytes() if file.exists() else _make(file)
    except OSError as error:
        raise AuditError(
            f"The key for pseudonyms ({file}) cannot be used: {error.strerror}. "
            "Make its folder writable, or use `--users name` or `--users none`."
        ) from error
    if len(key) != _LENGTH:
        raise AuditError(
            f"The key for pseudonyms ({file}) is damaged. Restore it, or delete it and get new pseudonyms."
        )
    return key


def _make(file: Path) -> bytes:
    """A new key, whole on disk before it has its name: two commands at once end up with the same one."""
    make_private(file.parent)
    key = secrets.token_bytes(_LENGTH)
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(key)
        try:
            # Fails where the name is taken, on POSIX and Windows; a rename would replace the other's key.
            os.link(draft, file)
        except FileExistsError:
            return file.read_bytes()
        except OSError:
            # File systems without hard links (FAT, some network shares).
            draft.replace(file)
            return key
    finally:
        draft.unlink(missing_ok=True)
    return key


def people_for(mode: Mode) -> People:
    """How people are shown or stored in this mode, with this user's key where one is needed.

    Raises:
        AuditError: as `read_key` does.
    """
    return NAMES if mode is Mode.NAME else People(mode, read_key())

"""Copies of a whole audit database."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from mfa_audit.errors import AuditError
from mfa_audit.store import files, transactions
from mfa_audit.store.pending import fold_into


def copy_database(source: Path, target: Path) -> str:
    """Copy an audit database, as it is at one moment, into `target`; the SHA-256 of what was written, in hex.

    An existing `target` is replaced only where it is an audit database itself. Raises AuditError.
    """
    if target.exists():
        if source.exists() and target.samefile(source):
            raise AuditError(f"{target} is the database itself. Name another file for the backup.")
        files.read(target, lambda _: None)
    files.read(source, lambda connection: _copy(connection, source, target))
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(connection: sqlite3.Connection, source: Path, target: Path) -> None:
    try:
        files.backup(connection, target, lambda copy: fold_into(copy, source))
    except (OSError, sqlite3.Error) as error:
        raise AuditError(f"cannot copy {source} to {target}: {transactions.cause(error)}.") from None

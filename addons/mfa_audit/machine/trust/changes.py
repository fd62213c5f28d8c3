"""What we changed in trust stores, so that all of it can be taken back: a line of JSON for each change.

One file is this account's, another the machine's, which only an administrator writes and everybody may read. A line
holds the certificate itself: what was trusted is found even when its authority is long gone.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mfa_audit.errors import AuditError
from mfa_audit.machine.folders import machine_folder, make_private, trust_journal
from mfa_audit.machine.rights import strangers_of
from mfa_audit.machine.trust import Run, Scope

_SCHEMA_VERSION: Final = 1


class Change(StrEnum):
    """What a line says. ADDING is written before anything is done, so that a kill in between leaves a trace."""

    ADDING = "adding"
    TRUSTED = "trusted"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `store` is a Store's key, `place` which one of that kind, `account` whose it is; `time` ISO, UTC."""

    change: Change
    store: str
    place: str
    scope: Scope
    account: str
    fingerprint: str  # SHA-256, upper-case hex
    certificate: bytes = field(repr=False)  # DER
    time: str = ""


def this_account() -> str:
    """The name of the account that this process runs as; its number where it has no name."""
    try:
        return psutil.Process().username()
    except (psutil.Error, OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")


def read(scope: Scope) -> list[Entry]:
    """What a store of this `scope` may still hold: the last change of each, in the order of the first ones.

    Raises AuditError where the file cannot be read, and where somebody else could have written the machine's.
    """
    path = _file_of(scope)
    try:
        text = path.read_text("utf-8")
        strangers = strangers_of(path) if scope is Scope.MACHINE else []
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"cannot read what was trusted, {path} ({error}).") from None
    if strangers:
        raise AuditError(
            f"{path} is not used: {', '.join(strangers)} can write to it. Let an administrator own it."
        )
    last: dict[tuple[str, str, str, str], Entry] = {}
    for line in text.splitlines():
        entry = _parse(line)
        if entry is not None:
            last[entry.store, entry.place, entry.account, entry.fingerprint] = entry
    return [entry for entry in last.values() if entry.change is not Change.GONE]


def find_trusted() -> frozenset[str]:
    """The fingerprints of the authorities that a store of this account or of the machine trusts.

    A journal that cannot be used counts as empty.
    """
    found: set[str] = set()
    for scope in Scope:
        try:
            found |= {entry.fingerprint for entry in read(scope) if entry.change is Change.TRUSTED}
        except AuditError:
            continue
    return frozenset(found)


def note(change: Change, store: str, place: str, scope: Scope, certificate: bytes) -> None:
    """Write a change down, of the `certificate` (DER) in this account's store or the machine's. Raises AuditError."""
    fingerprint = x509.load_der_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex().upper()
    _append(Entry(change, store, place, scope, this_account(), fingerprint, certificate))


def forget(entry: Entry) -> None:
    """Write down that what `entry` says is gone; the file goes with its last entry. Raises AuditError."""
    _append(
        Entry(
            Change.GONE,
            entry.store,
            entry.place,
            entry.scope,
            entry.account,
            entry.fingerprint,
            entry.certificate,
        )
    )
    if not read(entry.scope):
        _file_of(entry.scope).unlink(missing_ok=True)


def make_machine_folder() -> Path:
    """Make `folders.machine_folder` so that administrators write to it and every account reads it.

    Raises OSError, and AuditError where Windows does not take the rights.
    """
    folder = machine_folder()
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "posix":
        folder.chmod(0o755)  # whatever the umask says
    elif is_new:
        rights_on_windows(folder).perform()
    return folder


def rights_on_windows(folder: Path) -> Run:
    """The step that takes from every account the right to make files that ProgramData passes on to `folder`.

    By SID, since names are in the system's language: the system, the administrators, and for reading the users.
    Untested on Windows.
    """
    grants = ("*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-32-545:(OI)(CI)RX")
    return Run("icacls.exe", (str(folder), "/inheritance:r", "/grant:r", *grants))


def _append(entry: Entry) -> None:
    path, private = _file_of(entry.scope), entry.scope is Scope.USER
    content = {
        "schema_version": _SCHEMA_VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "change": entry.change,
        "store": entry.store,
        "place": entry.place,
        "scope": entry.scope,
        "account": entry.account,
        "fingerprint": entry.fingerprint,
        "certificate": base64.b64encode(entry.certificate).decode(),
    }
    try:
        if private:
            make_private(path.parent)
        else:
            make_machine_folder()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if sys.platform != "win32" and not private:  # every account reads what the machine's stores trust
            os.fchmod(descriptor, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            file.write(json.dumps(content).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AuditError(
            f"cannot note in {path} what is trusted ({error.strerror or error}); nothing was changed"
        ) from error


def _parse(line: str) -> Entry | None:
    """An entry; None for a line that was torn, or that another version wrote."""
    try:
        content = json.loads(line)
        certificate = base64.b64decode(content["certificate"], validate=True)
        loaded = x509.load_der_x509_certificate(certificate)
        if content["schema_version"] != _SCHEMA_VERSION:
            return None
        return Entry(
            Change(content["change"]),
            str(content["store"]),
            str(content["place"]),
            Scope(content["scope"]),
            str(content["account"]),
            loaded.fingerprint(hashes.SHA256()).hex().upper(),
            certificate,
            str(content["time"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _file_of(scope: Scope) -> Path:
    return trust_journal() if scope is Scope.USER else machine_folder() / "trust.jsonl"

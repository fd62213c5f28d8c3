"""Which stores a system has, and which authorities of ours they may hold."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.trust import Certificate, Store, load_certificate, nss, runtimes, systems

SYSTEMS: Final = ("windows", "macos", "debian", "fedora")


def stores_of(system: str, *, machine: bool, home: Path) -> list[Store]:
    """The stores that a system of that kind has; `machine`: those of every account, where the user's are apart."""
    found = runtimes.stores(os.environ)
    if system == "windows":
        return [systems.windows(machine=machine), *found]
    if system == "macos":
        return [systems.macos(home, machine=machine), *found]
    return [systems.fedora() if system == "fedora" else systems.debian(), *nss.stores(home), *found]


def this_system() -> str:
    """Which of `SYSTEMS` this is; a Linux that is neither is treated as Debian's kind."""
    if sys.platform in ("win32", "darwin"):
        return "windows" if sys.platform == "win32" else "macos"
    return (
        "fedora"
        if shutil.which("update-ca-trust") and not shutil.which("update-ca-certificates")
        else "debian"
    )


def authority_file(folder: Path) -> Path:
    """The certificate of the authority kept in `folder`, made or renewed first where that is due.

    So trusting may come before the first recording. Raises AuditError.
    """
    kept = authorities.load(folder)
    further = () if kept is None else tuple(host for host in kept.hosts if host not in authorities.OWN_HOSTS)
    return authorities.ensure(folder, further).certificate_file


def authority_to_come(folder: Path) -> Certificate:
    """The certificate that `authority_file` would give, where it would have to be made as a stand-in without a key.

    For showing what would be done; X stands for each digit of its number, which comes with the key.
    """
    kept = authorities.load(folder)
    if kept is not None and not authorities.is_due(kept) and kept.certificate_file.is_file():
        return load_certificate(kept.certificate_file)
    return Certificate(folder / authorities.PUBLIC_FILE, b"", "mfa-audit XXXXXXXX", "X" * 40)


def trusted_authority(folder: Path, further: Sequence[str] = ()) -> Authority | None:
    """The authority kept in `folder`, where the user has put it into a store and it can vouch for the `further` hosts.

    `run` uses it instead of one for the run, for the sake of programs that trust the system's store only.
    """
    kept = authorities.load(folder)
    if kept is None or not set(further) <= set(kept.hosts):
        return None
    if kept.expires < datetime.now(UTC) or not (folder / authorities.PUBLIC_FILE).is_file():
        return None
    current = load_certificate(folder / authorities.PUBLIC_FILE)
    return kept if _copy_of(current, folder).is_file() else None


def remember(certificate: Certificate, folder: Path) -> None:
    """Keep a copy of what was trusted: an authority that is renewed later must be found again, to be taken out.

    Raises AuditError when `folder` cannot be written.
    """
    memory = _memory(folder)
    try:
        memory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(certificate.file, _copy_of(certificate, folder))
    except OSError as error:
        raise AuditError(f"cannot note in {memory} what was trusted ({error.strerror or error})") from error


def forget(folder: Path) -> None:
    """Drop the copies, once every store is clean."""
    shutil.rmtree(_memory(folder), ignore_errors=True)


def known_certificates(folder: Path) -> list[Certificate]:
    """The present authority and every earlier one that was trusted, each once."""
    files = sorted(_memory(folder).glob("*.pem"))
    current = folder / authorities.PUBLIC_FILE
    found = []
    for file in [*([current] if current.is_file() else []), *files]:
        try:
            found.append(load_certificate(file))
        except AuditError:
            continue  # damaged: nobody can have trusted it as it is
    return list({certificate.sha1: certificate for certificate in found}.values())


def _copy_of(certificate: Certificate, folder: Path) -> Path:
    return _memory(folder) / f"{certificate.label}-{certificate.sha1[:16]}.pem"


def _memory(folder: Path) -> Path:
    return folder / "trusted"

"""Trust stores: where a machine keeps whom it trusts, and the steps that put our authority in and take it
out.

A store is a small value: it says what it is and which steps it would take, so that every step can be shown
before it is done (and shown only, with `--dry-run`), on whatever system.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from mfa_audit.errors import AuditError
from mfa_audit.machine.authorities import is_ours

_STEP_SECONDS: Final = 120


class Scope(StrEnum):
    """Whom a store is asked by: programs of one account, or of every account of the machine."""

    USER = "user"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Certificate:
    """An authority's certificate in the PEM file `file`; `der` are its bytes."""

    file: Path
    der: bytes = field(repr=False)
    name: str  # its common name, as stores show it
    sha1: str  # upper-case hex, the name that Windows and macOS know a certificate by
    ours: bool = True  # carries our name and our constraints

    @property
    def label(self) -> str:
        """The name as part of a file name or an alias: `mfa-audit-1a2b3c4d`."""
        return "".join(character if character.isalnum() else "-" for character in self.name)


def load_certificate(file: Path) -> Certificate:
    """The certificate in the PEM file `file`. Raises AuditError when there is none."""
    try:
        return _describe(file, x509.load_pem_x509_certificate(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise AuditError(
            f"there is no certificate in {file}; `mfa-audit proxy` makes one when it starts, or name another "
            "file with --ca"
        ) from error


def write_certificate(der: bytes, file: Path) -> Certificate:
    """Write the certificate `der` as PEM to `file`, for programs that ask for a file. Raises OSError, ValueError."""
    certificate = x509.load_der_x509_certificate(der)
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return _describe(file, certificate)


def _describe(file: Path, certificate: x509.Certificate) -> Certificate:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    sha1 = certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303
    return Certificate(
        file,
        certificate.public_bytes(serialization.Encoding.DER),
        str(names[0].value) if names else sha1,
        sha1,
        is_ours(certificate),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Start a program and wait for it. `lenient`: its failure is no failure of the whole."""

    program: str
    arguments: tuple[str, ...]
    lenient: bool = False

    def __str__(self) -> str:
        return shlex.join([self.program, *self.arguments])

    def perform(self) -> None:
        # In the C locale, so that what we may quote of it is English.
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                [self.program, *self.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_STEP_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditError(f"could not run `{self}` ({error})") from error
        if done.returncode != 0 and not self.lenient:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise AuditError(f"`{self}` ended with status {done.returncode}: {said[:300]}")


@dataclass(frozen=True, slots=True)
class Copy:
    """Write the certificate as a file that everybody may read, as a store of the whole machine wants it."""

    source: Path
    target: PurePath

    def __str__(self) -> str:
        return f"copy {self.source} to {self.target}"

    def perform(self) -> None:
        target = Path(self.target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source, target)
            target.chmod(0o644)
        except OSError as error:
            raise AuditError(f"could not {self} ({error.strerror or error})") from error


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file or a link, or an empty or, with `whole`, any folder; fine when it is not there."""

    path: PurePath
    whole: bool = False

    def __str__(self) -> str:
        return f"delete {self.path}"

    def perform(self) -> None:
        path = Path(self.path)
        try:
            if self.whole:
                shutil.rmtree(path)
            elif path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise AuditError(f"could not {self} ({error.strerror or error})") from error


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder that is the user's alone, with an empty file `marked` in it that says who made it."""

    path: Path
    marked: str

    def __str__(self) -> str:
        return f"make the folder {self.path}"

    def perform(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / self.marked).touch()
        except OSError as error:
            raise AuditError(f"could not {self} ({error.strerror or error})") from error


Step = Run | Copy | Delete | MakeFolder


@dataclass(frozen=True, slots=True)
class Store:
    """One place that keeps trusted authorities.

    `key` is what `--store` names, `place` which of several of that kind: a path, or empty. `holds` looks whether a
    certificate is there, None when it cannot be told; `trusts`, where it is given, whether it counts there, too: a
    prompt that was cancelled may leave a certificate that nobody trusts. `obstacle` says why this user cannot change
    it now, and what to do.
    """

    key: str
    title: str
    scope: Scope
    add: Callable[[Certificate], list[Step]]
    remove: Callable[[Certificate], list[Step]]
    holds: Callable[[Certificate], bool | None]
    trusts: Callable[[Certificate], bool | None] | None = None
    obstacle: str | None = None
    remark: str | None = None
    place: str = ""

    def is_trusting(self, certificate: Certificate) -> bool | None:
        """Whether it trusts the certificate; None when that cannot be told."""
        return (self.trusts or self.holds)(certificate)


def output_of(program: str, *arguments: str) -> str | None:
    """What a program prints, or None when it cannot be run or fails."""
    try:
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_STEP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None

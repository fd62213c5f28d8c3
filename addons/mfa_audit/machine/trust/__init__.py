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
from pathlib import Path, PurePath
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from mfa_audit.errors import AuditError

_STEP_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Certificate:
    """An authority's certificate in the PEM file `file`; `der` are its bytes."""

    file: Path
    der: bytes = field(repr=False)
    name: str  # its common name, as stores show it
    sha1: str  # upper-case hex, the name that Windows and macOS know a certificate by

    @property
    def label(self) -> str:
        """The name as part of a file name or an alias: `mfa-audit-1a2b3c4d`."""
        return "".join(character if character.isalnum() else "-" for character in self.name)


def load_certificate(file: Path) -> Certificate:
    """The certificate in the PEM file `file`. Raises AuditError when there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise AuditError(
            f"there is no certificate in {file}; `mfa-audit proxy` makes one when it starts, or name another "
            "file with --ca"
        ) from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    sha1 = certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303
    return Certificate(
        file,
        certificate.public_bytes(serialization.Encoding.DER),
        str(names[0].value) if names else sha1,
        sha1,
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

    `key` is what `--store` names. `holds` looks whether a certificate is there: None when it cannot be told.
    `obstacle` says why this user cannot change it now, and what to do.
    """

    key: str
    title: str
    add: Callable[[Certificate], list[Step]]
    remove: Callable[[Certificate], list[Step]]
    holds: Callable[[Certificate], bool | None]
    obstacle: str | None = None
    remark: str | None = None


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

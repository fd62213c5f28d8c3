"""Checks of this machine: the versions, the port, the database and its disk."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
from pathlib import Path
from typing import Final

from mfa_audit.addon.programs import holder_of
from mfa_audit.doctor import Finding, State, Surroundings
from mfa_audit.errors import AuditError
from mfa_audit.machine.disks import is_local
from mfa_audit.store import files

# A million calls need some 200 MB; SQLite needs room beside them for its log.
SMALLEST_SPACE: Final = 500_000_000


def check_mitmproxy(_: Surroundings) -> Finding:
    """mitmproxy's version, and the holes that are known in it."""
    try:
        version = importlib.metadata.version("mitmproxy")
    except importlib.metadata.PackageNotFoundError:
        return Finding("mitmproxy", State.WRONG, "mitmproxy is not installed.", "Install mfa-audit again.")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < (11, 1):
        return Finding(
            "mitmproxy",
            State.NOTE,
            f"mitmproxy {version}. Its mitmweb has a hole (CVE-2025-23217); mfa-audit never starts it.",
            "Do not start mitmweb from this installation; Python 3.12 and newer come with a repaired one.",
        )
    return Finding("mitmproxy", State.RIGHT, f"mitmproxy {version}.")


def check_port(around: Surroundings) -> Finding:
    """Whether `mfa-audit proxy` can listen where it would."""
    host, port = around.listen
    own = [proxy for proxy in around.proxies if proxy.port == port]
    if own:
        return Finding("port", State.RIGHT, f"A proxy of mfa-audit listens on port {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            if os.name == "posix":  # as servers do, so that a connection in TIME_WAIT does not count
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        who = holder_of(port)
        free = _free_port(host, family)
        return Finding(
            "port",
            State.WRONG,
            f"Port {port} on {host} cannot be used: {f'{who} listens there' if who else error.strerror or error}.",
            f"End that program, or listen elsewhere, for instance on {free}.",
            f"mfa-audit proxy --listen {host}:{free}",
        )
    return Finding("port", State.RIGHT, f"Port {port} on {host} is free.")


def _free_port(host: str, family: socket.AddressFamily) -> int:
    try:
        with socket.socket(family) as trial:
            trial.bind((host, 0))
            return int(trial.getsockname()[1])
    except OSError:
        return 8081


def check_database(around: Surroundings) -> Finding:
    """Whether the database is ours, of a version that we know, and can be written."""
    path = around.database
    other = around.set_line("MFA_AUDIT_DB", str(_free_name(path)))
    if not path.exists():
        return _check_folder(around)
    try:
        files.read(path, lambda connection: None)
    except AuditError as error:
        return Finding(
            "database", State.WRONG, str(error), "Use another file; this one stays as it is.", other
        )
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return Finding(
            "database", State.WRONG, f"{path} or its folder is read-only for you.", "Use another file.", other
        )
    return Finding("database", State.RIGHT, f"{path} is an audit database that can be written.")


def _check_folder(around: Surroundings) -> Finding:
    folder = around.database.parent
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "is no folder" if not nearest.is_dir() else "cannot be written by you"
        default = around.home / "mfa-audit" / "audit.db"
        return Finding(
            "database",
            State.WRONG,
            f"There is no database {around.database}, and none can be made: {nearest} {what}.",
            "Use another place.",
            around.set_line("MFA_AUDIT_DB", str(default)),
        )
    return Finding(
        "database", State.RIGHT, f"There is no database {around.database} yet; the first recording makes it."
    )


def _free_name(path: Path) -> Path:
    numbered = (path.with_name(f"{path.stem}-{number}.db") for number in range(2, 1000))
    return next(name for name in numbered if not name.exists())


def check_database_privacy(around: Surroundings) -> Finding:
    """Whether only this account can read the database: it holds names of users and what they did."""
    path = around.database
    if not path.exists():
        return Finding("database-privacy", State.RIGHT, "There is no database yet; it will be yours alone.")
    if around.windows:
        if around.home not in path.absolute().parents:
            return Finding(
                "database-privacy",
                State.NOTE,
                f"{path} lies outside your profile folder.",
                "Check who can read that folder: its permissions are the file's.",
            )
        return Finding("database-privacy", State.RIGHT, "The database is in your profile folder.")
    status = path.stat()
    if status.st_uid != os.geteuid():
        return Finding(
            "database-privacy",
            State.WRONG,
            f"{path} belongs to another account (number {status.st_uid}), yours is {os.geteuid()}.",
            "Record as that account, or make the file yours.",
            f"sudo chown {os.geteuid()} {around.quote(path)}"
            if os.geteuid()
            else f"chown 0 {around.quote(path)}",
        )
    if status.st_mode & 0o077:
        return Finding(
            "database-privacy",
            State.WRONG,
            f"Other accounts can read {path} (mode {status.st_mode & 0o777:04o}).",
            "Take their rights away.",
            f"chmod 600 {around.quote(path)}",
        )
    return Finding("database-privacy", State.RIGHT, "Only your account can read the database.")


def check_database_place(around: Surroundings) -> Finding:
    """Whether the database is on a disk of this machine: SQLite's log does not work on a network share."""
    folder = next(place for place in around.database.absolute().parents if place.exists())
    if not is_local(folder):
        local = around.home / "mfa-audit" / "audit.db"
        return Finding(
            "database-place",
            State.WRONG,
            f"{folder} is on a network share, where two recorders can damage the file.",
            "Record to a local disk; copy finished databases to the share.",
            around.set_line("MFA_AUDIT_DB", str(local)),
        )
    return Finding("database-place", State.RIGHT, f"{folder} is on a local disk.")


def check_space(around: Surroundings) -> Finding:
    """Whether the disk has room for a month of calls."""
    folder = next(place for place in around.database.absolute().parents if place.exists())
    free = shutil.disk_usage(folder).free
    megabytes = f"{free // 1_000_000:,} MB"
    if free < SMALLEST_SPACE:
        return Finding(
            "space",
            State.WRONG,
            f"Only {megabytes} are free where the database is ({folder}).",
            f"Make room there ({SMALLEST_SPACE // 1_000_000} MB at least), or record to another disk with --db.",
        )
    return Finding("space", State.RIGHT, f"{megabytes} are free where the database is.")

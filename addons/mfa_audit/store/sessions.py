"""What a recording is: who recorded, where, with which settings."""

from __future__ import annotations

import getpass
import platform
import sqlite3
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from mfa_audit import __version__
from mfa_audit.machine.machine_id import this_machine

# Seconds between two signs of life of a recorder; more than two of them without one is a gap.
BEAT: Final = 10
UNKNOWN_ACCOUNT: Final = "unknown"


def this_account() -> str:
    """The name of the account that this process runs as, or `unknown`."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a service account without a name
        return UNKNOWN_ACCOUNT


@dataclass(frozen=True, slots=True)
class Session:
    """One recording. `kind`: proxy, run, addon, browse, demo or import; an import names its file and SHA-256.

    `machine` is the host's name, `machine_id` what tells it from others of that name; None: not known.
    """

    kind: str
    started: float
    source: str | None = None
    sha256: str | None = None
    validate: bool = False
    enforce: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    machine: str = field(default_factory=platform.node)
    account: str = field(default_factory=this_account)
    machine_id: str | None = field(default_factory=this_machine)

    @property
    def name(self) -> str:
        """A label for people, such as `proxy on PC17, 2026-11-07 03:00 UTC`."""
        what = f"{self.kind} of {self.source}" if self.source else f"{self.kind} on {self.machine}"
        return f"{what}, {datetime.fromtimestamp(self.started).astimezone().strftime('%Y-%m-%d %H:%M %Z')}"

    def again(self) -> Session:
        """The same recorder from now on, under a new UUID: it had to leave its file."""
        return replace(self, started=time.time(), uuid=str(uuid.uuid4()))

    def insert(self, connection: sqlite3.Connection) -> int:
        """Write the session's row; returns its id."""
        started = round(self.started * 1000)
        cursor = connection.execute(
            "INSERT INTO sessions (uuid, name, kind, source, sha256, machine, machine_id, account, version, started,"
            " last_beat, validate, enforce) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                self.uuid,
                self.name,
                self.kind,
                self.source,
                self.sha256,
                self.machine,
                self.machine_id,
                self.account,
                __version__,
                started,
                started,
                self.validate,
                self.enforce,
            ],
        )
        assert cursor.lastrowid is not None  # noqa: S101 - sqlite3 sets it after every INSERT
        return cursor.lastrowid

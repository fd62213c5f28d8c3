"""The journal of one session: the files that its recorder appends to.

A call costs one `os.write`; no lock is taken and nobody is waited for. Only while the file itself cannot be written do
entries wait, in bounded memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.machine.disks import is_local
from mfa_audit.machine.folders import journals_folder, make_private
from mfa_audit.store.records import (
    Encoder,
    Ended,
    Entry,
    Named,
    Opened,
    Recorded,
    Unread,
    encode_open,
)
from mfa_audit.store.sessions import Session

if sys.platform != "win32":  # there a file that is open cannot be deleted, which says the same
    import fcntl

WAITING_LIMIT: Final = 100_000  # entries; one of a known client and token takes some 600 bytes
# A segment is closed at so many bytes (20,000 calls), or clients, tokens, programs and operations.
SEGMENT_BYTES: Final = 1 << 20
SEGMENT_SPELLINGS: Final = 1_000


def journal_folders(database: Path) -> list[Path]:
    """Where journals of a database may lie: beside it, and in the local state folder if this account has one."""
    absolute = Path(os.path.realpath(database))
    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    folders = [absolute.with_name(f"{absolute.name}.journal")]
    with suppress(AuditError):
        folders.append(journals_folder() / f"{absolute.name}-{name}.journal")
    return folders


def choose_folder(database: Path) -> Path:
    """Where to write: beside the database, if that is on a local disk. One write must never wait for a network."""
    folders = journal_folders(database)
    return folders[0] if is_local(folders[0].parent) else folders[-1]


if sys.platform != "win32":

    def is_left(file: int) -> bool:
        """Whether nobody writes any more to the segment that is open as `file`."""
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        return True


class Journal:
    """The journal of one session, open for appending. Belongs to one thread at a time, but for `renew`."""

    def __init__(
        self, folder: Path, session: Session, *, durable: bool = False, limit: int = WAITING_LIMIT
    ) -> None:
        """Begin in `folder`, made private when missing. `durable`: survive a power failure too. Raises OSError."""
        self.folder = folder
        self.session = session
        self.number = 0  # of the last call that was taken
        self.late = 0  # calls that had to wait in memory
        self.lost = 0  # entries that memory could not hold
        self.unstorable: list[str] = []  # why entries have no place in a record
        self.waiting: deque[Entry] = deque()
        self.trouble: Exception | None = None
        self.written = 0  # bytes, of all segments
        self.renew = False  # set by anyone: go on in another segment
        self._durable = durable
        self._limit = limit
        self._written_calls = 0
        self._segment = 0
        self._file = -1
        self._open_next()

    @property
    def path(self) -> Path:
        """The segment that is written to now."""
        return self.folder / f"{self.session.uuid}-{self._segment:06}.journal"

    def add_call(self, seen: Observation) -> int:
        """Take a call; its number in the session."""
        self.number += 1
        self._add(Recorded(self.number, seen))
        return self.number

    def name_program(self, number: int, program: Program) -> None:
        """Say which program made a call that was taken before that was known."""
        self._add(Named(number, program))

    def add_unread(self, unread: Unread) -> None:
        """Take a connection that could not be read."""
        self._add(unread)

    def end(self, ended: Ended) -> None:
        """The last entry of the session."""
        self._add(ended)

    def flush(self) -> bool:
        """Write what waits in memory; whether nothing waits any more."""
        while self.waiting and self._write(self.waiting[0]):
            self.late += isinstance(self.waiting.popleft(), Recorded)
        return not self.waiting

    def give_up_waiting(self) -> None:
        """Count as lost what waits in memory."""
        self.lost += sum(not isinstance(entry, Ended) for entry in self.waiting)
        self.waiting.clear()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _add(self, entry: Entry) -> None:
        if (self.waiting and not self.flush()) or not self._write(entry):
            if len(self.waiting) < self._limit:
                self.waiting.append(entry)
            else:
                self.lost += 1

    def _write(self, entry: Entry) -> bool:
        """Append an entry in one write; False where the file does not take it now."""
        if self.renew or self._size > SEGMENT_BYTES or self._encoder.spelled > SEGMENT_SPELLINGS:
            self._begin_another()
        try:
            record = self._encoder.encode(entry)
        except Exception as error:  # a value that has no place in a record costs only its own entry
            self.unstorable.append(type(error).__name__)
            return True
        if not self._append(record):
            return False
        self._encoder.keep()
        if isinstance(entry, Recorded):
            self._written_calls = entry.number
        return True

    def _append(self, record: bytes) -> bool:
        try:
            done = os.write(self._file, record)
            if done == len(record):
                if self._durable and not hasattr(os, "O_DSYNC"):
                    os.fsync(self._file)
                self._size += done
                self.written += done
                return True
            self.trouble = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.trouble = error
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self.renew = True  # what is left of a record must not be followed by another
        return False

    def _begin_another(self) -> None:
        """Go on in another segment; as long as none can be made, in this one."""
        old = self._file
        try:
            self._open_next()
        except OSError as error:
            self.trouble = error
            return
        self.renew = False
        os.close(old)

    def _open_next(self) -> None:
        try:
            self._make_next()
        except FileNotFoundError:  # whoever deleted the last segment in the folder deleted that too
            self._make_next()

    def _make_next(self) -> None:
        make_private(self.folder)
        path = self.folder / f"{self.session.uuid}-{self._segment + 1:06}.journal"
        # It gets its name once it is locked, so that nobody finds it unlocked and takes us for dead.
        unnamed = path if sys.platform == "win32" else path.with_suffix(".new")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
        file = os.open(unnamed, flags | (getattr(os, "O_DSYNC", 0) if self._durable else 0), 0o600)
        try:
            head = encode_open(Opened(self.session, self._segment + 1, self._written_calls))
            if os.write(file, head) != len(head):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unnamed.rename(path)
        except BaseException:
            os.close(file)
            unnamed.unlink(missing_ok=True)
            raise
        self._file, self._size, self._encoder = file, len(head), Encoder()
        self._segment += 1
        self.written += len(head)

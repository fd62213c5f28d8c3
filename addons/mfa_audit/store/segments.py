"""Journals on disk: which segments a database has, and the events in them, also while they are written."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mfa_audit.store.journal import is_left, journal_folders
from mfa_audit.store.records import (
    LONGEST,
    OVERHEAD,
    DamageError,
    Decoder,
    Event,
    NewerError,
    Opened,
    Recorded,
    read_records,
)
from mfa_audit.store.sessions import Session

_CHUNK: Final = LONGEST + OVERHEAD  # bytes read at once: the longest record
_NAME: Final = re.compile(
    r"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(?P<segment>\d{6,12})\.journal"
)


class Position(NamedTuple):
    """How far a session's journal was read: the segment, and the bytes of it."""

    segment: int = 1
    offset: int = 0


_END: Final = Position(1 << 62)


class Missing(NamedTuple):
    """So many calls at least were in a part of a journal that cannot be read."""

    calls: int


class Journals(NamedTuple):
    """The journals of a database: segments by session and number; and how many files or folders cannot be read."""

    sessions: dict[str, dict[int, Path]]
    closed: int = 0


def find_journals(database: Path) -> Journals:
    """All journals of a database that belong to its owner or to us. Never raises."""
    sessions: dict[str, dict[int, Path]] = {}
    closed = 0
    owners = {_owner(database), os.geteuid() if hasattr(os, "geteuid") else None}
    for folder in journal_folders(database):
        try:
            paths = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            closed += 1
            continue
        for path in paths:
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            if not _is_readable(path, owners):
                closed += path.exists()
                continue
            sessions.setdefault(match["uuid"], {})[int(match["segment"])] = path
    return Journals(sessions, closed)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid if os.name == "posix" else None
    except OSError:
        return None


def _is_readable(path: Path, owners: set[int | None]) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and os.access(path, os.R_OK)
        and (os.name != "posix" or status.st_uid in owners)
    )


class Reader:
    """Reads the events of one session's journal in order, from a position on, also while it is written."""

    def __init__(self, uuid: str, find: Callable[[], dict[int, Path]]) -> None:
        """`find` gives the session's segments as they are now."""
        self.uuid = uuid
        self.position = Position()
        self.session: Session | None = None
        self.newer = False  # only a newer mfa-audit can read on
        self._find = find
        self._file = -1
        self._decoder = Decoder()
        self._number: int | None = 0  # of the last call; None: not known
        self._missing: list[Event | Missing] = []
        self._deleted_before = 0
        self._told = 0  # calls told as missing after that one

    def seek(self, position: Position) -> None:
        """Go on from there. What the segment spells out before it is read again."""
        self.close()
        self.position = Position(position.segment, 0)
        self._number = 0 if position == Position() else None
        self._decoder, self._missing = Decoder(), []
        passed: list[Event | Missing] = []
        while self.position < position and not self.newer and self._read_on(passed, until=position):
            pass
        self._missing = [event for event in passed if isinstance(event, Missing)]

    def read(self, most: int) -> list[Event | Missing]:
        """The next events, at most so many or few more; none where there are no more yet. Never raises."""
        events, self._missing = self._missing, []
        while len(events) < most and not self.newer and self._read_on(events, most=most):
            pass
        return events

    def is_left(self) -> bool:
        """Whether nobody writes to the segment that is read any more. On Windows untested."""
        if self._file < 0:
            return False
        if sys.platform != "win32":
            return is_left(self._file)
        position, path = self.position, self._find().get(self.position.segment)
        self.close()
        try:
            if path is not None:
                path.rename(path)  # refused while anybody has it open
            return True
        except OSError:
            return False
        finally:
            self.seek(position)

    def delete_read(self, *, also_last: bool) -> None:
        """Delete the segments before the present one, and with `also_last` that one too."""
        segment = self.position.segment
        if also_last and not self.newer:
            self.close()
            segment += 1
        if segment == self._deleted_before:
            return
        self._deleted_before = segment
        for number, path in self._find().items():
            if number < segment:
                with suppress(OSError):
                    path.unlink()
                    path.parent.rmdir()  # where it was the last one

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read_on(self, events: list[Event | Missing], *, most: int = 1 << 62, until: Position = _END) -> bool:
        """Read some more, at most up to `until`; False where there is no more now."""
        if self._file < 0 and not self._open(events):
            return False
        segment, start = self.position
        try:
            os.lseek(self._file, start, os.SEEK_SET)
            data = os.read(self._file, _CHUNK)
            for kind, content, end in read_records(data):
                event = self._decoder.decode(kind, content)
                if isinstance(event, Opened):
                    self._check(event, events)
                elif not self.position.offset:
                    raise DamageError("the begin of a segment")
                elif event is not None:
                    events.append(event)
                self.position = Position(segment, start + end)
                if isinstance(event, Recorded):
                    self._number = event.number
                if len(events) >= most or self.position >= until:
                    return True
        except NewerError:
            self.newer = True
        except (DamageError, OSError):
            # The rest of the segment cannot be read. How many calls were in it is known where the next one begins.
            events.append(Missing(1))
            self._told = 1
            self._go_to(segment + 1)
            return True
        if self.position.offset > start:
            return True
        return self._leave_ended(start + len(data))

    def _leave_ended(self, size: int) -> bool:
        """Go on to the segment after this one, if there is one and all `size` bytes of this one were seen."""
        following = [number for number in self._find() if number > self.position.segment]
        if not following or self.newer:
            return False
        if os.fstat(self._file).st_size <= size:
            self._go_to(min(following))
        return True

    def _go_to(self, segment: int) -> None:
        self.close()
        self.position = Position(segment)

    def _open(self, events: list[Event | Missing]) -> bool:
        segments = self._find()
        number = min((one for one in segments if one >= self.position.segment), default=None)
        if number is None:
            return False
        flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        try:
            self._file = os.open(segments[number], sum(flags, os.O_RDONLY))
        except OSError:
            return False
        if number != self.position.segment:
            if self._number is None:
                events.append(Missing(1))
            self.position = Position(number)
        self._decoder = Decoder()
        return True

    def _check(self, opened: Opened, events: list[Event | Missing]) -> None:
        if opened.session.uuid != self.uuid or (opened.segment, 0) != self.position:
            raise DamageError("the begin of a segment")
        self.session = opened.session
        if self._number is not None and opened.calls_before - self._number > self._told:
            events.append(Missing(opened.calls_before - self._number - self._told))
        self._number, self._told = opened.calls_before, 0

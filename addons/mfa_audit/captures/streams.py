"""The bytes of a capture: a file or standard input, never copied to disk, never whole in memory.

A capture holds live tokens. That is why standard input is not spooled into a temporary file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from mfa_audit.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

BUFFER: Final = 256 * 1024
# Deflate cannot grow data more than 1,032-fold; real captures, whose calls resemble each other, stay below
# 200.
MOST_GROWTH: Final = 300
GROWS: Final = (
    f"The capture unpacks to more than {MOST_GROWTH} times its size: that is a trap, not a capture."
)
# Below this size the growth does not matter.
HARMLESS: Final = 64 * 1024 * 1024


class _Raw(io.RawIOBase):
    """Bytes from `read(n)`: the position in them, and their hash where they pass only once."""

    def __init__(self, read: Callable[[int], bytes], digest: hashlib._Hash | None = None) -> None:
        super().__init__()
        self._read = read
        self._digest = digest
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        # A pipe gives a piece at a time; telling a format by its beginning wants a full buffer.
        while filled < len(view) and (data := self._read(len(view) - filled)):
            view[filled : filled + len(data)] = data
            filled += len(data)
            if self._digest is not None:
                self._digest.update(data)
        self.position += filled
        return filled

    def tell(self) -> int:
        return self.position


class _RawFile(_Raw):
    """The same of a file that can be rewound."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.read)
        self._file = file

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.position = self._file.seek(offset, whence)
        return self.position


class _Hashing(threading.Thread):
    """Hashes a file while it is read: hashlib lets other threads work meanwhile."""

    def __init__(self, path: Path, digest: hashlib._Hash) -> None:
        super().__init__(name="mfa-audit-hashing", daemon=True)
        self._path = path
        self._digest = digest
        self._stopped = False
        self.start()

    def run(self) -> None:
        # A file that goes away meanwhile is missed by who reads it.
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            while not self._stopped and (chunk := file.read(4 * BUFFER)):
                self._digest.update(chunk)

    def stop(self) -> None:
        """End it at the next piece, and wait for that: Windows deletes no file that is open."""
        self._stopped = True
        self.join()


class Tape:
    """A capture's bytes. `path` None is standard input.

    `rewindable` says whether `stream` can be read again from another place, `saved` when the file was written, in
    seconds since 1970 (None for a pipe). Raises AuditError where the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self.name = "standard input" if path is None else path.name
        self.size: int | None = None
        self.saved: float | None = None
        file = sys.stdin.buffer if path is None else _open(path)
        rewindable = file.seekable()
        self._digest = hashlib.sha256()
        self._hashing: _Hashing | None = None
        if rewindable:
            self.size = file.seek(0, io.SEEK_END)
            self.saved = os.fstat(file.fileno()).st_mtime
            file.seek(0)
            if path is not None:
                self._hashing = _Hashing(path, self._digest)
            else:
                while chunk := file.read(BUFFER):
                    self._digest.update(chunk)
                file.seek(0)
        self._file = file
        self._raw = _RawFile(file) if rewindable else _Raw(file.read, self._digest)
        self.stream = io.BufferedReader(self._raw, BUFFER)
        self._packed = self.stream
        self.rewindable = self._rewound = rewindable

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._hashing is not None:
            self._hashing.stop()
        self.stream.close()
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def unpack(self) -> None:
        """From here on read what zlib or gzip packed; only before anything else is read."""
        self.stream = io.BufferedReader(_Raw(inflate(self._packed.read1)), BUFFER)
        self.rewindable = False

    @property
    def position(self) -> int:
        """How many bytes were read so far."""
        return self._raw.position

    def start(self, length: int) -> bytes:
        """The first `length` bytes, fewer where the capture is shorter; only before anything else is read."""
        return self.stream.peek(length)[:length]

    def skip(self, length: int) -> bool:
        """Pass over `length` bytes; False where the capture ends before that."""
        if self.rewindable and self.size is not None:
            end = self.stream.tell() + length
            self.stream.seek(min(end, self.size))
            return end <= self.size
        while length:
            passed = len(self.stream.read(min(length, BUFFER)))
            if not passed:
                return False
            length -= passed
        return True

    def sha256(self) -> str:
        """The SHA-256 of the whole capture in hex; reads what is left of a pipe."""
        if self._hashing is not None:
            self._hashing.join()
        elif not self._rewound:
            while not self._packed.closed and self._packed.read(BUFFER):
                pass
        return self._digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    try:
        # A named pipe or a device is read like standard input; opening a folder says so on every system.
        if stat.S_ISDIR(path.stat().st_mode):
            raise AuditError(f"{path} is a folder: give --recursive to import what is in it.")
        return path.open("rb", buffering=0)
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from error
    except ValueError as error:  # a NUL in the name
        raise AuditError("A file name has a NUL character in it.") from error


def inflate(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A reader of what zlib or gzip packed into what `read` gives (mitmproxy's `.zhar` is plain zlib).

    The reader raises AuditError past any honest compression, and gives what it has where the data is damaged.
    """
    machine = zlib.decompressobj(wbits=47)  # 32 + 15: zlib or gzip, told by its header
    packed = unpacked = 0
    done = False

    def read_unpacked(length: int) -> bytes:
        nonlocal packed, unpacked, done, machine
        while not done:
            data = machine.unconsumed_tail or read(BUFFER)
            if not machine.unconsumed_tail:
                packed += len(data)
            try:
                piece = machine.decompress(data, length) if data else machine.flush()
            except zlib.error:
                done = True
                return b""
            done = not data or machine.eof
            unpacked += len(piece)
            if unpacked > HARMLESS and unpacked > MOST_GROWTH * packed:
                raise AuditError(GROWS)
            if piece:
                return piece
        return b""

    return read_unpacked

"""Zip archives that may be hostile: never unpacked to disk, bounded in members, memory and growth."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from mfa_audit.captures.entries import SkipError
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.streams import GROWS, HARMLESS, MOST_GROWTH, Tape
from mfa_audit.errors import AuditError
from mfa_audit.printable import line

MANY_MEMBERS: Final = 100_000
# Python's table of members takes some 500 bytes for each.
MOST_MEMBERS: Final = 300_000
# A zip can only be read from its end, so one from a pipe is held in memory.
PIPED: Final = 64 * 1024 * 1024

_END: Final = b"PK\x05\x06"
_END_64: Final = b"PK\x06\x06"
_NO_DATE: Final = (1980, 1, 1, 0, 0, 0)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Password = Callable[[], bytes | None]


class DamagedError(Exception):
    """A member that cannot be read; the text is a fixed phrase."""


class Archive:
    """An open zip. Raises AuditError for one that is damaged as a whole, too large, or locked."""

    def __init__(self, tape: Tape, remarks: Remarks, password: Password) -> None:
        file: IO[bytes] = tape.stream
        if not tape.rewindable:
            data = tape.stream.read(PIPED + 1)
            if len(data) > PIPED:
                raise AuditError(
                    "A zip of more than 64 MiB cannot be read from a pipe: give the file's name."
                )
            file = io.BytesIO(data)
        members = _count_members(file)
        if members > MOST_MEMBERS:
            raise AuditError(
                f"{line(tape.name)} is a zip of {members:,} files, and {MOST_MEMBERS:,} is the most: "
                "save the sessions in several archives."
            )
        if members > MANY_MEMBERS:
            remarks.note(
                f"more than {MANY_MEMBERS:,} files in the archive ({members:,}): reading takes a while"
            )
        try:
            self._zip: Any = zipfile.ZipFile(file)
            if any(info.flag_bits & 1 for info in self._zip.infolist()):
                self._unlock(file, tape.name, password)
        except (AuditError, ImportError):
            raise
        except Exception as error:  # zipfile raises struct.error, ValueError and others on odd directories
            raise AuditError(
                f"{line(tape.name)} is a damaged zip: copy it again from where it came."
            ) from error
        for info in self._zip.infolist():
            # Of 300,000 members' dates, which nobody reads, each takes 100 bytes.
            info.date_time = _NO_DATE
        self.names: list[str] = self._zip.namelist()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """One member, unpacked as it is read. Raises DamagedError, also from within the `with`."""
        try:
            if (
                self._zip.getinfo(name).compress_type not in _METHODS
                and not self._zip.getinfo(name).flag_bits & 1
            ):
                raise DamagedError("packed in a way that Fiddler and browsers do not use")
            with self._zip.open(name) as file:
                yield file
        except (DamagedError, AuditError, SkipError):
            raise
        except Exception as error:  # zlib's, zipfile's, pyzipper's, and what they call
            raise DamagedError(f"damaged in the archive ({type(error).__name__})") from error

    def reader(self, name: str, file: IO[bytes]) -> Callable[[int], bytes]:
        """`file.read`, which raises AuditError once the member grows past any honest compression."""
        packed = max(self._zip.getinfo(name).compress_size, 1)
        unpacked = 0

        def read(length: int) -> bytes:
            nonlocal unpacked
            data = file.read(length)
            unpacked += len(data)
            if unpacked > HARMLESS and unpacked > MOST_GROWTH * packed:
                raise AuditError(GROWS)
            return data

        return read

    def close(self) -> None:
        """Close the zip; the tape stays open."""
        self._zip.close()

    def _unlock(self, file: IO[bytes], name: str, password: Password) -> None:
        """Fiddler locks with ZipCrypto or with AES, which Python's own zipfile does not know."""
        import pyzipper

        word = password()
        if word is None:
            raise AuditError(
                f"{line(name)} is locked: give --password, which asks for its password, or --password-file."
            )
        self._zip = pyzipper.AESZipFile(file)
        self._zip.setpassword(word)
        locked = [info for info in self._zip.infolist() if info.flag_bits & 1]
        # The smallest member is read whole: one byte of check, as ZipCrypto has, lets 1 of 256 wrong
        # passwords pass.
        smallest = min(locked, key=lambda info: info.file_size)
        try:
            with self._zip.open(smallest) as member:
                while member.read(65536):
                    pass
        except Exception as error:
            raise AuditError(f"The password does not open {line(name)}.") from error


def _count_members(file: IO[bytes]) -> int:
    """How many members the zip's end record promises, read before their table is; 0 where it has none."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 66_000))
    end = file.read()
    file.seek(0)
    found = end.rfind(_END)
    if found < 0 or len(end) < found + 22:
        return 0
    count, directory = struct.unpack_from("<10xHI", end, found)
    wide = end.rfind(_END_64, 0, found)
    if wide >= 0 and len(end) >= wide + 56:
        count, directory = struct.unpack_from("<32xQQ", end, wide)
    # The promised number may lie; each member takes 46 bytes of the directory, whose size must be right.
    return max(int(count), min(int(directory), size) // 128)

"""Any capture, told by its content: what it is, its calls or rows, and what in it could not be used."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from mfa_audit.captures import flows, foreign, har, microsoft_lists, saz, sign_ins
from mfa_audit.captures.archives import Archive, DamagedError, Password
from mfa_audit.captures.entries import Reading
from mfa_audit.captures.json_shapes import Beginning, Shape
from mfa_audit.captures.json_texts import CutOffError, JsonText
from mfa_audit.captures.microsoft_lists import Row
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.sign_in_columns import SignIn
from mfa_audit.captures.streams import BUFFER, Tape
from mfa_audit.errors import AuditError
from mfa_audit.exchanges import bodies
from mfa_audit.exchanges.exchange import Exchange
from mfa_audit.printable import line

# Bytes of a CSV file read at a time, and characters of one line: the portal's have some 2,000.
_PIECE: Final = 256 * 1024
_LONGEST_LINE: Final = 1024 * 1024


class Format(StrEnum):
    """What a capture is."""

    FLOWS = "mitmproxy flows"
    HAR = "HAR"
    SAZ = "Fiddler SAZ"
    MICROSOFT = "Microsoft's list"
    SIGN_INS = "Entra sign-in log"


class NotACaptureError(AuditError):
    """A file that is none of the formats: an error where it was named, one to list where it was only met."""


# Per producer, by a part of its name in lower case: whether it leaves tokens out by itself, and how to have them.
# Chrome and Edge both call themselves WebInspector.
_REMEDIES: Final = (
    (
        "webinspector",
        True,
        'Chrome and Edge leave tokens out of "Export HAR": use "Export HAR (with sensitive data)". It appears after '
        'you turn on "Allow to generate HAR with sensitive data" in DevTools\' settings, Preferences, Network.',
    ),
    ("webpagetest", True, "WebPageTest runs elsewhere and has no tokens of yours: record the tool itself."),
    ("playwright", False, "Record again with recordHar, and hand the file on as it is."),
    (
        "mitmproxy",
        False,
        "Save the flows again with `mitmdump -w`, without an addon that removes Authorization.",
    ),
    ("fiddler", False, "In Fiddler save all sessions again, as SAZ and without the sanitizing option."),
    (
        "charles",
        False,
        "In Charles export the session again, without a rewrite rule that removes Authorization.",
    ),
    ("proxyman", False, "In Proxyman export the HAR again, without a script that removes Authorization."),
    ("http toolkit", False, "In HTTP Toolkit export the HAR again, and hand the file on as it is."),
    ("insomnia", False, "In Insomnia export a HAR of requests that were sent with their Authorization."),
    (
        "firefox",
        False,
        'In Firefox\'s Network panel choose "Save All As HAR" again, and hand the file on as it is.',
    ),
    ("webkit", False, "In Safari's Network tab export the HAR again, and hand the file on as it is."),
)
_REMEDY: Final = "Ask for the capture again with its Authorization headers, not passed through a sanitizer."
_CAUSE_UNKNOWN: Final = (
    "Either the programs sent no Authorization header, or something removed it before the file was saved. If they "
    "sign in, capture them again with that header."
)


class Capture:
    """One capture; a context manager. Iterate once over `exchanges`, and once over `rows`: one of them is
    empty.

    `name` is the file's name without folder, `size` its length in bytes (None for a pipe); `name` and
    `producer` may hold text of the capture: print them through `formats.printable`. `remarks` and `producer`
    are complete when the iteration is.
    """

    def __init__(
        self, path: Path | None, password: Password, further: Collection[str], now: float | None
    ) -> None:
        self._tape = Tape(path)
        self._archive: Archive | None = None
        self._hars: list[har.Har] = []
        self.name = self._tape.name
        self.remarks = Remarks()
        self._reading = Reading(self.remarks, time.time() if now is None else now, further, self._tape.saved)
        self.exchanges: Iterator[Exchange] = iter(())
        self.rows: Iterator[Row] = iter(())
        self.sign_ins: Iterator[SignIn] = iter(())
        try:
            self.format = self._recognise(password)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._archive is not None:
            self._archive.close()
        self._tape.close()

    @property
    def size(self) -> int | None:
        """The capture's length in bytes; None where it comes through a pipe."""
        return self._tape.size

    @property
    def position(self) -> int:
        """How many bytes were read, for a progress bar; in a zip, where reading stands."""
        return self._tape.position

    @property
    def producer(self) -> str | None:
        """The program that wrote the capture, as it calls itself."""
        if self.format == Format.HAR:
            return next((one.producer for one in self._hars if one.producer), None)
        return {
            Format.FLOWS: "mitmproxy",
            Format.SAZ: "Fiddler",
            Format.MICROSOFT: "Microsoft",
            Format.SIGN_INS: "Microsoft Entra",
        }[self.format]

    def sha256(self) -> str:
        """The SHA-256 of the capture in hex; call it after the iteration."""
        return self._tape.sha256()

    def remedy(self, *, marked: bool) -> str:
        """What to do about a capture without tokens: one or two sentences.

        `marked`: marks stand where the tokens were, so somebody took them out. Without that only a producer which
        leaves them out by itself is blamed.
        """
        creator = next((one.creator for one in self._hars if one.creator), None)
        for program in (creator or "", self.producer or ""):
            for name, leaves_out, remedy in _REMEDIES:
                if name in program.lower():
                    return remedy if marked or leaves_out else _CAUSE_UNKNOWN
        return _REMEDY if marked else _CAUSE_UNKNOWN

    @property
    def is_usable(self) -> bool:
        """Whether the request of some entry was understood, or nothing was lost; ask after the iteration."""
        lost = self.remarks.is_cut_off or self.remarks.skipped.total()
        return self._reading.understood > 0 or not lost

    def _recognise(self, password: Password) -> Format:
        tape = self._tape
        start = tape.start(BUFFER)
        if not start:
            raise NotACaptureError(f"{line(tape.name)} is empty.")
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
            return self._open_zip(password)
        if start.startswith(b"\x1f\x8b") or (start[:1] == b"\x78" and int.from_bytes(start[:2]) % 31 == 0):
            tape.unpack()
            start = tape.start(BUFFER)
        if flows.recognise(start):
            self.exchanges = flows.read(tape, self._reading)
            return Format.FLOWS
        if sign_ins.looks_like_heading(_first_line(start)):
            self.sign_ins = sign_ins.read_csv(_lines(tape.stream.read), self.remarks)
            return Format.SIGN_INS
        beginning = Beginning(start)
        if beginning.shape is Shape.HAR:
            self.exchanges = self._read_har(JsonText(tape.stream.read))
            return Format.HAR
        if beginning.shape is Shape.ROWS:
            self.rows = microsoft_lists.read(JsonText(tape.stream.read), self._reading)
            return Format.MICROSOFT
        if beginning.shape is Shape.SIGN_INS:
            self.sign_ins = sign_ins.read_json(JsonText(tape.stream.read), self.remarks)
            return Format.SIGN_INS
        what = foreign.describe(start, beginning.outer, beginning.inner)
        raise NotACaptureError(f"{line(tape.name)} is {what}.")

    def _open_zip(self, password: Password) -> Format:
        archive = self._archive = Archive(self._tape, self.remarks, password)
        if saz.recognise(archive.names):
            self.exchanges = saz.read(archive, self._reading)
            return Format.SAZ
        hars = [name for name in archive.names if name.lower().endswith(".har")]
        if not hars:
            raise NotACaptureError(f"{line(self.name)} is {foreign.describe_zip(archive.names)}.")
        self.exchanges = self._read_zipped(archive, hars)
        return Format.HAR

    def _read_zipped(self, archive: Archive, names: list[str]) -> Iterator[Exchange]:
        # Playwright puts the bodies beside its har.har, and names them in it.
        beside = set(archive.names)

        def attachment(name: str) -> bytes | None:
            if name not in beside:
                return None
            try:
                with archive.open(name) as body:
                    return body.read(bodies.BODY_LIMIT)
            except DamagedError:
                return None

        for name in names:
            try:
                with archive.open(name) as file:
                    yield from self._read_har(JsonText(archive.reader(name, file)), attachment)
            except DamagedError as error:
                self.remarks.skip(str(error), name)

    def _read_har(
        self, text: JsonText, attachments: har.Attachments = lambda name: None
    ) -> Iterator[Exchange]:
        found = har.Har(text, self._reading, attachments)
        self._hars.append(found)
        try:
            yield from found
        except CutOffError:
            self.remarks.cut_off("the rest of the file could not be read")


def read(
    path: Path | None,
    password: Password = lambda: None,
    further: Collection[str] = (),
    now: float | None = None,
) -> Capture:
    """Open a capture: a file, or standard input where `path` is None.

    `password` is asked at most once, for a locked archive, and may give None. `further` are API hosts beside
    Partner Center's. `now` (seconds since 1970) is the clock by which later dates are wrong.
    Raises AuditError where the file cannot be opened, NotACaptureError where it is no capture.
    """
    return Capture(path, password, further, now)


def _encoding(start: bytes) -> str:
    """PowerShell 5.1 writes UTF-16; the portal UTF-8 with a byte order mark."""
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _first_line(start: bytes) -> str:
    return start.decode(_encoding(start), "replace").lstrip("\ufeff").partition("\n")[0].rstrip("\r")


def _lines(read: Callable[[int], bytes]) -> Iterator[str]:
    """The lines of a text, with their ends, of at most `_LONGEST_LINE` characters each."""
    piece = read(_PIECE)
    decoder = codecs.getincrementaldecoder(_encoding(piece))(errors="replace")
    rest = ""
    while piece:
        *whole, rest = (rest + decoder.decode(piece)).splitlines(keepends=True) or [""]
        yield from whole
        if len(rest) > _LONGEST_LINE:
            yield rest
            rest = ""
        piece = read(_PIECE)
    if rest:
        yield rest

"""Any capture, told by its content: what it is, its calls or rows, and what in it could not be used."""

from __future__ import annotations

import codecs
import io
import time
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from mfa_audit.captures import flows, har, microsoft_lists, saz, sign_ins
from mfa_audit.captures.archives import Archive, DamagedError, Password
from mfa_audit.captures.entries import Reading
from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText
from mfa_audit.captures.microsoft_lists import Row
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.sign_ins import SignIn
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


# What each producer does that leaves a capture without tokens, and how to have them. The first that is part
# of the producer's name, in lower case, counts. Chrome and Edge both call themselves WebInspector.
_REMEDIES: Final = (
    (
        "webinspector",
        'Chrome and Edge leave tokens out of "Export HAR": use "Export HAR (with sensitive data)", which '
        "DevTools' "
        'settings under Preferences, Network, "Allow to generate HAR with sensitive data" bring.',
    ),
    ("firefox", 'In Firefox\'s Network panel choose "Save All As HAR" again, and hand the file on as it is.'),
    ("webkit", "In Safari's Network tab export the HAR again, and hand the file on as it is."),
    ("fiddler", "In Fiddler save all sessions again, as SAZ and without the sanitizing option."),
    ("charles", "In Charles export the session again, without a rewrite rule that removes Authorization."),
    ("proxyman", "In Proxyman export the HAR again, without a script that removes Authorization."),
    ("http toolkit", "In HTTP Toolkit export the HAR again, and hand the file on as it is."),
    ("insomnia", "In Insomnia export a HAR of requests that were sent with their Authorization."),
    ("playwright", "Record again with recordHar, and hand the file on as it is."),
    ("webpagetest", "WebPageTest runs elsewhere and has no tokens of yours: record the tool itself."),
    ("mitmproxy", "Save the flows again with `mitmdump -w`, without an addon that removes Authorization."),
)
_REMEDY: Final = "Ask for the capture again with its Authorization headers, not passed through a sanitizer."


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
        self._reading = Reading(self.remarks, time.time() if now is None else now, further)
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

    def remedy(self) -> str:
        """How to have a capture with tokens from this producer: one or two sentences."""
        producer = (self.producer or "").lower()
        return next((remedy for name, remedy in _REMEDIES if name in producer), _REMEDY)

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
        kind = _recognise_json(start)
        if kind is None:
            raise NotACaptureError(
                f"{line(tape.name)} is none of the captures that can be read: mitmproxy flows, HAR, "
                "Fiddler SAZ, or one of Microsoft's lists as JSON."
            )
        text = JsonText(tape.stream.read)
        if kind == Format.HAR:
            self.exchanges = self._read_har(text)
        elif kind == Format.SIGN_INS:
            self.sign_ins = sign_ins.read_json(text, self.remarks)
        else:
            self.rows = microsoft_lists.read(text, self.remarks)
        return kind

    def _open_zip(self, password: Password) -> Format:
        archive = self._archive = Archive(self._tape, self.remarks, password)
        if saz.recognise(archive.names):
            self.exchanges = saz.read(archive, self._reading)
            return Format.SAZ
        hars = [name for name in archive.names if name.lower().endswith(".har")]
        if not hars:
            raise NotACaptureError(
                f"{line(self.name)} is a zip with neither Fiddler's sessions nor a HAR in it."
            )
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
        try:
            for key in text.keys():  # noqa: SIM118  (not a dictionary)
                if key == "log":
                    found = har.Har(text, self._reading, attachments)
                    self._hars.append(found)
                    yield from found
                else:
                    text.skip()
        except CutOffError:
            self.remarks.note("cut off or damaged: the rest of the file could not be read")


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


def _recognise_json(start: bytes) -> Format | None:
    """What a JSON text is, by its beginning; None for any other text."""
    text = JsonText(io.BytesIO(start).read)
    keys: dict[str, object] = {}
    try:
        if text.peek() == "[":
            return _recognise_array(text)
        if text.peek() != "{":
            return None
        for key in text.keys():  # noqa: SIM118  (not a dictionary)
            if key == "log" and text.peek() == "{":
                return Format.HAR
            if key.lower() in ("value", "items", "records") and text.peek() == "[":
                return _recognise_array(text)
            try:
                keys[key] = text.value()
            except BrokenError:
                continue
    except CutOffError:
        return None
    return _recognise_row(keys)


def _recognise_row(found: object) -> Format | None:
    if sign_ins.looks_like_row(found):
        return Format.SIGN_INS
    return Format.MICROSOFT if microsoft_lists.looks_like_row(found) else None


def _recognise_array(text: JsonText) -> Format | None:
    """Microsoft's list where the first item is a row or a page of it; an empty list: nobody called."""
    for _ in text.items():
        try:
            return _recognise_row(text.value())
        except BrokenError:
            return None
    return Format.MICROSOFT


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

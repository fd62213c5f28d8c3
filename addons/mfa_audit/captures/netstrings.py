"""tnetstrings (`5:hello,`: length, colon, data, type), read by position: what is not asked for is never
parsed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from mfa_audit.captures import entries
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.streams import BUFFER, Tape
from mfa_audit.exchanges.bodies import BODY_LIMIT

BYTES, TEXT, INTEGER, FLOAT, TRUTH, NULL, LIST, DICT = b",;#^!~]}"

# mitmproxy's own limit for a length.
LENGTH_DIGITS: Final = 12
# Where a flow may begin after a damaged stretch: a length, and one of the keys that a flow's dictionary has. A flow
# that was changed in mitmproxy holds another one, its backup, which is no call of its own.
_RESTART: Final = re.compile(
    rb"(?<!6:backup[;,])(?<!\d)(\d{3,24}):(?=\d{1,2}:(?:version|type|id|error|client_conn|server_conn|intercepted"
    rb"|is_replay|marked|metadata|comment|timestamp_created|backup|request|response|websocket|mode)[;,])"
)

# Bytes in which the beginning of a flow can be told, and those before it that are looked at.
_BEGINNING: Final = 64
_LOOKBACK: Final = 16

# `4:type;4:http;`: key and length of value; `28:4:name,16:the value of it.,]`: a pair of bytes up to its value.
_ITEM: Final = re.compile(rb"(\d{1,12}):([a-z0-9_]{1,40});(\d{1,12}):")
_PAIR: Final = re.compile(rb"(\d{1,12}):(\d{1,12}):([^,]*),(\d{1,12}):")

# Type, start and end of a value in its record.
Slot = tuple[int, int, int]


def index(record: bytes, position: int, end: int) -> dict[bytes, Slot]:
    """The values of a dictionary by their keys, which are short words; raises ValueError or IndexError for others."""
    slots: dict[bytes, Slot] = {}
    while position < end:
        match = _ITEM.match(record, position)
        if match is None:
            raise ValueError("not a dictionary of the current format")
        length, key, value_length = match.groups()
        start = match.end()
        stop = start + int(value_length)
        if int(length) != len(key) or stop >= end:
            raise ValueError("a length that cannot be")
        slots[key] = (record[stop], start, stop)
        position = stop + 1
    return slots


def read_pairs(record: bytes, slot: Slot, wanted: Collection[str], most: int) -> list[tuple[str, str]]:
    """Of a list of pairs of bytes those whose first one, in lower case, is wanted.

    Raises ValueError or IndexError where it is no such list, or one of more than `most` pairs.
    """
    tag, position, end = slot
    if tag != LIST:
        raise ValueError("not a list")
    pairs: list[tuple[str, str]] = []
    count = 0
    while position < end:
        match = _PAIR.match(record, position)
        if match is None:
            raise ValueError("not a pair")
        length, name_length, name, value_length = match.groups()
        start = match.end()
        stop = start + int(value_length)
        position += len(length) + 1 + int(length) + 1
        if (
            int(name_length) != len(name)
            or stop + 2 != position
            or position > end
            or record[stop] != BYTES
            or record[stop + 1] != LIST
        ):
            raise ValueError("a length that cannot be")
        text = entries.decode_text(name)
        if text.lower() in wanted:
            pairs.append((text, entries.decode_text(record[start:stop])))
        count += 1
    if count > most:
        raise ValueError("too many pairs")
    return pairs


def read_value(record: bytes, slot: Slot) -> bytes | str | int | float | bool | None:
    """A plain value; raises ValueError for a list, a dictionary or a value that is not of its type."""
    tag, start, end = slot
    data = record[start:end]
    if tag == BYTES:
        return data
    if tag == TEXT:
        return data.decode()
    if tag == INTEGER:
        return int(data)
    if tag == FLOAT:
        return float(data)
    if tag == TRUTH and data in (b"true", b"false"):
        return data == b"true"
    if tag == NULL and not data:
        return None
    raise ValueError("not a plain value")


def read_text(record: bytes, slot: Slot) -> str:
    """A text, or bytes as header bytes are read; raises ValueError for anything else."""
    tag, start, end = slot
    if tag not in (BYTES, TEXT):
        raise ValueError("not a text")
    return entries.decode_text(record[start:end])


def read_records(tape: Tape, remarks: Remarks, whole: int) -> Iterator[bytes]:
    """The data of each dictionary of a flow file, the bodies of those longer than `whole` bytes cut off.

    DamagedError stretches are searched for the next flow where the tape can be rewound, as when a recorder
    that was killed was started again with `-w +file`. Yields b"" for a flow that is too large even without
    its bodies.
    """
    stream = tape.stream
    search = _Search(tape, remarks)
    while True:
        before = stream.tell() if tape.rewindable else 0
        length = _read_length(tape)
        if length is None:
            return
        record = None
        if length >= 0:
            if length <= whole:
                record = stream.read(length)
                intact = len(record) == length and stream.read(1) == b"}"
            else:
                try:
                    record, intact = _read_without_bodies(tape, length, whole)
                except (ValueError, IndexError):
                    intact = False
            if intact and record is not None:
                yield record
                continue
        if not search.resume(before):
            return


def _read_length(tape: Tape) -> int | None:
    """The length of the next value: None at the end of the file, -1 where there is none."""
    read = tape.stream.read
    digits = b""
    while (byte := read(1)).isdigit():
        digits += byte
        if len(digits) > LENGTH_DIGITS:
            return -1
    if not byte and not digits:
        return None
    return int(digits) if byte == b":" and digits else -1


class _Search:
    """The search for the next flow after a damaged stretch, with bounded patience for a file made to wear it out."""

    def __init__(self, tape: Tape, remarks: Remarks) -> None:
        self._tape = tape
        self._remarks = remarks
        self._patience = 100_000

    def resume(self, damaged: int) -> bool:
        """Go to the next flow after the damaged position; False where there is none, the loss noted."""
        tape, stream = self._tape, self._tape.stream
        if not tape.rewindable:
            self._remarks.cut_off("the rest of the file could not be read")
            return False
        # A stretch costs as much as a hundred places where a flow might have begun.
        self._patience -= 100
        position = damaged + 1
        stream.seek(position)
        window = b""
        while self._patience > 0 and (chunk := stream.read(BUFFER)):
            window += chunk
            for match in _RESTART.finditer(window, _LOOKBACK if position > damaged + 1 else 0):
                self._patience -= 1
                start = self._find_start(position + match.start(), match[1])
                if start is not None:
                    stream.seek(start)
                    self._remarks.note(
                        "damaged bytes between flows passed over", f"{start - damaged:,} bytes"
                    )
                    return True
                if self._patience <= 0:
                    break
            kept = window[-_LOOKBACK - _BEGINNING :]
            position += len(window) - len(kept)
            window = kept
        lost = (tape.size or 0) - damaged
        self._remarks.cut_off("the end of the file is no whole flow", f"the last {lost:,} bytes")
        return False

    def _find_start(self, position: int, digits: bytes) -> int | None:
        """Where in the digits the length of a whole flow begins; the flow that was torn may have ended in a digit."""
        stream = self._tape.stream
        here = stream.tell()
        try:
            for first in range(len(digits) - 2):
                end = position + len(digits) + 1 + int(digits[first:])
                if digits[first] != ord("0") and self._tape.size is not None and end < self._tape.size:
                    stream.seek(end)
                    if stream.read(1) == b"}":
                        return position + first
        finally:
            stream.seek(here)
        return None


def _read_without_bodies(tape: Tape, length: int, whole: int) -> tuple[bytes, bool]:
    """A long dictionary with every long text in it and in the dictionaries below cut to 64 KiB.

    Returns b"" where it is still longer than `whole`, and whether it was there to its end.
    """
    kept = _condense(tape, length, whole, 2)
    return kept or b"", tape.stream.read(1) == b"}"


def _condense(tape: Tape, length: int, whole: int, depth: int) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    fits = True
    key: bytes | None = None
    while length > 0:
        digits = _read_digits(tape)
        count = int(digits)
        length -= len(digits) + 1 + count + 1
        if length < 0:
            raise ValueError("a value longer than what holds it")
        if count > BODY_LIMIT and depth > 1 and key in (b"request", b"response"):
            data, tag = _condense(tape, count, whole, depth - 1) or b"", tape.stream.read(1)
        else:
            data, tag = _read_item(tape, count)
        key = data if key is None else None
        piece = b"%d:%s%s" % (len(data), data, tag)
        size += len(piece)
        fits = fits and size <= whole
        if fits:
            pieces.append(piece)
        else:
            pieces.clear()
    return b"".join(pieces) if fits else None


def _read_item(tape: Tape, count: int) -> tuple[bytes, bytes]:
    data = tape.stream.read(min(count, BODY_LIMIT))
    if count > BODY_LIMIT and not tape.skip(count - BODY_LIMIT):
        raise ValueError("cut off")
    tag = tape.stream.read(1)
    if not tag:
        raise ValueError("cut off")
    # A list or dictionary cannot be cut; nothing that is asked of a flow is in one of that size.
    return (data, tag) if count <= BODY_LIMIT or tag in (b",", b";") else (b"", b"~")


def _read_digits(tape: Tape) -> bytes:
    digits = b""
    while (byte := tape.stream.read(1)).isdigit():
        digits += byte
        if len(digits) > LENGTH_DIGITS:
            raise ValueError("not a length")
    if byte != b":" or not digits:
        raise ValueError("not a length")
    return digits

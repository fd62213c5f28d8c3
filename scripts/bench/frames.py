"""The little of HTTP/2 that the benchmark's two ends need (RFC 9113), so that neither becomes the bottleneck.

Header blocks are encoded once, without the dynamic table (RFC 7541, section 6.2.2), and can be sent again and
again; those that come are not decoded at all: the end of a stream is a flag in the frame's head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def encode(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block of literals that leaves no trace in the other side's table."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


# A window that no benchmark uses up: for streams by the setting 4, for the connection by an update.
OPENING: Final = encode(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + encode(
    WINDOW_UPDATE, 0, 0, (2**31 - 1 - 65535).to_bytes(4)
)


async def read(reader: asyncio.StreamReader) -> Frame:
    """The next frame; IncompleteReadError at the end of the connection."""
    head = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(head[:3]))
    return Frame(head[3], head[4], int.from_bytes(head[5:9]) & 0x7FFFFFFF, payload)


def reply(frame: Frame) -> bytes:
    """What a control frame must be answered with, if anything."""
    if frame.kind in (SETTINGS, PING) and not frame.flags & ACK:
        return encode(frame.kind, ACK, 0, frame.payload if frame.kind == PING else b"")
    return b""


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    # An integer that does not fit the 7-bit prefix goes on in groups of 7 bits (RFC 7541, section 5.1).
    rest, length = len(raw) - 127, [127]
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes((*length, rest)) + raw

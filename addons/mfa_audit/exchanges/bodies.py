"""The body of a refusal, unpacked: at most 64 KiB of it, and at most that much is ever unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Final

BODY_LIMIT: Final = 64 * 1024
# Statuses that refuse, and whose body may say that MFA was the cause.
REFUSING: Final = frozenset({401, 403})
# Stacked encodings are legal, but nobody sends more than two.
MOST_ENCODINGS: Final = 3


def decode(body: bytes, encodings: str) -> bytes | None:
    """`body` without its `Content-Encoding`s (as in the header, "" for none), cut after 64 KiB.

    A body that was cut off gives what is there. None where an encoding is unknown or the data is not of it.
    """
    names = [name.strip().lower() for name in encodings.split(",") if name.strip()]
    if len(names) > MOST_ENCODINGS:
        return None
    for name in reversed(names):
        if name in ("identity", "none"):
            continue
        unpacked = _unpack(body, name)
        if unpacked is None:
            return None
        body = unpacked
    return body[:BODY_LIMIT]


def _unpack(body: bytes, name: str) -> bytes | None:
    if not body:
        return body
    try:
        return _UNPACKERS[name](body)
    except Exception:  # unknown, or each library's own way to say: not of that encoding
        return None


def _gunzip(body: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(body, BODY_LIMIT)


def _inflate(body: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, BODY_LIMIT)
    except zlib.error:
        # Some servers send deflate data without the zlib header that RFC 9110, 8.4.1.2, asks for.
        return zlib.decompressobj(wbits=-15).decompress(body, BODY_LIMIT)


def _unzstd(body: bytes) -> bytes:
    import zstandard  # mitmproxy's dependency, as Brotli is

    machine = zstandard.ZstdDecompressor(max_window_size=8 << 20)
    return machine.stream_reader(BytesIO(body), read_across_frames=True).read(BODY_LIMIT)


def _unbrotli(body: bytes) -> bytes:
    import brotli

    machine = brotli.Decompressor()
    unpacked = b""
    # Brotli's Python binding takes no limit in all versions that we meet: small bites bound what one may
    # unpack to.
    for start in range(0, len(body), 64):
        unpacked += machine.process(body[start : start + 64])
        if len(unpacked) >= BODY_LIMIT:
            break
    return unpacked


_UNPACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "deflateraw": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def dechunk(body: bytes) -> bytes:
    """The data of a body in chunked transfer coding (RFC 9112, 7.1), as far as it goes; a plain body as it
    is.
    """
    data = bytearray()
    position = 0
    while (end := body.find(b"\r\n", position, position + 64)) > 0:
        digits = body[position:end].split(b";")[0].strip()
        try:
            length = int(digits, 16)
        except ValueError:
            return bytes(data) if data else body
        if length <= 0:
            break
        data += body[end + 2 : end + 2 + length]
        position = end + 2 + length + 2
    return bytes(data) if data or position else body

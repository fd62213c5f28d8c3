"""The body of a refusal, unpacked: at most 64 KiB of it, and at most that much is ever unpacked."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Final

BODY_LIMIT: Final = 64 * 1024
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
        if name in ("gzip", "x-gzip"):
            return zlib.decompressobj(wbits=31).decompress(body, BODY_LIMIT)
        if name in ("deflate", "deflateraw"):
            try:
                return zlib.decompressobj().decompress(body, BODY_LIMIT)
            except zlib.error:
                # Some servers send deflate data without the zlib header that RFC 9110, 8.4.1.2, asks for.
                return zlib.decompressobj(wbits=-15).decompress(body, BODY_LIMIT)
        if name == "br":
            return _unbrotli(body)
        if name == "zstd":
            # Of mitmproxy's dependencies, as Brotli is.
            import zstandard

            reader = zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(
                BytesIO(body), read_across_frames=True
            )
            return reader.read(BODY_LIMIT)
    except Exception:  # each library has errors of its own, and all mean: not of that encoding
        return None
    return None


def _unbrotli(body: bytes) -> bytes:
    import brotli

    machine = brotli.Decompressor()
    unpacked = b""
    # Brotli's Python binding takes no limit in all versions that we meet: small bites bound what one may unpack to.
    for start in range(0, len(body), 64):
        unpacked += machine.process(body[start : start + 64])
        if len(unpacked) >= BODY_LIMIT:
            break
    return unpacked


def dechunk(body: bytes) -> bytes:
    """The data of a body in chunked transfer coding (RFC 9112, 7.1), as far as it goes; a plain body as it is."""
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

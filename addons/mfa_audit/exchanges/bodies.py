"""The body of a refusal, unpacked: at most 64 KiB of it, and at most that much is ever unpacked."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final

# Loaded here and not where they are used, so that a missing decoder ends the start instead of making every body
# that needs it unreadable.
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# mitmproxy 11 holds Brotli's own binding at 1.1, which takes no limit: 20 bytes unpacked to 16 MB. brotlicffi is
# the same decoder behind the same names, with one.
if sys.version_info >= (3, 12):
    import brotli
else:
    import brotlicffi as brotli

BODY_LIMIT: Final = 64 * 1024
# Statuses that refuse, and whose body may say that MFA was the cause.
REFUSING: Final = frozenset({401, 403})
# Stacked encodings are legal, but nobody sends more than two.
MOST_ENCODINGS: Final = 3
# A body in several frames is legal too (RFC 8878, 3); empty ones would cost a decoder each.
MOST_FRAMES: Final = 8
# A window of 8 MB is what RFC 9659 allows a sender of the content coding "zstd".
_ZSTD_OPTIONS: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}


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
    unpacker = _UNPACKERS.get(name)
    if unpacker is None:
        return None
    try:
        return unpacker(body) if body else body
    except (zlib.error, zstd.ZstdError, brotli.error):
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
    unpacked = b""
    for _ in range(MOST_FRAMES):
        machine = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        unpacked += machine.decompress(body, BODY_LIMIT - len(unpacked))
        body = machine.unused_data
        if not body or len(unpacked) >= BODY_LIMIT:
            break
    return unpacked


def _unbrotli(body: bytes) -> bytes:
    unpacked: bytes = brotli.Decompressor().process(body, output_buffer_limit=BODY_LIMIT)
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

"""Bodies of refusals: unpacked, cut at 64 KiB, and never unpacked further than that."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from typing import Final

import pytest

from mfa_audit.exchanges.bodies import BODY_LIMIT, MOST_FRAMES, brotli, dechunk, decode, zstd

TEXT: Final = b'{"code": 900421, "description": "MFA required"}'
PACKED: Final = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstd.compress(TEXT),
}

# Argument: an encoding. Unpacks 256 MB of nothing much and prints by how many MB the process's peak memory grew.
BOMB: Final = """
import resource, sys, zlib
from mfa_audit.exchanges.bodies import brotli, decode, zstd
piece, pieces = bytes(1 << 20), range(256)
if sys.argv[1] == "gzip":
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(map(packer.compress, (piece for _ in pieces))) + packer.flush()
elif sys.argv[1] == "br":
    packer = brotli.Compressor(quality=5)
    bomb = b"".join(packer.process(piece) for _ in pieces) + packer.finish()
else:
    packer = zstd.ZstdCompressor()
    bomb = b"".join(map(packer.compress, (piece for _ in pieces))) + packer.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert decode(bomb, sys.argv[1]) == bytes(65536)
unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // unit)
"""


@pytest.mark.parametrize("encoding", PACKED)
def test_each_encoding(encoding: str) -> None:
    """A body in an encoding that servers use comes out as it went in; its name's case does not matter."""
    assert TEXT == decode(PACKED[encoding], encoding)
    assert TEXT == decode(PACKED[encoding], f" {encoding.upper()} ")


@pytest.mark.parametrize("encoding", PACKED)
def test_what_was_cut_off_gives_what_is_there(encoding: str) -> None:
    """Of a body whose end is missing the readable start is kept."""
    found = decode(PACKED[encoding][:-1], encoding)
    assert found is not None
    assert TEXT.startswith(found)


@pytest.mark.parametrize("encoding", PACKED)
def test_data_of_another_encoding(encoding: str) -> None:
    """Data that is not of the encoding that it claims gives nothing, and never an error."""
    assert decode(b"\xff" + TEXT, encoding) is None


def test_unknown_encodings() -> None:
    """An unknown encoding gives nothing, whether or not there is a body."""
    assert [None, None] == [decode(TEXT, "rot13"), decode(b"", "rot13")]


def test_stacked_encodings() -> None:
    """Encodings are taken off in the reverse of the order they are named in; more than three are refused."""
    assert TEXT == decode(gzip.compress(PACKED["br"]), "br, gzip")
    assert TEXT == decode(PACKED["zstd"], "zstd, identity")
    assert decode(TEXT, "identity, identity, identity, identity") is None


def test_frames_of_zstd() -> None:
    """Several frames are one body (RFC 8878, 3), up to a bound on how many."""
    assert b"ab" == decode(zstd.compress(b"a") + zstd.compress(b"b"), "zstd")
    assert b"a" * MOST_FRAMES == decode(zstd.compress(b"a") * 1_000, "zstd")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_bombs_are_not_unpacked(encoding: str) -> None:
    """Of a body that unpacks to 256 MB only the 64 KiB that are looked at are unpacked."""
    pytest.importorskip("resource", reason="NOT ON WINDOWS: the peak of a process's memory")
    done = subprocess.run(
        [sys.executable, "-c", BOMB, encoding], check=True, capture_output=True, text=True, timeout=60
    )
    assert 32 > int(done.stdout)


def test_long_bodies_are_cut() -> None:
    """A body that is not packed is cut at 64 KiB."""
    assert BODY_LIMIT == len(decode(b"a" * (BODY_LIMIT + 1), "") or b"")


@pytest.mark.parametrize("module", ["brotli", "brotlicffi", "backports.zstd", "compression.zstd"])
def test_a_missing_decoder_ends_the_start(module: str) -> None:
    """Without a decoder's package nothing starts, and the package is named: no body becomes unreadable in silence."""
    missing = f"""
import sys
sys.modules[{module!r}] = None
try:
    import mfa_audit.exchanges.bodies as bodies
except ImportError as error:
    assert {module!r}.partition(".")[0] in str(error), error
else:
    assert all({module!r} != decoder.__name__ for decoder in (bodies.brotli, bodies.zstd))
"""
    subprocess.run([sys.executable, "-c", missing], check=True, timeout=60)


def test_chunks() -> None:
    """A body in chunked coding is put together as far as it goes, and any other is left as it is."""
    assert b"abcde" == dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
    assert b"abc" == dechunk(b"3\r\nabc\r\nzz\r\n")
    assert TEXT == dechunk(TEXT)

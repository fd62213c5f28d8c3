"""Keys typed or pasted at the hidden prompt: the part that Windows and POSIX share."""

from __future__ import annotations

import pytest

from mfa_audit.commands.token_input import read_keys


class Keyboard:
    """Keys that come in pieces; between two pieces that a None parts, nobody types for a while."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = list(pieces)

    def read(self) -> bytes:
        while self.pieces and self.pieces[0] is None:
            self.pieces.pop(0)
        return self.pieces.pop(0) or b"" if self.pieces else b""

    def waits(self, seconds: float) -> bool:
        assert 0 < seconds < 1
        return bool(self.pieces) and self.pieces[0] is not None


@pytest.mark.parametrize(
    ("pieces", "typed", "left"),
    [
        ([b"eyJ.a.b\n"], b"eyJ.a.b\n", 0),
        ([b"e", b"y", b"J", b"\r", None, b"ls -l\n"], b"eyJ\r", 2),
        ([b"\r\n", None, b"eyJ\n"], b"\r\neyJ\n", 0),
        ([b"one\n", b"two\n", b"three", b"\n"], b"one\ntwo\nthree\n", 0),
        ([b"one\ntwo\nthr", None, b"ee\n"], b"one\ntwo\nthree\n", 0),
        ([b"eyJx\x7f\x08y\n"], b"eyy\n", 0),
        ([b"eyJ\x04more"], b"eyJ", 0),
        ([b"eyJ"], b"eyJ", 0),
        ([], b"", 0),
    ],
)
def test_which_keys_are_read(pieces: list[bytes | None], typed: bytes, left: int) -> None:
    """An Enter ends it where nothing waits behind it; all lines of a paste are read, and nothing typed later."""
    keyboard = Keyboard(*pieces)
    assert typed == read_keys(keyboard.read, keyboard.waits)
    assert left == len(keyboard.pieces)

"""A JSON text of any size, read value by value out of a window of a few MiB.

The standard library's parser does the work, one value at a time: it is as fast as a streaming parser in C,
refuses deep nesting instead of following it, and a value that it refuses is passed over by counting brackets,
so that one broken entry costs one entry. A value longer than the window is cut down first: long strings to
their beginnings.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from mfa_audit.exchanges.maker import VALUE_LIMIT

# Bytes read at a time: fewer pieces mean fewer values that lie across two of them.
PIECE: Final = 1024 * 1024
# Characters of one value (an entry of a HAR, a row of a list) that are held at a time.
WINDOW: Final = 4 * 1024 * 1024
# What is kept of each long string of a value that does not fit into the window.
STRING: Final = VALUE_LIMIT

_SPACE: Final = re.compile(r"[\s\ufeff\x00]*")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.S)
_SCALAR: Final = re.compile(r"[^,\]}\s]+")
_BETWEEN: Final = re.compile(r'[^"{}\[\]]++')
_FLAT: Final = re.compile(r'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")++', re.S)
_IN_STRING: Final = re.compile(r'(?:[^"\\]++|\\.)*+', re.S)
_WHOLE_CHARACTERS: Final = re.compile(rf'(?:[^"\\]|\\u[0-9a-fA-F]{{4}}|\\[^u]){{0,{STRING}}}+', re.S)


class BrokenError(Exception):
    """A value that could not be read and was passed over; the text says why, in a fixed phrase of ours."""


class CutOffError(Exception):
    """The text ended inside a value."""


class JsonText:
    """A place in a JSON text; `read(n)` gives its next bytes. UTF-8, UTF-16 or UTF-32, bad bytes replaced."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        start = read(PIECE)
        self._decoder = codecs.getincrementaldecoder(find_encoding(start))(errors="replace")
        self._text = self._decoder.decode(start)
        self._at = 0
        self._ended = not start
        self._usual = 0
        self._scan = json.JSONDecoder(strict=False).raw_decode

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def take(self, character: str) -> bool:
        """Whether `character` is next; if so it is passed."""
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def keys(self) -> Iterator[str]:
        """The keys of the object that begins here; read or pass the value of each in between.

        Raises CutOffError, also where what should be a key is none: what follows cannot be told.
        """
        self.take("{")
        while (next_one := self.peek()) not in ("}", ""):
            if next_one == ",":
                self._at += 1
                continue
            try:
                key = self.value() if next_one == '"' else None
            except BrokenError:
                raise CutOffError from None
            if not isinstance(key, str) or not self.take(":"):
                raise CutOffError
            yield key
        if not self.take("}"):
            raise CutOffError

    def items(self) -> Iterator[int]:
        """The ordinals (from 1) of the array that begins here; read or pass each item in between."""
        self.take("[")
        number = 0
        while (next_one := self.peek()) not in ("]", ""):
            if next_one == ",":
                self._at += 1
                continue
            if next_one in "}:":
                raise CutOffError
            number += 1
            yield number
        if not self.take("]"):
            raise CutOffError

    def value(self) -> Any:
        """The value that begins here. Raises BrokenError, and is past it, or CutOffError where none begins."""
        if self.peek() in ("", "]", "}", ":", ","):
            raise CutOffError
        # A value that the window cuts off is parsed for nothing: look ahead by as much as the one before was long.
        if len(self._text) - self._at < 2 * self._usual:
            self._fill()
        while True:
            try:
                found, end = self._scan(self._text, self._at)
            except RecursionError:
                self.skip()
                raise BrokenError("nested too deeply") from None
            except ValueError:
                broken = self._find_end()
                if broken is not None:
                    self._at = broken
                    raise BrokenError("not valid JSON") from None
            else:
                # A number may go on behind the window; all else ends in a mark of its own.
                if end < len(self._text) or self._ended or self._text[end - 1] in '"}]':
                    self._usual = min(end - self._at, STRING)
                    self._at = end
                    return found
            if len(self._text) - self._at > WINDOW:
                return self._read_long()
            # A number that the text ends with has its end now, and all else is cut off.
            if not self._fill(len(self._text) - self._at) and self._find_end() is None:
                self._at = len(self._text)
                raise CutOffError

    def skip(self) -> None:
        """Pass the value that begins here, of any length. Raises CutOffError."""
        self._pass_over(None)

    def _fill(self, at_least: int = 0) -> bool:
        """Read on, dropping what was passed; False at the end."""
        if self._ended:
            return False
        pieces = [self._text[self._at :]]
        size = 0
        while not self._ended and size <= at_least:
            data = self._read(PIECE)
            self._ended = not data
            pieces.append(self._decoder.decode(data, final=self._ended))
            size += len(pieces[-1])
        self._text = "".join(pieces)
        self._at = 0
        return size > 0

    def _find_end(self) -> int | None:
        """Where the value that begins here ends; None where that is behind the window."""
        if self._text[self._at] not in '{["':
            match = _SCALAR.match(self._text, self._at)
            end = match.end() if match else self._at
            return end if end < len(self._text) or self._ended else None
        depth = 0
        for match in _TOKEN.finditer(self._text, self._at):
            found = match.group()
            if found in "{[":
                depth += 1
            elif found in "}]":
                depth -= 1
            elif found == '"':
                return None
            if depth <= 0:
                return match.end()
        return None

    def _read_long(self) -> Any:
        kept: list[str] = []
        fits = self._pass_over(kept)
        if not fits:
            raise BrokenError(f"larger than {WINDOW >> 20} MiB even without its long texts")
        try:
            return json.loads("".join(kept), strict=False)
        except RecursionError:
            raise BrokenError("nested too deeply") from None
        except ValueError:
            raise BrokenError("not valid JSON") from None

    def _pass_over(self, kept: list[str] | None) -> bool:
        """Pass the value, collecting it with its strings cut; False where it is still too long."""
        depth = size = 0

        def keep(piece: str) -> None:
            nonlocal size
            size += len(piece)
            if kept is not None and size <= WINDOW:
                kept.append(piece)
            elif kept:
                kept.clear()

        if self.peek() not in '{["':
            while self.peek() and (match := _SCALAR.match(self._text, self._at)):
                self._at = match.end()
                if self._at < len(self._text):
                    return False
            return False
        while True:
            if self._at >= len(self._text) and not self._fill():
                raise CutOffError
            character = self._text[self._at]
            match = _FLAT.match(self._text, self._at) if depth else None
            if match and (kept is None or size > WINDOW or match.end() - self._at <= STRING):
                self._at = match.end()
                keep(match.group())
            elif character == '"':
                self._at += 1
                keep(f'"{self._pass_string()}"')
            elif match := _BETWEEN.match(self._text, self._at):
                self._at = match.end()
                keep(match.group())
            else:
                self._at += 1
                keep(character)
                depth += 1 if character in "{[" else -1
            if depth <= 0:
                return size <= WINDOW

    def _pass_string(self) -> str:
        """Go behind the closing quote; returns the beginning of the string, cut between two characters."""
        start = ""
        while True:
            match = _IN_STRING.match(self._text, self._at)
            end = match.end() if match else self._at
            if len(start) < STRING:
                start += self._text[self._at : min(end, self._at + 2 * STRING)]
            self._at = end
            if end < len(self._text) and self._text[end] == '"':
                self._at += 1
                whole = _WHOLE_CHARACTERS.match(start)
                return whole.group() if whole else ""
            # The window ends here, perhaps with a lone backslash, which stays for the next one.
            if not self._fill():
                raise CutOffError


def find_encoding(start: bytes) -> str:
    """By the byte order mark, else by the zero bytes beside the first character (RFC 4627, 3)."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            return name
    if start[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if start[:1] == b"\0" else "utf-8"

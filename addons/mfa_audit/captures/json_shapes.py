"""What a JSON text is, told by its beginning: a HAR, rows of a list or log, or something else."""

from __future__ import annotations

import contextlib
import io
from enum import Enum, auto
from typing import Any, Final

from mfa_audit.captures.json_texts import BrokenError, CutOffError, JsonText
from mfa_audit.captures.microsoft_lists import CONTAINERS, DEEPEST, read_row
from mfa_audit.captures.sign_ins import looks_like_row


class Shape(Enum):
    """What a JSON text is."""

    HAR = auto()
    ROWS = auto()
    SIGN_INS = auto()
    OTHER = auto()


class Beginning:
    """The beginning of a JSON text: its `shape`, and the keys met, in lower case and in their order.

    `outer` are those of the outermost object, `inner` those of what is in it. Any bytes may be given.
    """

    def __init__(self, start: bytes) -> None:
        self.outer: list[str] = []
        self.inner: list[str] = []
        self._text = JsonText(io.BytesIO(start).read)
        self.shape = self._find_shape()

    def _find_shape(self) -> Shape:
        if self._text.peek() not in _OPENING:
            return Shape.OTHER
        try:
            self._look(DEEPEST)
        except _ToldError as told:
            return told.shape
        except CutOffError:
            return Shape.OTHER
        # An array of nothing, as the API may give it: nobody called.
        return Shape.OTHER if self.outer else Shape.ROWS

    def _look(self, depth: int) -> None:
        """Look into the array or object that begins here; comes back only from one that holds nothing.

        Raises _ToldError or CutOffError.
        """
        if self._text.peek() == "[":
            self._look_into_array(depth)
        else:
            self._look_into_object(depth, as_entry=False)

    def _look_into_array(self, depth: int) -> None:
        for _ in self._text.items():
            if depth and self._text.peek() == "{":
                self._look_into_object(depth - 1, as_entry=depth == DEEPEST)
            elif depth and self._text.peek() == "[":
                self._look_into_array(depth - 1)
            raise _ToldError(Shape.OTHER)

    def _look_into_object(self, depth: int, *, as_entry: bool) -> None:
        found: dict[str, Any] = {}
        with contextlib.suppress(CutOffError):
            for key in self._text.keys():  # noqa: SIM118  (not a dictionary)
                (self.outer if depth == DEEPEST else self.inner).append(key.lower()[:100])
                self._look_at_member(key, depth, found)
                if as_entry and _names_url(found.get("request")):
                    raise _ToldError(Shape.HAR)
        if looks_like_row(found):
            raise _ToldError(Shape.SIGN_INS)
        if read_row(found) is not None:
            raise _ToldError(Shape.ROWS)
        if _EMPTY not in found:
            raise _ToldError(_of_entries(found))
        if "totalcount" in found:  # Microsoft's pages count what they hold
            raise _ToldError(Shape.ROWS)

    def _look_at_member(self, key: str, depth: int, found: dict[str, Any]) -> None:
        """Look at the value behind a key; what cannot be looked into goes into `found`, by its key in lower case."""
        name, opening = key.lower(), self._text.peek()
        if depth == DEEPEST and key == "log" and opening == "{":
            raise _ToldError(Shape.HAR)
        if depth == DEEPEST and key == "entries" and opening == "[":
            found[key] = True
            try:
                self._look_into_array(depth)
            except _ToldError as told:
                raise told if told.shape is Shape.HAR else _ToldError(_of_entries(found)) from None
        elif depth and name in CONTAINERS and opening in _OPENING:
            self._look(depth - 1)
            found[_EMPTY] = True
        else:
            with contextlib.suppress(BrokenError):
                found[name] = self._text.value()


_OPENING: Final = ("[", "{")
# No key of a file's can be this one, since they are in lower case.
_EMPTY: Final = "EMPTY"


class _ToldError(Exception):
    """The shape is known; nothing more needs to be looked at."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape


def _of_entries(found: dict[str, Any]) -> Shape:
    """A HAR where there are entries of somebody who gives a name or the format's version."""
    named = not found.keys().isdisjoint(("creator", "version"))
    return Shape.HAR if found.get("entries") is True and named else Shape.OTHER


def _names_url(request: object) -> bool:
    return isinstance(request, dict) and isinstance(request.get("url"), str)

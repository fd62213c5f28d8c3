"""What a reader of captures could not use, or had to help itself with: counted by reason, the first few
named.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

FIRST_NAMED: Final = 5


class Remarks:
    """The entries of one capture that were `skipped`, and those that were kept with a `note`.

    `is_cut_off` where the end of the file could not be read.

    Reasons are short fixed phrases of ours ("no readable URL"). Places ("entry 17", "session 0003") may hold
    text of the capture: print them through `formats.printable`.
    """

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.is_cut_off = False
        self._places: dict[str, list[str]] = {}

    def skip(self, reason: str, place: str) -> None:
        """Count one entry that is left out for `reason`."""
        self.skipped[reason] += 1
        self._name(reason, place)

    def note(self, what: str, place: str = "") -> None:
        """Count one entry, or the whole file where `place` is empty, that was kept although `what`."""
        self.notes[what] += 1
        if place:
            self._name(what, place)

    def cut_off(self, what: str, place: str = "") -> None:
        """Note that the file ends, or is damaged, before its end."""
        self.is_cut_off = True
        self.note(f"cut off or damaged: {what}", place)

    def places(self, reason: str) -> tuple[str, ...]:
        """The first few places where `reason` was met, in the capture's order."""
        return tuple(self._places.get(reason, ()))

    def _name(self, reason: str, place: str) -> None:
        named = self._places.setdefault(reason, [])
        if len(named) < FIRST_NAMED:
            named.append(place[:80])

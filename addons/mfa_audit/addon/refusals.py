"""Programs that have refused the proxy's certificate, and pass unread for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from mfa_audit.exchanges.exchange import Program

# Seconds that a program's connections pass unread after it has refused the certificate.
WINDOW: Final = 600.0
# Programs remembered at once, far more than one machine runs.
_LIMIT: Final = 1_000


class Refusals:
    """When each known program last refused. Never by address: one refusal would blind us for every program there,
    and fail those that trust nothing but the proxy's authority.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[Program, float] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether any program has refused: until then nobody has to wait for the name of a program."""
        return bool(self._last)

    def note(self, program: Program | None, now: float) -> None:
        """`program` has refused at `now` (seconds of a clock that never goes back). Unknown ones are not noted."""
        if program is not None:
            self._last[program] = now
            self._last.move_to_end(program)
            while len(self._last) > _LIMIT:
                self._last.popitem(last=False)

    def is_recent(self, program: Program | None, now: float) -> bool:
        """Whether `program` has refused within the last `WINDOW` seconds."""
        last = None if program is None else self._last.get(program)
        return last is not None and now - last <= WINDOW

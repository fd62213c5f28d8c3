"""What is counted of calls: one row a count, from which flags, columns, sums and report rows derive."""

from __future__ import annotations

from typing import Final, NamedTuple


class Count(NamedTuple):
    """One thing that is counted. `name` is also the column's in SQL and the key's in JSON; `bit` its bit in
    `calls.flags`, None where reading finds it (Microsoft's lists are matched then)."""

    name: str
    bit: int | None
    meaning: str


# Bits are stored: a new row takes the next bit, and none is ever used again.
COUNTS: Final[tuple[Count, ...]] = (
    Count("accepted", 0, "The answer shows that Partner Center took the token."),
    Count("blocked", 1, "Partner Center refused the call because MFA was missing."),
    Count("blocked_by_test", 2, "The same, on a call that carried MS-Enforce-MFA."),
    Count("expired", 3, "The token was used more than 5 minutes after its expiry."),
    Count("server_compliant", 4, "Partner Center answered isMfaCompliant: true."),
    Count("server_non_compliant", 5, "Partner Center answered isMfaCompliant: false."),
    Count("unanswered", 6, "No answer of Partner Center: the call did not reach it, or its answer not us."),
    Count("refused", 7, "A 401 of Partner Center whose cause is not known."),
    Count("microsoft_compliant", None, "Microsoft's list says of this call: with MFA."),
    Count("microsoft_non_compliant", None, "Microsoft's list says of this call: without MFA."),
)
# Those that have a bit and a column, in the order of their bits.
STORED: Final[tuple[str, ...]] = tuple(count.name for count in COUNTS if count.bit is not None)


class Counts(NamedTuple):
    """How many calls, and of how many of them each of COUNTS holds."""

    calls: int = 0
    accepted: int = 0
    blocked: int = 0
    blocked_by_test: int = 0
    expired: int = 0
    server_compliant: int = 0
    server_non_compliant: int = 0
    unanswered: int = 0
    refused: int = 0
    microsoft_compliant: int = 0
    microsoft_non_compliant: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*map(int.__add__, self, other))


def flags_of(**holds: bool) -> int:
    """The bits of `calls.flags` for these counts. Raises KeyError for a name without a bit."""
    return sum(1 << _BITS[name] for name, true in holds.items() if true)


_BITS: Final = {count.name: count.bit for count in COUNTS if count.bit is not None}

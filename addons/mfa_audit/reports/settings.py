"""How to report: what the person who asks has said."""

from __future__ import annotations

from dataclasses import dataclass

from mfa_audit.judging.clients import Names
from mfa_audit.judging.people import NAMES, People


@dataclass(frozen=True, slots=True)
class Settings:
    """The partner's own names for tools, how to show people, and whether any call without MFA counts.

    `retired` are programs or tools (in lower case) of which the partner says that they will not run again.
    """

    names: Names | None = None
    people: People = NAMES
    strict: bool = False
    retired: frozenset[str] = frozenset()

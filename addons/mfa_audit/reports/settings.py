"""How to report: what the person who asks has said."""

from __future__ import annotations

from dataclasses import dataclass

from mfa_audit.judging.clients import Names
from mfa_audit.judging.people import NAMES, People
from mfa_audit.reports.decisions import NONE, Decisions


@dataclass(frozen=True, slots=True)
class Settings:
    """The partner's own names for tools, how to show people, and whether any call without MFA counts.

    `retired` are programs or tools (in lower case) of which the partner says that they will not run again, without a
    date: it counts for those that did not call in the period. `decisions` are what people decided in a file.
    """

    names: Names | None = None
    people: People = NAMES
    strict: bool = False
    retired: frozenset[str] = frozenset()
    decisions: Decisions = NONE

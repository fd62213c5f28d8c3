"""Why a token lacks MFA, most likely, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """The likely cause in one line, what to do in one line, and the page to read."""

    cause: str
    fix: str
    link: str

"""The rule itself: verdicts, reasons and the decision list, whose order is its meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# Stored tokens that were judged by an older version are judged anew from their claims.
RULES_VERSION: Final = 1


class Verdict(StrEnum):
    """What is known of a token, and of a tool, under Partner Center's MFA rule."""

    COMPLIANT = "compliant"
    NON_COMPLIANT = "non-compliant"
    EXEMPT = "exempt"
    UNDETERMINED = "undetermined"


class Answer(StrEnum):
    """What a whole report says."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"

"""Why a verdict is what it is: one row a reason, with its title, its verdict, its advice and where the rule is from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Verdict(StrEnum):
    """What is known of a token, and of a tool, under Partner Center's MFA rule; worst first."""

    NON_COMPLIANT = "non-compliant"
    UNDETERMINED = "undetermined"
    COMPLIANT = "compliant"
    EXEMPT = "exempt"


_BADNESS: Final = {verdict: place for place, verdict in enumerate(Verdict)}


def badness(verdict: Verdict) -> int:
    """The verdict's place in the order of verdicts: 0 is the worst. For sorting."""
    return _BADNESS[verdict]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of these, which decides for all. Raises ValueError where there is none."""
    return min(verdicts, key=badness)


_LEARN: Final = "https://learn.microsoft.com/partner-center/"
REQUIREMENTS: Final = _LEARN + "security/partner-security-requirements-mandating-mfa"
SECURE_APPLICATION_MODEL: Final = _LEARN + "developer/enable-secure-app-model"
AUTHENTICATION: Final = _LEARN + "developer/partner-center-authentication"
_CLAIMS: Final = "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference"


@dataclass(frozen=True, slots=True)
class Advice:
    """The likely cause in one line, what to do in one line, and the page to read."""

    cause: str
    fix: str
    link: str

    @property
    def text(self) -> str:
        """All of it as sentences on one line, the link last."""
        return f"{self.cause}. {self.fix}. {self.link}"


class Source(StrEnum):
    """How sure a reason is."""

    DOCUMENTED = "documented"  # by Microsoft, at the address that stands beside it
    MEASURED = "measured"  # by tests of this project, against the real software
    INFERRED = "inferred"  # from what is documented; nobody says so
    OURS = "ours"  # a fact about what was seen, not about Microsoft


class Reason(NamedTuple):
    """One reason: the title for people, the verdict that it brings by itself, what to do (None: nothing), and why we
    know. `at` is the address of the source, None where it is our own observation."""

    title: str
    verdict: Verdict
    advice: Advice | None
    source: Source
    at: str | None = None


_NO, _UNKNOWN, _YES, _EXEMPT = Verdict

_ASK_AGAIN: Final = (
    "Consent again with MFA and store the new refresh token; if that does not help, ask Microsoft with "
    "a request id"
)
_USE_PARTNER_CENTER: Final = (
    "Ask for a token for https://api.partnercenter.microsoft.com, or ask the vendor to"
)
_VALIDATE: Final = "Run it with --validate, which asks Partner Center to say whether the call has MFA"

# Most telling first: this is also the order in which the reasons of one tool are listed. The ids are
# stable; each has a heading of its own in docs/verdicts.md.
REASONS: Final[Mapping[str, Reason]] = {
    "blocked": Reason(
        "Partner Center refused a call because MFA was missing",
        _NO,
        Advice("Partner Center refuses the calls because MFA is missing", _ASK_AGAIN, REQUIREMENTS),
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    "blocked-by-test": Reason(
        "Partner Center refused a call that asked it to enforce MFA",
        _NO,
        Advice("Partner Center itself says that the token is without MFA", _ASK_AGAIN, REQUIREMENTS),
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    "server-says-no": Reason(
        "Partner Center answered isMfaCompliant: false",
        _NO,
        Advice("Partner Center itself says that the token is without MFA", _ASK_AGAIN, REQUIREMENTS),
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    "microsoft-says-no": Reason(
        "Microsoft's list names calls of it as without MFA",
        _NO,
        Advice("Microsoft counts calls of this tool as without MFA", _ASK_AGAIN, REQUIREMENTS),
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    "side-by-side": Reason(
        "Calls with and without MFA side by side",
        _UNKNOWN,
        Advice(
            "Probably two jobs share this name, and one of them signs in without MFA",
            "Find the one that ran at the times of the calls without MFA, and fix it",
            REQUIREMENTS,
        ),
        Source.OURS,
    ),
    "recently-changed": Reason(
        "Good tokens so far; wait whether calls without MFA come back",
        _UNKNOWN,
        Advice(
            "The tool has had good tokens since its last call without MFA",
            "Wait for its next runs, with the recorder on",
            REQUIREMENTS,
        ),
        Source.OURS,
    ),
    "fixed-in-capture": Reason(
        "Good tokens after bad ones in a capture, which does not show what came after it",
        _UNKNOWN,
        Advice(
            "A capture shows a moment, and not whether calls without MFA come back",
            "Record the tool's next runs with mfa-audit itself",
            REQUIREMENTS,
        ),
        Source.OURS,
    ),
    "refused-unknown": Reason(
        "Partner Center refuses the token, and does not say why",
        _UNKNOWN,
        Advice(
            "Partner Center answers 401 and names no cause that we know",
            "Look at the answer's body in the tool's own log; if it speaks of MFA, report it to this project",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "retired-audience": Reason(
        "The token is for the retired graph.windows.net",
        _UNKNOWN,
        Advice(
            "The tool asks for tokens for graph.windows.net, which is retired",
            "Ask for https://api.partnercenter.microsoft.com instead",
            AUTHENTICATION,
        ),
        Source.DOCUMENTED,
        AUTHENTICATION,
    ),
    "wrong-audience": Reason(
        "The token is not for Partner Center",
        _UNKNOWN,
        Advice(
            "The tool sends a token that was made for another service", _USE_PARTNER_CENTER, AUTHENTICATION
        ),
        Source.DOCUMENTED,
        AUTHENTICATION,
    ),
    "amr-missing-v2": Reason(
        "A v2.0 token, which does not say how the user signed in",
        _UNKNOWN,
        Advice("A v2.0 token does not say how the user signed in", _VALIDATE, AUTHENTICATION),
        Source.DOCUMENTED,
        _CLAIMS,
    ),
    "amr-missing-unknown-version": Reason(
        "A token of unknown make, which does not say how the user signed in",
        _UNKNOWN,
        Advice("The token does not say how the user signed in", _VALIDATE, AUTHENTICATION),
        Source.INFERRED,
        _CLAIMS,
    ),
    "caller-unknown": Reason(
        "The token does not show whether a user is behind it",
        _UNKNOWN,
        Advice(
            "The token does not show whether a user or only the app is behind it", _VALIDATE, AUTHENTICATION
        ),
        Source.INFERRED,
        _CLAIMS,
    ),
    "encrypted": Reason(
        "The token is encrypted",
        _UNKNOWN,
        Advice("The token is encrypted, so that only Partner Center can tell", _VALIDATE, REQUIREMENTS),
        Source.DOCUMENTED,
        AUTHENTICATION,
    ),
    "opaque": Reason(
        "The token has no readable content",
        _UNKNOWN,
        Advice("The token cannot be read, so that only Partner Center can tell", _VALIDATE, REQUIREMENTS),
        Source.INFERRED,
    ),
    "proof-of-possession": Reason(
        "A proof-of-possession token that cannot be read",
        _UNKNOWN,
        Advice("The token cannot be read, so that only Partner Center can tell", _VALIDATE, REQUIREMENTS),
        Source.INFERRED,
    ),
    "redacted": Reason(
        "The token was taken out before we saw it",
        _UNKNOWN,
        Advice(
            "The tokens were taken out of the capture",
            "Record with mfa-audit itself, or capture again without removing the Authorization header",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "too-long": Reason(
        "The Authorization header is too long to be read",
        _UNKNOWN,
        Advice(
            "The Authorization header is longer than 64 KiB, and no token of Entra's is",
            "Check how the tool builds the header, or ask its vendor",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "several-tokens": Reason(
        "The call carried different tokens at once",
        _UNKNOWN,
        Advice(
            "The tool sends two Authorization headers that differ",
            "Make it send one, or ask its vendor to",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "other-scheme": Reason(
        "The call did not use a bearer token",
        _UNKNOWN,
        Advice(
            "The tool signs in with something other than a bearer token",
            "Check how the tool signs in, or ask its vendor",
            AUTHENTICATION,
        ),
        Source.DOCUMENTED,
        AUTHENTICATION,
    ),
    "not-filled-in": Reason(
        "The call carried the name of a variable, or an empty value, instead of a token",
        _UNKNOWN,
        Advice(
            "The script sent the name of a variable instead of the token in it: the variable was never set, or its "
            "sign-in failed",
            "Check that the script signs in, keeps the token under the name that the header uses, and stops when "
            "the sign-in fails",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "empty-token": Reason(
        "The Authorization header holds no token",
        _UNKNOWN,
        Advice(
            "The tool sends an Authorization header without a token",
            "Check whether its sign-in fails",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "malformed": Reason(
        "The token is broken",
        _UNKNOWN,
        Advice(
            "What the tool sends as its token is not one",
            "Check how the tool keeps and sends its token",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "judging-failed": Reason(
        "mfa-audit failed on this token",
        _UNKNOWN,
        Advice(
            "mfa-audit met a token that it cannot read",
            "Report it to this project, without the token; meanwhile record with --validate",
            REQUIREMENTS,
        ),
        Source.OURS,
    ),
    "not-reached": Reason(
        "The calls did not reach Partner Center",
        _UNKNOWN,
        Advice(
            "No answer of Partner Center came: the way to it is closed, or the tool gave up",
            "Run mfa-audit doctor, which finds what stands in the way",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "expired": Reason(
        "All calls carried an expired token",
        _UNKNOWN,
        Advice(
            "The tool sends a token that has expired, or this machine's clock is wrong",
            "Make it ask for a new token, then look again",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "never-accepted": Reason(
        "Partner Center never accepted the token",
        _UNKNOWN,
        Advice(
            "Partner Center never accepted the token",
            "Fix the tool's sign-in first, then look again",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "amr-without-mfa": Reason(
        "The sign-in behind the token was without MFA",
        _NO,
        Advice(
            "A sign-in on which MFA was not asked for",
            "Enforce MFA for the account, sign in or consent again with it, and store the new refresh token",
            REQUIREMENTS,
        ),
        Source.DOCUMENTED,
        REQUIREMENTS,
    ),
    "amr-missing": Reason(
        "The token names no sign-in method at all",
        _NO,
        Advice(
            "The token does not say how the user signed in, as a token for Partner Center does",
            _USE_PARTNER_CENTER,
            AUTHENTICATION,
        ),
        Source.INFERRED,
        _CLAIMS,
    ),
    "no-token": Reason(
        "The call carried no token",
        _UNKNOWN,
        Advice(
            "The tool sends no token that could be judged",
            "Check how the tool signs in, or ask its vendor",
            AUTHENTICATION,
        ),
        Source.OURS,
    ),
    "server-says-yes": Reason(
        "Partner Center answered isMfaCompliant: true", _YES, None, Source.DOCUMENTED, REQUIREMENTS
    ),
    "microsoft-says-yes": Reason(
        "Microsoft's list names its calls as with MFA", _YES, None, Source.DOCUMENTED, REQUIREMENTS
    ),
    "ngcmfa": Reason("Signed in with MFA (ngcmfa)", _YES, None, Source.INFERRED, _CLAIMS),
    "mfa": Reason("Signed in with MFA", _YES, None, Source.DOCUMENTED, REQUIREMENTS),
    "app-only": Reason(
        "An app's own token: the rule does not apply", _EXEMPT, None, Source.DOCUMENTED, REQUIREMENTS
    ),
}
_RANK: Final = {reason: rank for rank, reason in enumerate(REASONS)}

# Reasons of tokens that show too little to be judged: there the word of Partner Center or Microsoft decides.
DECIDED_BY_SERVER: Final = frozenset(
    {
        *(
            "encrypted",
            "opaque",
            "proof-of-possession",
            "redacted",
            "too-long",
            "malformed",
            "judging-failed",
            "no-token",
        ),
        *("caller-unknown", "amr-missing-v2", "amr-missing-unknown-version", "several-tokens"),
    }
)


# Reasons of which all tokens are one to us: a word on one call is none on another.
NOT_TOLD_APART: Final = frozenset({"redacted", "too-long", "judging-failed", "no-token", "several-tokens"})


def verdict_of(reason: str) -> Verdict:
    """The verdict that a reason brings by itself; undetermined for one that a newer version wrote."""
    known = REASONS.get(reason)
    return Verdict.UNDETERMINED if known is None else known.verdict


def order(reasons: Iterable[str]) -> tuple[str, ...]:
    """These reasons, most telling first; unknown ones (a newer version wrote them) last."""
    return tuple(sorted(reasons, key=lambda reason: (_RANK.get(reason, len(_RANK)), reason)))

"""From a verdict to its likely cause and its fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mfa_audit.judging.verdicts import Verdict, client_proof, words

_LEARN: Final = "https://learn.microsoft.com/partner-center/"
REQUIREMENTS: Final = _LEARN + "security/partner-security-requirements-mandating-mfa"
SECURE_APPLICATION_MODEL: Final = _LEARN + "developer/enable-secure-app-model"
AUTHENTICATION: Final = _LEARN + "developer/partner-center-authentication"


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


SAVED_PASSWORD: Final = Advice(
    "A saved user name and password, or a sign-in on which MFA is not enforced",
    "Stop using the password grant, move to the Secure Application Model, and enforce MFA for the account",
    SECURE_APPLICATION_MODEL,
)
OLD_CONSENT: Final = Advice(
    "The stored refresh token was consented to without MFA",
    "Consent again with MFA and store the new refresh token; if MFA was asked for even then, it is a third "
    "party's that does not tell Entra",
    SECURE_APPLICATION_MODEL,
)
FEDERATED: Final = Advice(
    "A single-factor sign-in on-premises or at another identity provider, or MFA of which Entra is not told",
    "Have the identity provider send the multipleauthn claim and accept it in Entra, or require Entra's MFA "
    "by Conditional Access",
    REQUIREMENTS,
)
NO_MFA: Final = Advice(
    "A sign-in on which MFA was not asked for",
    "Enforce MFA for the account, sign in or consent again with it, and store the new refresh token",
    REQUIREMENTS,
)
NO_METHODS: Final = Advice(
    "The token does not say how the user signed in: a v2.0 token, or one for another resource",
    "Ask for a token for https://api.partnercenter.microsoft.com, or ask the vendor to",
    AUTHENTICATION,
)
RETIRED: Final = Advice(
    "The tool asks for tokens for graph.windows.net, which is retired",
    "Ask for https://api.partnercenter.microsoft.com instead",
    AUTHENTICATION,
)
WRONG_AUDIENCE: Final = Advice(
    "The tool sends a token that was made for another service",
    "Ask for https://api.partnercenter.microsoft.com instead, or ask the vendor to",
    AUTHENTICATION,
)
BLOCKED: Final = Advice(
    "Partner Center refuses the token for want of MFA, although it names MFA",
    "Consent again with MFA and store the new refresh token; if it is still refused, ask Microsoft "
    "with a request id",
    REQUIREMENTS,
)
SERVER_SAYS_NO: Final = Advice(
    "Partner Center itself says that the token is without MFA",
    "Consent again with MFA and store the new refresh token; if the answer stays, ask Microsoft with "
    "a request id",
    REQUIREMENTS,
)
RECENTLY_CHANGED: Final = Advice(
    "The tool has had one good token since its last call without MFA",
    "Wait for its next runs: a second good token, a day after the first, shows that it is mended",
    REQUIREMENTS,
)
UNREADABLE: Final = Advice(
    "The token cannot be read, so that only Partner Center can tell",
    "Run it once with --validate, which asks Partner Center to say whether the call has MFA",
    REQUIREMENTS,
)
REDACTED: Final = Advice(
    "The tokens were taken out of the capture",
    "Record with mfa-audit itself, or capture again without removing the Authorization header",
    AUTHENTICATION,
)
NOT_FILLED_IN: Final = Advice(
    "The script sent the name of a variable instead of the token in it: the variable was never set, or its sign-in "
    "failed",
    "Check that the script signs in, keeps the token under the name that the header uses, and stops when the "
    "sign-in fails",
    AUTHENTICATION,
)
TOO_LONG: Final = Advice(
    "The Authorization header is longer than 64 KiB, and no token of Entra's is",
    "Check how the tool builds the header, or ask its vendor",
    AUTHENTICATION,
)
NEVER_ACCEPTED: Final = Advice(
    "Partner Center never accepted the token, for instance because it had expired",
    "Mend the tool's sign-in first, then look again",
    AUTHENTICATION,
)
NO_BEARER: Final = Advice(
    "The tool sends no bearer token that could be judged",
    "Check how the tool signs in, or ask its vendor",
    AUTHENTICATION,
)
UNKNOWN_CALLER: Final = Advice(
    "The token does not show whether a user or only the app is behind it",
    "Run it once with --validate, which asks Partner Center to say whether the call has MFA",
    AUTHENTICATION,
)

# Reason -> advice, in the order of asking. Reasons of a missing MFA depend on the claims too: see
# `_without_mfa`.
_BY_REASON: Final[tuple[tuple[str, Advice], ...]] = (
    ("recently-changed", RECENTLY_CHANGED),
    ("retired-audience", RETIRED),
    ("wrong-audience", WRONG_AUDIENCE),
    ("amr-missing", NO_METHODS),
    ("amr-missing-v2", NO_METHODS),
    ("amr-missing-unknown-version", NO_METHODS),
    ("blocked", BLOCKED),
    ("blocked-by-test", SERVER_SAYS_NO),
    ("server-says-no", SERVER_SAYS_NO),
    ("caller-unknown", UNKNOWN_CALLER),
    ("redacted", REDACTED),
    ("not-filled-in", NOT_FILLED_IN),
    ("too-long", TOO_LONG),
    ("encrypted", UNREADABLE),
    ("opaque", UNREADABLE),
    ("proof-of-possession", UNREADABLE),
    ("several-tokens", NO_BEARER),
    ("other-scheme", NO_BEARER),
    ("empty-token", NO_BEARER),
    ("malformed", NO_BEARER),
    ("judging-failed", UNREADABLE),
    ("never-accepted", NEVER_ACCEPTED),
    ("no-token", NO_BEARER),
)


def advise(verdict: Verdict, reasons: Sequence[str], claims: Sequence[Mapping[str, Any]]) -> Advice | None:
    """The likely cause and the fix; None where nothing is to be done (compliant, exempt).

    `claims` are those of tokens that fail or cannot be judged, the most telling first; where they cannot be
    read, none.
    """
    if verdict in (Verdict.COMPLIANT, Verdict.EXEMPT):
        return None
    if "amr-without-mfa" in reasons and "recently-changed" not in reasons:
        return _without_mfa(claims[0] if claims else {})
    return next((advice for reason, advice in _BY_REASON if reason in reasons), NO_BEARER)


def _without_mfa(claims: Mapping[str, Any]) -> Advice:
    """By how the user signed in, and whether the client proved itself (only then does it keep a refresh
    token)."""
    methods = set(words(claims.get("amr")))
    if methods & {"wia", "fed", "wiaormfa"}:
        return FEDERATED
    if methods != {"pwd"}:
        return NO_MFA
    return OLD_CONSENT if client_proof(claims) in ("1", "2") else SAVED_PASSWORD

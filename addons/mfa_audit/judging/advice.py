"""From a verdict and its reasons to the likely cause and the fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mfa_audit.judging.reasons import REASONS, REQUIREMENTS, SECURE_APPLICATION_MODEL, Advice, Verdict
from mfa_audit.judging.verdicts import client_proof, words

# What a token without MFA is advised depends on its claims; `amr-without-mfa`'s own row is for all others.
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

# What is waited for comes before what was wrong.
_FIRST: Final = ("side-by-side", "recently-changed", "fixed-in-capture")


def advise(verdict: Verdict, reasons: Sequence[str], claims: Sequence[Mapping[str, Any]]) -> Advice | None:
    """The likely cause and the fix; None where nothing is to be done (compliant, exempt), or where only a newer
    version knows the reasons.

    `reasons` most telling first. `claims` are those of tokens that fail or cannot be judged, the most telling first;
    where they cannot be read, none.
    """
    if verdict in (Verdict.COMPLIANT, Verdict.EXEMPT):
        return None
    waiting = [reason for reason in _FIRST if reason in reasons]
    if verdict is Verdict.NON_COMPLIANT and not waiting:
        # How the user signed in says more than that a call was refused.
        if "amr-without-mfa" in reasons:
            return _without_mfa(claims[0] if claims else {})
        if "amr-missing" in reasons:
            return REASONS["amr-missing"].advice
    known = (REASONS[reason].advice for reason in (*waiting, *reasons) if reason in REASONS)
    return next((advice for advice in known if advice is not None), None)


def _without_mfa(claims: Mapping[str, Any]) -> Advice | None:
    """By how the user signed in, and whether the client proved itself (only then does it keep a refresh
    token)."""
    methods = set(words(claims.get("amr")))
    if methods & {"wia", "fed", "wiaormfa"}:
        return FEDERATED
    if methods != {"pwd"}:
        return REASONS["amr-without-mfa"].advice
    return OLD_CONSENT if client_proof(claims) in ("1", "2") else SAVED_PASSWORD

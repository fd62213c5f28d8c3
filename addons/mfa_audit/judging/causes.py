"""Why a tool signs in without MFA, as Entra's sign-in log proves it: one row a cause, with fix and source. Pure.

A log says what was *required* of a sign-in, not what its token holds. So it may name a cause, and it may make an
application bad that nobody recorded; it never makes one good, and it never fixes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mfa_audit.judging.reasons import REQUIREMENTS, SECURE_APPLICATION_MODEL, Advice, Source

_ENTRA: Final = "https://learn.microsoft.com/entra/identity-platform/"


class SignInFacts(NamedTuple):
    """Sign-ins of one application and user that the log tells alike. Times in seconds since 1970 (UTC).

    `for_partner_center`: the resource was Partner Center's API. `policies`: Conditional Access, (name, result).
    `times`: how many, from `first` to `last`.
    """

    application_id: str
    application: str | None
    for_partner_center: bool
    kind: str | None
    protocol: str | None
    requirement: str | None
    required_by: tuple[str, ...]
    conditional_access: str | None
    policies: tuple[tuple[str, str], ...]
    mfa: str | None
    error: int | None
    trusted_network: bool | None
    times: int
    first: float
    last: float


class CauseRow(NamedTuple):
    """A cause: its name for people after "signed in", the advice, what else a fix does, and how it is known."""

    id: str
    holds: Callable[[SignInFacts], bool]
    title: str
    advice: Advice
    side_effect: str | None
    source: Source
    at: str


def _succeeded(one: SignInFacts) -> bool:
    return one.error == 0


def _single(one: SignInFacts) -> bool:
    return _succeeded(one) and (one.requirement or "").lower() == "singlefactorauthentication"


def _failed_with(*codes: int) -> Callable[[SignInFacts], bool]:
    return lambda one: one.error in codes


# The most telling first; of one sign-in the first that holds counts.
CAUSES: Final[Sequence[CauseRow]] = (
    CauseRow(
        "password-grant",
        lambda one: _succeeded(one) and (one.protocol or "").lower() == "ropc",
        "with the password grant (a saved user name and password)",
        Advice(
            "Signed in with a saved user name and password, which no MFA can be part of",
            "Stop using the password grant, move to the Secure Application Model, and enforce MFA for the account",
            SECURE_APPLICATION_MODEL,
        ),
        None,
        Source.DOCUMENTED,
        _ENTRA + "v2-oauth-ropc",
    ),
    CauseRow(
        "trusted-location",
        lambda one: _single(one) and one.trusted_network is True,
        "from a trusted network, where MFA was not asked for",
        Advice(
            "Signed in from a network that a Conditional Access policy trusts, so that MFA was skipped",
            "Consent again from outside that network, in a private window, or take the account out of the exception",
            REQUIREMENTS,
        ),
        "Who re-authorises at a vendor may have to approve its tenants again.",
        Source.INFERRED,
        "https://learn.microsoft.com/entra/identity/conditional-access/concept-assignment-network",
    ),
    CauseRow(
        "no-policy",
        lambda one: _single(one) and not one.policies,
        "while no policy asked for MFA",
        Advice(
            "No Conditional Access policy and no security default asked this sign-in for MFA",
            "Require MFA for the account (service accounts too), then sign in or consent again and store the new "
            "refresh token; turning security defaults off is no fix but a cause",
            REQUIREMENTS,
        ),
        "Who re-authorises at a vendor may have to approve its tenants again.",
        Source.DOCUMENTED,
        "https://learn.microsoft.com/entra/identity/conditional-access/policy-all-users-mfa-strength",
    ),
    CauseRow(
        "policy-without-mfa",
        _single,
        "under policies that did not ask for MFA",
        Advice(
            "Conditional Access policies applied to this sign-in, and none of them asked for MFA",
            "Add the account and this application to a policy that requires MFA; custom controls do not give the token "
            "an MFA claim, Entra's own MFA does",
            REQUIREMENTS,
        ),
        None,
        Source.DOCUMENTED,
        "https://learn.microsoft.com/entra/identity/conditional-access/controls",
    ),
    CauseRow(
        "grant-gone",
        _failed_with(50173, 700082, 700084, 70043),
        "no more: the stored grant has ended",
        Advice(
            "The stored refresh token has ended: a changed password, a revocation, a deleted device, or 90 days unused",
            "Consent again with MFA, store the new refresh token, and renew it at least every 90 days",
            SECURE_APPLICATION_MODEL,
        ),
        "Who re-authorises at a vendor may have to approve its tenants again.",
        Source.DOCUMENTED,
        _ENTRA + "reference-error-codes",
    ),
    CauseRow(
        "mfa-expired",
        _failed_with(50078, 50133),
        "no more: MFA has to be done again (sign-in frequency)",
        Advice(
            "The MFA behind the stored refresh token is too old for the account's sign-in frequency",
            "Review sign-in frequency and remembered MFA for the account, then consent again with MFA",
            REQUIREMENTS,
        ),
        None,
        Source.DOCUMENTED,
        _ENTRA + "reference-error-codes",
    ),
    CauseRow(
        "mfa-asked",
        _failed_with(50074, 50076, 50079, 50072),
        "without the MFA that a policy asks for, and was refused a token",
        Advice(
            "A policy asks for MFA and the tool cannot answer; for one customer's calls only, it is that customer's",
            "Consent again with MFA and store the new refresh token; for a customer's policy, ask that customer",
            REQUIREMENTS,
        ),
        None,
        Source.DOCUMENTED,
        _ENTRA + "reference-error-codes",
    ),
    CauseRow(
        "not-consented",
        _failed_with(65001, 65002),
        "with an application that has no consent for Partner Center",
        Advice(
            "The application has no consent for Partner Center's API",
            "Consent to it with MFA, or use your own app registration",
            SECURE_APPLICATION_MODEL,
        ),
        None,
        Source.DOCUMENTED,
        _ENTRA + "reference-error-codes",
    ),
)
_BY_ID: Final[Mapping[str, CauseRow]] = {row.id: row for row in CAUSES}


class Cause(NamedTuple):
    """A cause that the log proves for a tool: how many sign-ins, the last of them (seconds since 1970, UTC), and the
    Conditional Access policies that had a part in it, as (name, result)."""

    id: str
    sign_ins: int
    last: float
    policies: tuple[tuple[str, str], ...]

    @property
    def row(self) -> CauseRow:
        """What is known of this cause."""
        return _BY_ID[self.id]


def cause_of(one: SignInFacts) -> CauseRow | None:
    """The first cause that such a sign-in proves; None where it asked for MFA and got it, or proves nothing."""
    return next((row for row in CAUSES if row.holds(one)), None)


def find_causes(sign_ins: Iterable[SignInFacts]) -> tuple[Cause, ...]:
    """The causes that these sign-ins prove, the most telling first."""
    found: dict[str, Cause] = {}
    for one in sorted(sign_ins, key=lambda one: one.last):
        row = cause_of(one)
        if row is not None:
            before = found.get(row.id)
            found[row.id] = Cause(
                row.id, one.times + (before.sign_ins if before else 0), one.last, one.policies
            )
    order = [row.id for row in CAUSES]
    return tuple(sorted(found.values(), key=lambda cause: order.index(cause.id)))


def fails(sign_ins: Iterable[SignInFacts]) -> bool:
    """Whether an application's latest token for Partner Center was got by the password grant: it cannot hold MFA.

    Later tokens that were got in another way do not show that the job was fixed, only that the log cannot tell.
    """
    got = [one for one in sign_ins if one.for_partner_center and _succeeded(one)]
    # Of two in the same second nobody knows which came later.
    latest = max(got, key=lambda one: (one.last, cause_of(one) is CAUSES[0]), default=None)
    return latest is not None and cause_of(latest) is CAUSES[0]

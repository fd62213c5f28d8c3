"""What a sign-in log proves: by every row of the table, and by which sign-in decides."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_audit.judging.causes import CAUSES, SignInFacts, cause_of, fails, find_causes

POLICY = (("Require MFA for admins", "notApplied"),)


def sign_in(**changes: Any) -> SignInFacts:
    """A sign-in to Partner Center with a single factor, from anywhere, under a policy that did not ask for MFA."""
    values: dict[str, Any] = {
        "application_id": "5d2b6f60-0000-4000-8000-0000000c1133",
        "application": "Nightly sync",
        "for_partner_center": True,
        "kind": "non-interactive",
        "protocol": "oAuth2",
        "requirement": "singleFactorAuthentication",
        "required_by": (),
        "conditional_access": "success",
        "policies": POLICY,
        "mfa": None,
        "error": 0,
        "trusted_network": False,
        "times": 1,
        "first": 100.0,
        "last": 100.0,
    }
    return SignInFacts(**(values | changes))


ROPC = {"protocol": "ropc", "policies": (), "trusted_network": True}
REQUIRED = {"requirement": "multiFactorAuthentication"}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        # The first that holds: a saved password is the cause wherever and under whatever policy it is used.
        (ROPC, "password-grant"),
        ({**ROPC, **REQUIRED, "protocol": "ROPC"}, "password-grant"),
        ({"trusted_network": True, "policies": ()}, "trusted-location"),
        ({"policies": ()}, "no-policy"),
        ({"policies": (), "trusted_network": None}, "no-policy"),
        ({}, "policy-without-mfa"),
        *(
            ({"protocol": protocol}, "policy-without-mfa")
            for protocol in ("wsFederation", "deviceCode", None)
        ),
        ({"requirement": "SingleFactorAuthentication"}, "policy-without-mfa"),
        *(({"error": code}, "grant-gone") for code in (50173, 700082, 700084, 70043)),
        *(({"error": code}, "mfa-expired") for code in (50078, 50133)),
        *(({"error": code}, "mfa-asked") for code in (50074, 50076, 50079, 50072)),
        *(({"error": code}, "not-consented") for code in (65001, 65002)),
        # Nothing is proven where MFA was asked for and done, where a refusal has another cause, and by what is unknown.
        (REQUIRED, None),
        ({"requirement": None}, None),
        ({"error": 50126}, None),
        ({**ROPC, "error": 50126}, None),
        ({"error": None}, None),
        ({**ROPC, "error": None}, None),
    ],
)
def test_each_cause(changes: dict[str, Any], cause: str | None) -> None:
    """A sign-in proves the most telling cause that holds for it; a failed one only what its error code says."""
    found = cause_of(sign_in(**changes))
    assert cause == (None if found is None else found.id)


def test_causes_are_summed_by_kind() -> None:
    """Each cause once, most telling first, with all its sign-ins, and the time and policies of the last of them."""
    newer = (("Block legacy clients", "success"),)
    found = find_causes(
        [
            sign_in(times=3, last=300.0, policies=newer),
            sign_in(times=3, last=200.0),
            sign_in(**REQUIRED, times=50, last=900.0),
            sign_in(**ROPC, times=1, last=50.0),
        ]
    )
    assert [("password-grant", 1, 50.0, ()), ("policy-without-mfa", 6, 300.0, newer)] == list(
        map(tuple, found)
    )
    assert [CAUSES[0], CAUSES[3]] == [cause.row for cause in found]


@pytest.mark.parametrize(
    ("sign_ins", "failing"),
    [
        ([sign_in(**ROPC)], True),
        ([], False),
        ([sign_in()], False),
        ([sign_in(**ROPC, for_partner_center=False)], False),
        ([sign_in(**ROPC, error=50126)], False),
        ([sign_in(**ROPC, last=2.0), sign_in(last=1.0)], True),
        ([sign_in(last=1.0), sign_in(**ROPC, last=2.0)], True),
        ([sign_in(**ROPC, last=1.0), sign_in(last=2.0)], False),
        # Neither a later failure nor a later token for something else takes its place.
        ([sign_in(**ROPC, last=1.0), sign_in(last=2.0, error=50076)], True),
        ([sign_in(**ROPC, last=1.0), sign_in(last=2.0, for_partner_center=False)], True),
    ],
)
def test_what_fails(sign_ins: list[SignInFacts], failing: bool) -> None:
    """An application fails by its log if its latest token for Partner Center was got with a saved password."""
    assert failing is fails(sign_ins)

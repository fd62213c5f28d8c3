"""The decision list, by every row of the rule; each row names its source."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfa_audit.judging.reasons import REASONS, Verdict, order
from mfa_audit.judging.verdicts import AUDIENCES, Caller, Form, caller, judge

# A busy machine makes drawing and running slow, which says nothing of what is tested.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# As published by Microsoft for Partner Center (documented).
PUBLISHED: dict[str, Any] = {
    "aud": "https://api.partnercenter.microsoft.com",
    "iss": "https://sts.windows.net/7ca5f3de-0000-4000-8000-c0170500e001/",
    "acr": "1",
    "amr": ["pwd", "mfa"],
    "appid": "5d2b6f60-0000-4000-8000-0000000c1133",
    "appidacr": "0",
    "name": "Dana Demo",
    "oid": "a8c4f3a2-0000-4000-8000-0000000da0a1",
    "scp": "user_impersonation",
    "tid": "7ca5f3de-0000-4000-8000-c0170500e001",
    "unique_name": "dana@contoso.example",
    "upn": "dana@contoso.example",
    "ver": "1.0",
}
PRINCIPAL = "b71e0c55-0000-4000-8000-00000000a991"
# A token of which nothing shows whether a user is behind it.
UNKNOWN = {"aud": PUBLISHED["aud"], "appidacr": "1", "oid": "1", "sub": "2", "ver": "1.0"}
DOC, SECOND, OURS = "documented", "second-hand", "our own rule"


def changed(**claims: Any) -> dict[str, Any]:
    return {name: value for name, value in {**PUBLISHED, **claims}.items() if value is not None}


@pytest.mark.parametrize(
    ("source", "form", "claims", "reason"),
    [
        (DOC, Form.V1, PUBLISHED, "mfa"),
        (DOC, Form.V1, changed(amr=["pwd", "ngcmfa"]), "ngcmfa"),
        (DOC, Form.V1, changed(amr=["ngcmfa", "mfa"]), "mfa"),
        (DOC, Form.V1, changed(amr=["wia"]), "amr-without-mfa"),
        (DOC, Form.V1, changed(amr=["pwd"]), "amr-without-mfa"),
        (DOC, Form.V1, changed(amr=["wiaormfa"]), "amr-without-mfa"),
        (OURS, Form.V1, changed(amr="mfa"), "mfa"),
        (OURS, Form.V1, changed(amr="pwd MFA"), "mfa"),
        (OURS, Form.V1, changed(amr=["PWD", "Mfa"]), "mfa"),
        (OURS, Form.V1, changed(amr=["pwd", "brand-new", 7, None, ["mfa"]]), "amr-without-mfa"),
        (DOC, Form.V1, changed(amr=["pwd"], acr="1", acrs=["c1", "mfa"]), "amr-without-mfa"),
        (DOC, Form.V1, changed(amr=None), "amr-missing"),
        (OURS, Form.V1, changed(amr=[]), "amr-missing"),
        (DOC, Form.V2, changed(amr=None, ver="2.0"), "amr-missing-v2"),
        (DOC, Form.V2, changed(amr=["pwd"], ver="2.0"), "amr-without-mfa"),
        (OURS, Form.JWT, {"scp": "x"}, "amr-missing-unknown-version"),
        (DOC, Form.V1, changed(aud="https://graph.windows.net/"), "retired-audience"),
        (DOC, Form.V1, changed(aud="00000002-0000-0000-c000-000000000000"), "retired-audience"),
        (DOC, Form.V1, changed(aud="https://graph.microsoft.com"), "wrong-audience"),
        (DOC, Form.V1, changed(aud="https://api.partnercenter.microsoft.com.evil.example"), "wrong-audience"),
        (DOC, Form.V1, changed(aud="https://graph.microsoft.com", amr=["pwd"]), "wrong-audience"),
        (OURS, Form.V1, changed(aud=None), "mfa"),
        (OURS, Form.V1, changed(aud=["https://other.example", PUBLISHED["aud"]]), "mfa"),
        (
            DOC,
            Form.V1,
            {"oid": PRINCIPAL, "sub": PRINCIPAL, "appidacr": "1", "aud": PUBLISHED["aud"]},
            "app-only",
        ),
        (DOC, Form.V1, changed(idtyp="app", amr=["pwd"]), "app-only"),
        (DOC, Form.V1, changed(idtyp="app", aud="https://graph.windows.net"), "app-only"),
        (OURS, Form.V1, {**UNKNOWN, "amr": ["pwd"]}, "caller-unknown"),
        (OURS, Form.V1, {**UNKNOWN, "amr": ["rsa"]}, "caller-unknown"),
        (OURS, Form.V1, {**UNKNOWN, "amr": ["wia"]}, "amr-without-mfa"),
        (OURS, Form.V1, {**UNKNOWN, "amr": ["pwd"], "appidacr": "0"}, "amr-without-mfa"),
        (OURS, Form.V1, {**UNKNOWN, "amr": ["pwd", "mfa"]}, "mfa"),
        (OURS, Form.V1, UNKNOWN, "caller-unknown"),
        (OURS, Form.ENCRYPTED, {}, "encrypted"),
        (OURS, Form.OPAQUE, {}, "opaque"),
        (OURS, Form.POP, {}, "proof-of-possession"),
        (OURS, Form.REDACTED, {}, "redacted"),
        (OURS, Form.MALFORMED, {}, "malformed"),
        (OURS, Form.OTHER_SCHEME, {}, "other-scheme"),
        (OURS, Form.NONE, {}, "no-token"),
    ],
)
def test_each_row_of_the_rule(source: str, form: Form, claims: dict[str, Any], reason: str) -> None:
    """A form and its claims give the reason that the rule's source says, and that reason's verdict."""
    assert (REASONS[reason].verdict, reason) == judge(form, claims)


@pytest.mark.parametrize(
    "method",
    """pwd rsa otp fed wia wiaormfa none totp hotp sms tel emailotp tap fido hwk swk x509 mngcmfa
    face fpt geo iris kba mca pin pop rba retina sc user vbm""".split(),  # noqa: SIM905
)
def test_no_other_method_implies_mfa(method: str) -> None:
    """Of all documented amr values only mfa and ngcmfa count (documented)."""
    assert (Verdict.NON_COMPLIANT, "amr-without-mfa") == judge(Form.V1, changed(amr=[method]))


# The API's hosts in each cloud, its application id, and the aliases in that application's manifest.
PUBLISHED_AUDIENCES = [
    "https://api.partnercenter.microsoft.com",
    "https://partner.partnercenterapi.microsoftonline.cn",
    "https://api.partner.microsoft.com",
    "https://api.partnercenter.microsoft-ppe.com",
    "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd",
    "https://partnerapi.store.microsoft.com",
    "https://partnercenterapi.store.microsoft.com",
    "https://reseller.microsoft.com",
    "https://accountmgmtservice.dce.mp.microsoft.com",
]


@pytest.mark.parametrize("audience", sorted({*PUBLISHED_AUDIENCES, *AUDIENCES}))
@pytest.mark.parametrize("end", ["", "/"])
def test_each_audience_of_partner_center(audience: str, end: str) -> None:
    """Each alias counts, with and without the closing slash, in any letters' case (documented)."""
    assert (Verdict.COMPLIANT, "mfa") == judge(Form.V1, changed(aud=audience.upper() + end))


@pytest.mark.parametrize(
    ("source", "claims", "expected"),
    [
        (DOC, {"idtyp": "app", "scp": "x"}, Caller.APP),
        (DOC, {"idtyp": "user", "roles": ["x"]}, Caller.USER),
        (OURS, {"idtyp": "device", "scp": "x"}, Caller.UNKNOWN),
        (DOC, {"scp": "user_impersonation", "roles": ["x"]}, Caller.USER),
        (DOC, {"scp": " ", "roles": ["x"]}, Caller.APP),
        (DOC, {"roles": ["x"]}, Caller.APP),
        (DOC, {"roles": ["x"], "upn": "a@b.example"}, Caller.USER),
        (DOC, {"roles": []}, Caller.UNKNOWN),
        (DOC, {"oid": "1", "sub": "1", "appidacr": "1"}, Caller.APP),
        (DOC, {"oid": "1", "sub": "1", "azpacr": "2"}, Caller.APP),
        (OURS, {"oid": "1", "sub": "1", "azpacr": 2}, Caller.APP),
        (DOC, {"oid": "1", "sub": "1", "appidacr": "0"}, Caller.UNKNOWN),
        (DOC, {"oid": "1", "sub": "2", "appidacr": "1"}, Caller.UNKNOWN),
        (DOC, {"oid": "1", "sub": "1", "appidacr": "1", "unique_name": "a@b.example"}, Caller.USER),
        (DOC, {"sub": "1", "appidacr": "1"}, Caller.UNKNOWN),
        (DOC, {"amr": ["pwd"]}, Caller.UNKNOWN),
        (DOC, {"amr": ["rsa"], "appidacr": "2"}, Caller.UNKNOWN),
    ],
)
def test_who_is_behind_a_token(source: str, claims: dict[str, Any], expected: Caller) -> None:
    """App or user is decided by idtyp, scp, roles and oid = sub, in that order, never by amr."""
    assert expected == caller(claims)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
LOOKED_AT = ["aud", "amr", "scp", "roles", "idtyp", "oid", "sub", "upn", "unique_name", "appidacr", "azpacr"]


@UNHURRIED
@given(st.sampled_from(Form), st.dictionaries(st.sampled_from(LOOKED_AT), ANYTHING))
def test_any_claims_are_judged(form: Form, claims: dict[str, Any]) -> None:
    """Claims of any type give a known reason with its own verdict, the same each time, and nothing raises."""
    verdict, reason = judge(form, claims)
    assert REASONS[reason].verdict is verdict
    assert (verdict, reason) == judge(form, dict(reversed(claims.items())))


@UNHURRIED
@given(st.dictionaries(st.text(max_size=6).filter(lambda name: name not in LOOKED_AT), ANYTHING, max_size=4))
def test_other_claims_change_nothing(further: dict[str, Any]) -> None:
    """Claims that the rule does not name have no part in the verdict."""
    further = {name: value for name, value in further.items() if name not in ("preferred_username",)}
    assert judge(Form.V1, PUBLISHED) == judge(Form.V1, {**further, **PUBLISHED})


def test_reasons_come_most_telling_first() -> None:
    """What the server did stands before what the claims say; ids of a newer version come last."""
    assert ("blocked", "amr-without-mfa", "of-the-future") == order(
        {"of-the-future", "amr-without-mfa", "blocked"}
    )

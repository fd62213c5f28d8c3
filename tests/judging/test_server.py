"""The server's own word, in every form that it is known to take."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.judging.server import Cause, accepted, refusal, unanswered, word


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("reason_phrase", "content", "challenge"),
    [
        ("Unauthorized - MFA required", None, 'Bearer error="invalid_token"'),
        ("unauthorized - mfa REQUIRED", b"", None),
        ("", body(code=900421, description="x", data=[], source="y"), None),
        ("", body(code="900421", description="x"), None),
        ("", body(code=" 900421 "), None),
        ("", body(code=900421.0), None),
        ("", body(error={"Code": "900421"}), None),
        ("", body(errors=[{"x": 1}, {"errorCode": 900421}]), None),
        ("", json.dumps(json.dumps({"code": 900421})).encode(), None),
        ("", b"\xef\xbb\xbf" + body(code=900421), None),
        ("", json.dumps({"code": 900421}).encode("utf-16"), None),
        ("", body(code=1, description="MFA required. (10001)"), None),
        ("", b"MFA required. (10001)", None),
        ("", b"<Error><Code>900421</Code></Error>", None),
        ("", b'{"code": 900421, "description": "cut sho', None),
        ("", None, 'Bearer error="invalid_token", error_description="MFA required"'),
        ("", body(message="see error 900421 of the service"), None),
        ("", body(message="(900421)"), None),
        ("", body(message="MFA claim is missing from the token"), None),
        ("", body(message="Multi-factor authentication (MFA) is required for this call."), None),
        ("", body(message="The token lacks multi-factor authentication"), None),
        ("", body(message="This operation requires MFA"), None),
        ("", body(error={"code": "Unauthorized_MissingMFA", "message": "x"}), None),
        ("Unauthorized_MissingMFA", None, None),
    ],
)
def test_refusals_because_mfa_was_missing(
    reason_phrase: str, content: bytes | None, challenge: str | None
) -> None:
    """All known forms are recognised, over HTTP/2 (no reason phrase) too, with a 401 or 403 and nothing else."""
    assert Cause.MFA is refusal(401, reason_phrase, content, challenge)
    assert Cause.MFA is refusal(403, reason_phrase, content, challenge)
    for status in (None, 200, 400, 404, 407, 500):
        assert None is refusal(status, reason_phrase, content, challenge)


@pytest.mark.parametrize(
    ("reason_phrase", "content", "challenge"),
    [
        ("Unauthorized", None, 'Bearer error="invalid_token"'),
        ("", body(code=900420), None),
        ("", body(code="900308"), None),
        ("", body(code=900309), None),
        ("", body(code=900329), None),
        ("", body(code=9004210), None),
        ("", body(code=True), None),
        ("", body(id=900421), None),
        ("", body(message="request 1900421, 900421.5 or 900421-1"), None),
        ("", body(message="MFA is not required for this call"), None),
        ("", None, 'Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'),
        ("", b"[" * 100_000, None),
        ("", b'"' + b"\xff" * 50 + b'"', None),
        ("", b"", None),
    ],
)
def test_other_refusals(reason_phrase: str, content: bytes | None, challenge: str | None) -> None:
    """Wrong audience, rights, conditional access, continuous access and garbage do not say that MFA is missing."""
    assert refusal(401, reason_phrase, content, challenge) in (Cause.OTHER, Cause.UNKNOWN)
    assert refusal(403, reason_phrase, content, challenge) is Cause.OTHER


@pytest.mark.parametrize(
    ("content", "challenge", "cause"),
    [
        (body(code=900420), None, Cause.OTHER),
        (body(code="900308"), None, Cause.OTHER),
        (b"Error 900309: conditional access", None, Cause.OTHER),
        (body(code=900329), None, Cause.OTHER),
        (None, 'Bearer error="insufficient_claims", claims="eyJ9"', Cause.OTHER),
        (None, 'Bearer error="invalid_token"', Cause.UNKNOWN),
        (body(code=900999), None, Cause.UNKNOWN),
    ],
)
def test_a_401_that_nobody_explained_is_unknown(
    content: bytes | None, challenge: str | None, cause: Cause
) -> None:
    """Near misses are known to be something else; any other 401 may be the form that was never published."""
    assert cause is refusal(401, "", content, challenge)


@given(st.text(max_size=40), st.binary(max_size=200), st.text(max_size=40))
def test_no_answer_raises(reason_phrase: str, content: bytes, challenge: str) -> None:
    """Any bytes in an answer are read without an error, as no refusal."""
    assert refusal(401, reason_phrase, content, challenge) is not Cause.MFA


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, True) for status in (200, 204, 299)),
        *(
            (status, False)
            for status in (None, 0, 101, 302, 304, 400, 401, 407, 429, 499, 500, 502, 503, 599)
        ),
    ],
)
def test_accepted(status: int | None, expected: bool) -> None:
    """A 2xx shows that a token was taken; a redirection may be a cache's, and the rest may come before it is read."""
    assert expected is accepted(status)
    assert expected is accepted(status, own_id=True)


@pytest.mark.parametrize("status", [403, 404, 409])
def test_partner_centers_own_refusal_of_the_thing_asked_for(status: int) -> None:
    """These come after the token was looked at, if they are Partner Center's own, which its request id shows."""
    assert accepted(status, own_id=True)
    assert not accepted(status)


@pytest.mark.parametrize(
    ("status", "own_id", "expected"),
    [
        (None, False, True),
        (502, False, True),
        (407, False, True),
        (503, True, False),
        (401, False, False),
        (500, False, False),
        (200, False, False),
    ],
)
def test_no_answer_is_no_refusal(status: int | None, own_id: bool, expected: bool) -> None:
    """Nothing, or what a proxy in between says, is no answer of Partner Center."""
    assert expected is unanswered(status, own_id=own_id)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), (" True ", True), ('"TRUE"', True), ("false", False), ("FALSE", False)]
    + [("true, false", False), ("False,True", False), ("true, true", True)]
    + [(value, None) for value in (None, "", "1", "yes", "true, maybe", "truefalse")],
)
def test_is_mfa_compliant(value: str | None, expected: bool | None) -> None:
    """isMfaCompliant says yes, no, or nothing that we understand."""
    assert expected is word(value)

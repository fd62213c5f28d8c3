"""The server's own word, in every form that it is known to take."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.judging.server import accepted, refused_for_mfa, word


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
    ],
)
def test_refusals_for_want_of_mfa(reason_phrase: str, content: bytes | None, challenge: str | None) -> None:
    """The three known forms are recognised, over HTTP/2 (no reason phrase) too, but only with a 401."""
    assert refused_for_mfa(401, reason_phrase, content, challenge)
    assert not refused_for_mfa(403, reason_phrase, content, challenge)
    assert not refused_for_mfa(None, reason_phrase, content, challenge)


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
        ("", body(description="see request 900421"), None),
        ("", None, 'Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'),
        ("", b"[" * 100_000, None),
        ("", b'"' + b"\xff" * 50 + b'"', None),
        ("", b"", None),
    ],
)
def test_other_refusals(reason_phrase: str, content: bytes | None, challenge: str | None) -> None:
    """Wrong audience, rights, conditional access, continuous access and garbage are not a want of MFA."""
    assert not refused_for_mfa(401, reason_phrase, content, challenge)


@given(st.text(max_size=40), st.binary(max_size=200), st.text(max_size=40))
def test_no_answer_raises(reason_phrase: str, content: bytes, challenge: str) -> None:
    """Any bytes in an answer are read without an error, as no refusal."""
    assert not refused_for_mfa(401, reason_phrase, content, challenge)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, True) for status in (200, 204, 302, 304, 400, 403, 404, 409, 499)),
        *((status, False) for status in (None, 0, 101, 401, 407, 429, 500, 502, 503, 599)),
    ],
)
def test_accepted(status: int | None, expected: bool) -> None:
    """A token was accepted by any answer from 200 to 499 that comes after looking at it."""
    assert expected is accepted(status)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), (" True ", True), ('"TRUE"', True), ("false", False), ("FALSE", False)]
    + [("true, false", False), ("False,True", False), ("true, true", True)]
    + [(value, None) for value in (None, "", "1", "yes", "true, maybe", "truefalse")],
)
def test_is_mfa_compliant(value: str | None, expected: bool | None) -> None:
    """isMfaCompliant says yes, no, or nothing that we understand."""
    assert expected is word(value)

"""What a pasted text is, when it is no access token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.commands.demo.sample_tokens import make_app_token, make_token, make_user_token
from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging.credentials import APP_KEY, IDENTITY, NOTHING, REFRESH, name_other
from mfa_audit.judging.tokens import read

CLIENT = "5d2b6f60-0000-4000-8000-0000000c1133"


def name(value: str) -> str | None:
    secret = Secret(value.encode())
    return name_other(secret, read([secret]))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("0.AXoA3vWlfAAAQA-AwBcFAOAB" + "x9Y-_" * 40, REFRESH),
        ("1.AXoA3vWlfAAAQA.AgABAwEAAAAPTw" + "x9Y-_" * 40, REFRESH),
        ("Bearer 0.AXoA3vWlfAAAQA.AgABAwEAAAAPTw", REFRESH),
        ("M.C543_BAY.0.U.-Cq1!x*y$", REFRESH),
        (make_token({"aud": CLIENT, "nonce": "n", "amr": ["mfa"], "ver": "1.0"}), IDENTITY),
        (make_token({"aud": CLIENT, "preferred_username": "x", "ver": "2.0"}), IDENTITY),
        (make_token({"aud": CLIENT, "azp": CLIENT, "nonce": "n"}), IDENTITY),
        ("abc8Q~" + "x" * 34, APP_KEY),
        ("hunter2", NOTHING),
        ("token.txt", NOTHING),
        ("C:\\\\Users\\\\dana\\\\token.txt", NOTHING),
        ("please check this", NOTHING),
        (CLIENT, NOTHING),
        ("\u00e9", NOTHING),
    ],
)
def test_what_it_is_instead(value: str, what: str) -> None:
    """Refresh tokens, id tokens, client secrets, words and names of files are told apart."""
    assert what == name(value)


@pytest.mark.parametrize(
    "value",
    [
        make_user_token("mfa"), make_app_token(), make_user_token("pwd", ver="2.0"), "Bearer eyJhbGciOiJub25lIn0",
        make_app_token(aud="https://graph.microsoft.com"), make_user_token("mfa", aud="https://graph.microsoft.com"),
        make_token({"aud": "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd", "nonce": "n"}), make_token({"upn": "x"}),
        make_token({"aud": CLIENT, "roles": ["x"], "azp": "y"}), "EwB4A8l6BAAUO9chh8cJscQLmU" * 5, "Bearer",
        "Basic ZGFuYTpodW50ZXIy", "Bearer REMOVED", "Bearer $TOKEN", "Bearer " + "x" * 70_000,
    ],
)  # fmt: skip
def test_what_may_be_an_access_token(value: str) -> None:
    """Access tokens for anything, opaque ones, other schemes and broken headers have a verdict of their own."""
    assert None is name(value)


@given(st.binary(max_size=120))
def test_no_bytes_raise(value: bytes) -> None:
    """Any bytes may be pasted."""
    for one in (Secret(value), Secret(b"0.A" + value), Secret(b"Bearer " + value)):
        name_other(one, read([one]))

"""The made-up tokens are what PyJWT takes for tokens."""

from __future__ import annotations

import time

import jwt
import pytest

from mfa_audit.commands.demo.sample_tokens import (
    TENANT,
    make_app_token,
    make_token,
    make_user_token,
    read_claims,
)


def test_a_user_token_is_a_well_formed_jwt() -> None:
    """PyJWT reads the claims, which are current and of the made-up tenant."""
    claims = jwt.decode(make_user_token("pwd", "mfa"), options={"verify_signature": False})
    assert (["pwd", "mfa"], TENANT, "1.0") == (claims["amr"], claims["tid"], claims["ver"])
    assert claims["iat"] <= time.time() < claims["exp"]


def test_claims_can_be_changed_added_and_taken_out() -> None:
    """None takes a claim out, anything else replaces or adds one."""
    claims = read_claims(make_user_token("pwd", upn=None, acr="0", uti="abc"))
    assert claims is not None
    assert (False, "0", "abc") == ("upn" in claims, claims["acr"], claims["uti"])


def test_without_methods_there_is_no_amr() -> None:
    """A user token made without methods has no `amr` claim at all."""
    assert "amr" not in (read_claims(make_user_token()) or {"amr": 1})


def test_an_app_token_names_no_user() -> None:
    """An app-only token has roles and neither scope nor user."""
    claims = read_claims(make_app_token()) or {}
    assert {"roles"} == claims.keys() & {"roles", "scp", "upn", "unique_name", "amr"}


def test_the_signature_is_as_long_as_a_real_one() -> None:
    """The signature has the length of RS256's, and differs from token to token."""
    signatures = {make_token({"n": n}).split(".")[2] for n in range(2)}
    assert [342, 342] == [len(signature) for signature in signatures]


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.W10.c", "a." + "W1tb" * 30_000 + ".c"])
def test_what_is_no_token_has_no_claims(text: str) -> None:
    """Anything but three parts around a JSON object has no claims and raises nothing."""
    assert read_claims(text) is None

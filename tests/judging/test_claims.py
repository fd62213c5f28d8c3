"""The table of claims that are kept: no claim without a privacy class, and what each class does."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging import claims
from mfa_audit.judging.claims import CLAIMS, USER_NAMES, Claim, Privacy
from mfa_audit.judging.people import Mode, People
from mfa_audit.judging.tokens import Token, read
from mfa_audit.judging.verdicts import caller

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
EMAIL = "dana@contoso.example"


def token_with(**payload: Any) -> Token:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=")
    return read([Secret(b"Bearer e30." + body + b".c2ln")])


def test_a_claim_needs_a_privacy_class() -> None:
    """A row without a class, or with a made-up one, cannot even be written."""
    with pytest.raises(TypeError):
        Claim("email", "the user's address")  # type: ignore[call-arg]
    for wrong in (None, "plain"):
        with pytest.raises(TypeError, match="email has no privacy class"):
            Claim("email", "the user's address", wrong)  # type: ignore[arg-type]


def test_a_claim_without_a_row_is_not_stored() -> None:
    """Neither reading a token nor any choice for people lets it through."""
    assert {} == token_with(email=EMAIL).claims
    for mode in Mode:
        assert {"aud": "x"} == People(mode, b"k" * 32).claims({"aud": "x", "email": EMAIL})


@pytest.mark.parametrize("privacy", [privacy for privacy in Privacy if privacy is not Privacy.PLAIN])
def test_an_added_claim_is_hidden_by_its_class(monkeypatch: pytest.MonkeyPatch, privacy: Privacy) -> None:
    """An `email` claim that gets a row is stored by name, and by no other choice in clear."""
    added = {**CLAIMS, "email": Claim("email", "the user's address", privacy)}
    for module in ("claims", "tokens", "people"):
        monkeypatch.setattr(f"mfa_audit.judging.{module}.CLAIMS", added)
    token = token_with(email=EMAIL, scp="x")
    assert {"email": EMAIL, "scp": "x"} == token.claims
    for mode in (Mode.PSEUDONYM, Mode.NONE):
        assert EMAIL not in repr(People(mode, b"k" * 32).token(token))


def test_the_rule_finds_the_user_by_the_names_of_the_table() -> None:
    """Each claim of the class shows a user, and is still there to show one when names are hidden."""
    assert ("upn", "unique_name", "preferred_username") == USER_NAMES
    for name in USER_NAMES:
        kept = People(Mode.NONE, b"k" * 32).claims({name: EMAIL, "roles": "x"})
        assert "user" == caller(kept)


def test_the_page_has_the_same_table() -> None:
    """docs/data.md lists each kept claim with its purpose and class, and no other."""
    shown = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.M)
    assert [(one.name, one.purpose, str(one.privacy)) for one in claims.CLAIMS.values()] == shown

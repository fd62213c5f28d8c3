"""Whatever a person pastes for a token."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.commands.demo.sample_tokens import make_token, make_user_token, read_claims
from mfa_audit.judging.token_finder import values_in
from mfa_audit.judging.tokens import read

TOKEN = make_user_token("mfa")
OTHER = make_user_token("pwd")
# Padding stands in the header and in the payload.
PADDED = ".".join(
    base64.urlsafe_b64encode(part).decode()
    for part in (b'{"alg":"RS256"} ', json.dumps(read_claims(TOKEN)).encode(), b"a signature of some bytes.")
)
WRAPPED = "\n".join(TOKEN[at : at + 64] for at in range(0, len(TOKEN), 64))


@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        (TOKEN, "mfa"),
        (f"  {TOKEN}\r\n", "mfa"),
        (f"Bearer {TOKEN}", "mfa"),
        (f"Authorization: Bearer {TOKEN}", "mfa"),
        (f"authorization:bearer {TOKEN}", "mfa"),
        (f"GET /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nAccept: */*\r\n", "mfa"),
        (f"curl -H 'Authorization: Bearer {TOKEN}' https://api.partnercenter.microsoft.com/v1/x", "mfa"),
        (f"$headers = @{{ 'Authorization' = \"Bearer {TOKEN}\" }}", "mfa"),
        (f'headers = {{"Authorization": "Bearer {TOKEN}", "Accept": "x"}}', "mfa"),
        (json.dumps({"token_type": "Bearer", "access_token": TOKEN}), "mfa"),
        (json.dumps({"accessToken": TOKEN, "expiresOn": "x"}), "mfa"),
        (json.dumps({"Token": TOKEN}), "mfa"),
        (json.dumps([{"result": {"access_token": TOKEN}}]), "mfa"),
        (json.dumps({"headers": {"Authorization": f"Bearer {TOKEN}"}}), "mfa"),
        (json.dumps(TOKEN), "mfa"),
        (f"Token: {TOKEN}\nExpires: soon", "mfa"),
        (WRAPPED, "mfa"),
        (f"Bearer\n{WRAPPED}", "mfa"),
        (f"Authorization: Bearer\n  {WRAPPED}", "mfa"),
        (f"Authorization: Bearer {TOKEN}\nAuthorization: Bearer {OTHER}", "several-tokens"),
        ("Authorization: Bearer REMOVED", "redacted"),
        ("Authorization: Basic ZGFuYTpodW50ZXIy", "other-scheme"),
        ("Bearer", "empty-token"),
        ("{not json", "malformed"),
        # As it stands in a sentence, or with padding.
        (f"{TOKEN}.", "mfa"),
        (f"Authorization: Bearer {TOKEN}.", "mfa"),
        (f"The token is {TOKEN}, as of today.", "mfa"),
        (PADDED, "mfa"),
        (json.dumps({"access_token": PADDED}), "mfa"),
        (json.dumps({"access_token": f"{TOKEN}."}), "mfa"),
        (f"PoP {make_token({'at': TOKEN, 'ts': 1})}", "mfa"),
        (f"{TOKEN}\nls -l\n", "mfa"),
        ("\n".join([*TOKEN.split(".")[:1], "." + TOKEN.split(".")[1], "." + TOKEN.split(".")[2]]), "mfa"),
        (TOKEN.replace(".", ".\n"), "mfa"),
    ],
)
def test_pasted_texts(pasted: str, reason: str) -> None:
    """Tokens, header lines, requests, commands, JSON and wrapped lines all lead to the token in them."""
    assert reason == read(values_in(pasted.encode())).reason


@pytest.mark.parametrize(
    "pasted",
    [
        f"{TOKEN}\n{OTHER}", f"{TOKEN} {OTHER}", f"{TOKEN}, {OTHER}.", f"Bearer {TOKEN}\nBearer {OTHER}",
        f"{WRAPPED}\n{OTHER}", json.dumps([TOKEN, OTHER]), json.dumps([{"token": TOKEN}, {"token": OTHER}]),
        f"Authorization: Bearer {TOKEN}, Bearer {OTHER}",
        f"first: {TOKEN}\nsecond: {OTHER}\nfirst again: {TOKEN}",
    ],
)  # fmt: skip
def test_several_tokens_stay_several(pasted: str) -> None:
    """Two tokens one after the other are two values, and never one with five parts."""
    assert ["mfa", "amr-without-mfa"] == [read([value]).reason for value in values_in(pasted.encode())]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_files_of_windows_powershell(encoding: str) -> None:
    """A file that Windows PowerShell wrote is UTF-16 with a byte order mark."""
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    assert "mfa" == read(values_in(mark + f"{TOKEN}\r\n".encode(encoding))).reason


@pytest.mark.parametrize("pasted", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"])
def test_nothing_pasted(pasted: bytes) -> None:
    """Blank text holds no value at all."""
    assert () == values_in(pasted)


@given(st.binary(max_size=200))
def test_no_bytes_raise(pasted: bytes) -> None:
    """Any bytes may be pasted."""
    read(values_in(pasted))


@given(st.text(alphabet='{}[]":,authorizationBearer \n\r=eyJ.', max_size=120))
def test_no_text_raises(pasted: str) -> None:
    """Nor does text that nearly is JSON or a header."""
    read(values_in(pasted.encode()))

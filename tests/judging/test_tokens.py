"""Authorization values in every form they come in, hostile ones included."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfa_audit.commands.demo.sample_tokens import TENANT, make_app_token, make_user_token
from mfa_audit.exchanges.exchange import LONGEST_AUTHORIZATION, Secret
from mfa_audit.judging.claims import CLAIMS
from mfa_audit.judging.reasons import REASONS
from mfa_audit.judging.tokens import GUESSABLE, MOST_TOKENS, NO_TOKEN, ROOM, Form, Token, User, read
from mfa_audit.judging.verdicts import judge

# A busy machine makes drawing and running slow, which says nothing of what is tested.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

GOOD = make_user_token("pwd", "mfa").encode()
OTHER = make_user_token("pwd").encode()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(b".")


def b64(value: object) -> bytes:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def jwt_of(payload: object, header: object = None, signature: bytes = b"c2ln") -> bytes:
    return b".".join((b64(header or {"alg": "RS256"}), b64(payload), signature))


def reading(*values: bytes) -> Token:
    return read([Secret(value) for value in values])


PADDED = b".".join(part + b"=" * (-len(part) % 4) for part in (HEADER, PAYLOAD, SIGNATURE))
STANDARD = b".".join((HEADER, PAYLOAD.translate(bytes.maketrans(b"-_", b"+/")), SIGNATURE))
DEEP = b64(b'{"aud":' + b"[" * 20_000 + b"]" * 20_000 + b"}")


@pytest.mark.parametrize(
    ("values", "form", "reason"),
    [
        # A JWT, however it is wrapped.
        ([b"Bearer " + GOOD], "v1.0", "mfa"),
        ([b"bearer " + GOOD], "v1.0", "mfa"),
        ([b"BEARER   " + GOOD + b"  "], "v1.0", "mfa"),
        ([b"Bearer\t" + GOOD], "v1.0", "mfa"),
        ([b'Bearer "' + GOOD + b'"'], "v1.0", "mfa"),
        ([b'"Bearer ' + GOOD + b'"'], "v1.0", "mfa"),
        ([b"Bearer Bearer " + GOOD], "v1.0", "mfa"),
        ([b"Bearer:" + GOOD], "v1.0", "mfa"),
        ([GOOD], "v1.0", "mfa"),
        ([b"Token " + GOOD], "v1.0", "mfa"),
        ([b"Bearer " + PADDED], "v1.0", "mfa"),
        ([b"Bearer " + STANDARD], "v1.0", "mfa"),
        ([b"Bearer " + HEADER + b"." + PAYLOAD], "v1.0", "mfa"),
        ([b"Bearer " + HEADER + b"." + PAYLOAD + b".redacted"], "v1.0", "mfa"),
        ([b"Bearer " + b64({"alg": "none"}) + b"." + PAYLOAD + b"."], "v1.0", "mfa"),
        (
            [b"Bearer " + b64({"alg": 7, "crit": ["x"], "kid": 3, "b64": False}) + b"." + PAYLOAD + b".x"],
            "v1.0",
            "mfa",
        ),
        ([b"Bearer not-a-header." + PAYLOAD + b".x"], "v1.0", "mfa"),
        # Proof of possession.
        ([b"PoP " + jwt_of({"at": GOOD.decode(), "ts": 1})], "v1.0", "mfa"),
        ([b"pop " + jwt_of({"at": "EwB0", "ts": 1})], "proof-of-possession", "proof-of-possession"),
        ([b"PoP " + jwt_of({"ts": 1})], "proof-of-possession", "proof-of-possession"),
        ([b"PoP garbage"], "proof-of-possession", "proof-of-possession"),
        ([b"mtls_pop " + OTHER], "v1.0", "amr-without-mfa"),
        # Several headers.
        ([b"Bearer " + GOOD, b"bearer " + GOOD], "v1.0", "mfa"),
        ([b"Bearer " + GOOD, GOOD], "v1.0", "mfa"),
        ([b"Bearer " + GOOD + b", Bearer " + GOOD], "v1.0", "mfa"),
        ([b"Bearer", b"Bearer " + GOOD], "v1.0", "mfa"),
        # The same under two schemes: the first that we know counts, each time.
        ([b"EwB4A8l6BAAU", b"Bearer EwB4A8l6BAAU", b"PoP EwB4A8l6BAAU"], "opaque", "opaque"),
        ([b"PoP EwB4A8l6BAAU", b"Bearer EwB4A8l6BAAU"], "proof-of-possession", "proof-of-possession"),
        ([b"Bearer " + GOOD, b"Bearer " + OTHER], "malformed", "several-tokens"),
        ([b"Bearer " + GOOD + b", Bearer " + OTHER], "malformed", "several-tokens"),
        # Not a JWT.
        (
            [b"Bearer " + b".".join([b64({"alg": "RSA-OAEP"}), b"a2V5", b"aXY", b"Y2lwaGVy", b"dGFn"])],
            "encrypted",
            "encrypted",
        ),
        (
            [b"Bearer " + b".".join([b64({"alg": "dir"}), b"", b"aXY", b"Y2lwaGVy", b"dGFn"])],
            "encrypted",
            "encrypted",
        ),
        ([b"Bearer EwB4A8l6BAAUO9chh8cJscQLmU"], "opaque", "opaque"),
        ([b"Basic ZGFuYTpodW50ZXIy"], "other-scheme", "other-scheme"),
        ([b"Negotiate"], "other-scheme", "other-scheme"),
        ([b'Digest username="dana", realm="x"'], "other-scheme", "other-scheme"),
        # Taken out by somebody.
        ([b"Bearer REMOVED"], "redacted", "redacted"),
        ([b"REDACTED"], "redacted", "redacted"),
        ([b"[REDACTED]"], "redacted", "redacted"),
        ([b"Bearer [Redacted by sanitizer]"], "redacted", "redacted"),
        ([b"***"], "redacted", "redacted"),
        ([b"Bearer *****"], "redacted", "redacted"),
        ([b"Bearer <redacted>"], "redacted", "redacted"),
        ([b"Bearer <token>"], "redacted", "redacted"),
        ([b"Bearer xxxxxxxxxxxx"], "redacted", "redacted"),
        ([b"Bearer XXXX-XXXX"], "redacted", "redacted"),
        ([b"Bearer ..."], "redacted", "redacted"),
        (["Bearer •••••".encode()], "redacted", "redacted"),
        (["Bearer eyJ0eXAiOiJKV1Qi…".encode()], "redacted", "redacted"),
        ([b"Bearer eyJ0eXAiOiJKV1Qi[truncated]"], "redacted", "redacted"),
        ([b"Bearer your-access-token-here"], "redacted", "redacted"),
        # Longer than anything we read.
        ([b"Bearer " + b"A" * 300_000], "too-long", "too-long"),
        ([b"Bearer " + HEADER + b"." + b64({"upn": "x" * 180_000}) + b".x"], "too-long", "too-long"),
        ([b"Bearer " + GOOD, b"A" * LONGEST_AUTHORIZATION], "too-long", "too-long"),
        # Broken.
        ([b""], "malformed", "empty-token"),
        ([b"Bearer"], "malformed", "empty-token"),
        ([b"Bearer  "], "malformed", "empty-token"),
        ([b'Bearer ""'], "malformed", "empty-token"),
        ([b"Bearer eyJhbGciOiJub25lIn0"], "malformed", "malformed"),
        ([b"Bearer " + HEADER + b"." + PAYLOAD[:-9] + b".x"], "malformed", "malformed"),
        ([b"Bearer " + jwt_of([1, 2])], "malformed", "malformed"),
        ([b"Bearer " + jwt_of(b"\xff\xfe")], "malformed", "malformed"),
        ([b"Bearer " + HEADER + b"." + DEEP + b".x"], "malformed", "malformed"),
        ([b"Bearer " + jwt_of(b'{"exp":' + b"9" * 6000 + b"}")], "malformed", "malformed"),
        ([b"Bearer \xff\xfe\x00\x80"], "malformed", "malformed"),
        ([], "none", "no-token"),
    ],
)
def test_each_form(values: list[bytes], form: str, reason: str) -> None:
    """Authorization values are read as the form that they are, and unreadable ones say why."""
    token = reading(*values)
    assert (form, reason, REASONS[reason].verdict) == (token.form, token.reason, token.verdict)


@pytest.mark.parametrize("scheme", ["", "Bearer ", "Bearer: "])
@pytest.mark.parametrize(
    "value",
    [
        "$TOKEN", "${access_token}", "%TOKEN%", "$env:PC_TOKEN", "$(PC_TOKEN)", "${{ secrets.PC_TOKEN }}", "{{token}}",
        "$token.AccessToken", "$headers['token']", "${env:PC_TOKEN}", "{access_token}", "{}", "#{PcToken}#",
        "%(token)s", "@{variables('token')}", "@variables('token')", "null", "undefined", "None", "NULL", "nil",
        "(null)", "false", "[object Object]", "[object Promise]", "System.Security.SecureString", "System.Object[]",
        "System.Collections.Hashtable", "Microsoft.Azure.Commands.Profile.Models.PSSecureAccessToken",
        "<coroutine object get_token at 0x7f3c5c0>", "<function token at 0x10>", "'$TOKEN'",
    ],
)  # fmt: skip
def test_a_variable_that_was_not_filled_in(scheme: str, value: str) -> None:
    """What a script sends whose variable was never set is neither an opaque token nor a sanitised one."""
    token = reading(f"{scheme}{value}".encode())
    assert ("not-filled-in", "not-filled-in", None) == (token.form, token.reason, token.fingerprint)


@pytest.mark.parametrize(
    "value",
    [
        "EwB4A8l6BAAUO9chh8cJscQLmU",
        "0.AXoA$TOKEN",
        "$2b$12$KIXQ1ZxYj",
        "nullable-7f",
        "System",
        "{not json",
        "%41%42",
    ],
)
def test_what_only_looks_like_a_variable(value: str) -> None:
    """A value that merely holds such a word is judged as what it is."""
    assert "not-filled-in" != reading(f"Bearer {value}".encode()).reason


@pytest.mark.parametrize(
    ("claims", "form"),
    [
        ({"ver": "1.0"}, Form.V1),
        ({"ver": "2.0", "appid": "x"}, Form.V2),
        ({"iss": "https://sts.windows.net/t/"}, Form.V1),
        ({"iss": "https://sts.chinacloudapi.cn/t/"}, Form.V1),
        ({"iss": "https://login.microsoftonline.com/t/v2.0"}, Form.V2),
        ({"appid": "x"}, Form.V1),
        ({"azp": "x"}, Form.V2),
        ({"aud": "x"}, Form.JWT),
    ],
)
def test_version_of_a_token(claims: dict[str, str], form: Form) -> None:
    """Entra's format is told by ver, else the issuer, else the name of the client's claim (documented)."""
    assert form is reading(b"Bearer " + jwt_of(claims)).form


def test_what_a_token_tells() -> None:
    """App, user and times are taken from the claims that name them, in either version."""
    token = reading(
        b"Bearer " + make_user_token("mfa", iat=1_700_000_000, exp=1_700_003_900, appid="ABCD").encode()
    )
    assert "abcd" == token.app_id
    assert User(TENANT, "a8c4f3a2-0000-4000-8000-0000000da0a1", "dana@contoso.example") == token.user
    assert (1_700_000_000, 1_700_003_900) == (token.issued, token.expires)
    second = reading(
        b"Bearer " + jwt_of({"azp": "x-1", "preferred_username": "p@contoso.example", "nbf": "5"})
    )
    assert ("x-1", "p@contoso.example", 5.0) == (
        second.app_id,
        second.user and second.user.name,
        second.issued,
    )


def test_app_only_tokens_have_no_user() -> None:
    """The object id of an app-only token is the app's, not a person's."""
    token = reading(b"Bearer " + make_app_token().encode())
    assert ("app-only", None) == (token.reason, token.user)


@pytest.mark.parametrize(
    "moment",
    [10**30, -1, 0, True, None, [], "soon", 1e308, 253_402_300_800, "1" * 400, float("inf"), float("nan")],
)
def test_impossible_times_are_no_times(moment: object) -> None:
    """A time that no calendar has is left out instead of failing later."""
    token = reading(b"Bearer " + jwt_of({"iat": moment, "exp": moment}))
    assert (None, None) == (token.issued, token.expires)


def test_claims_that_are_not_allowed_are_dropped() -> None:
    """Only allow-listed claims are kept, and of those no nested values."""
    token = reading(
        b"Bearer " + jwt_of({"aud": {"a": 1}, "groups": ["g"], "email": "x@y.example", "tid": "t"})
    )
    assert {"tid": "t"} == token.claims


def test_values_are_bounded() -> None:
    """Long texts and long lists are cut."""
    token = reading(b"Bearer " + jwt_of({"name": "n " * 9_000, "roles": ["r"] * 5_000, "iat": 2**63}))
    assert len(token.claims["name"]) <= 256
    assert len(token.claims["roles"]) <= 64
    assert "iat" not in token.claims
    lists = {name: ["v " * 100] * 8 for name in CLAIMS}
    kept = reading(b"Bearer " + jwt_of(lists)).claims
    assert ROOM - 200 < sum(len(item) for value in kept.values() for item in value) <= ROOM


HOSTILE = [
    {"roles": ["abcdefghijklmnopqrstuvwxyz-_0123456789"[at % 20 :] * 12 for at in range(130)]},
    {"upn": "Zm9vYmFy" * 5_900},
    {name: [f"{at:x}" * 250 for at in range(6)] for name in CLAIMS},
    {"groups": ["g" * 36] * 1_100},
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_the_longest_token_costs_little(payload: dict[str, Any]) -> None:
    """A token of nearly 64 KiB takes milliseconds (8 to 27 seconds before the search for it in its claims was linear).

    The bound leaves room for a machine that is two hundred times slower than usual.
    """
    raw = b"Bearer " + jwt_of(payload)
    assert LONGEST_AUTHORIZATION // 2 < len(raw) <= LONGEST_AUTHORIZATION
    begun = time.process_time()
    assert "malformed" != reading(raw).form
    assert time.process_time() - begun < 1


def test_a_flood_of_authorizations_is_several_tokens() -> None:
    """Thousands of fields, or of values in one field, are not looked at one by one; a hundred equal ones are one."""
    assert "several-tokens" == reading(*[b"Bearer %d" % number for number in range(10_000)]).reason
    assert "several-tokens" == reading(b", Bearer ".join(b"%d" % number for number in range(4_000))).reason
    assert "mfa" == reading(*[b"Bearer " + GOOD] * 40).reason
    assert 100 == MOST_TOKENS


def test_fingerprints_are_for_long_tokens_only() -> None:
    """What may be a password gets no hash; the scheme's spelling and quotes do not change a fingerprint."""
    assert reading(b"Bearer " + GOOD).fingerprint == reading(b'bearer  "' + GOOD + b'"').fingerprint
    assert reading(b"Bearer " + GOOD).fingerprint != reading(b"Bearer " + OTHER).fingerprint
    assert reading(b"Bearer " + GOOD).key == reading(GOOD).fingerprint
    for value in (
        b"hunter2",
        b"Basic " + b64(GOOD),
        b"REMOVED" * 20,
        b"x" * 999,
        b"Q7" * 99,
        GOOD[: GUESSABLE - 1],
    ):
        assert None is reading(value).fingerprint
    assert "opaque:opaque" == reading(b"hunter2").key


def test_inner_token_of_pop_has_the_fingerprint() -> None:
    """PoP wraps one access token anew for each call; all of them are that token."""
    first, second = (reading(b"PoP " + jwt_of({"at": GOOD.decode(), "ts": ts})) for ts in (1, 2))
    assert first == second == reading(GOOD)


def leaked(token: Token, raw: bytes) -> bool:
    """Whether 16 successive characters of a token are anywhere in what is kept."""
    kept = repr(token) + json.dumps(dict(token.claims))
    body = raw.decode("latin-1")
    return any(body[at : at + 16] in kept for at in range(len(body) - 15))


def test_nothing_of_the_raw_token_is_kept() -> None:
    """Not even a claim that repeats header or payload, or a piece of them, lets it through."""
    start = b64(b'{"aud": "a", "tid": "t", "iss": "').decode()[:40]
    for piece in (start, f"x{start}", start[3:20], f"{start[5:21]} y", HEADER.decode()):
        for value in (piece, [piece]):
            raw = jwt_of({"aud": "a", "tid": "t", "iss": "i", "upn": value}, {"alg": "RS256", "typ": "JWT"})
            raw = HEADER + raw[raw.index(b".") :]
            assert not leaked(reading(b"Bearer " + raw), raw)
            assert "t" == reading(raw).claims["tid"]
    assert not leaked(reading(b"Bearer " + GOOD), GOOD)


@UNHURRIED
@given(st.lists(st.binary(max_size=80), max_size=3))
@example([b"Bearer \x00"])
@example([b"Bearer", b"PoP"])
@example([b"Bearer =.=.="])
@example([b"PoP " + b64({}) + b"." + b64({"at": "\u00e9"}) + b"."])
def test_no_bytes_raise(values: list[bytes]) -> None:
    """Whatever stands in Authorization headers is read as something with a known reason."""
    token = reading(*values, *(b"Bearer " + value for value in values))
    assert REASONS[token.reason].verdict is token.verdict


CLAIMS_OF_ANY_KIND = st.dictionaries(
    st.sampled_from(sorted(CLAIMS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800\x00"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=5,
    ),
)


@UNHURRIED
@given(CLAIMS_OF_ANY_KIND)
def test_any_claims_can_be_stored_and_judged_anew(claims: dict[str, Any]) -> None:
    """What is kept of claims goes through JSON and SQLite unchanged, and judging it anew gives the same."""
    token = reading(b"Bearer " + jwt_of(claims))
    database = sqlite3.connect(":memory:")
    kept = json.dumps(dict(token.claims), ensure_ascii=False, allow_nan=False)
    (back,) = database.execute("SELECT json(?)", (kept,)).fetchone()
    database.execute("SELECT ?, ?, ?, ?", (token.app_id, token.issued, token.expires, token.key))
    database.close()
    assert (token.verdict, token.reason) == judge(token.form, json.loads(back))


@UNHURRIED
@given(
    CLAIMS_OF_ANY_KIND,
    st.binary(max_size=30),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_judging_depends_on_the_claims_alone(
    claims: dict[str, Any], signature: bytes, header: dict[str, str]
) -> None:
    """Header and signature have no part in the verdict."""
    plain, odd = reading(jwt_of(claims)), reading(jwt_of(claims, header, b64(signature)))
    assert (plain.verdict, plain.reason, plain.claims) == (odd.verdict, odd.reason, odd.claims)


def test_no_authorization_is_no_token() -> None:
    """A call without the header has the one Token for that."""
    assert NO_TOKEN == read(())

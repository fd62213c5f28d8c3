"""Calls such as no client should make: random ones, and a saved corpus of those that once reached new code.

`scripts/grow_corpus.py` adds to the corpus; a call for which a test fails belongs there too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from mitmproxy import http

from live_flows import make_flow
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging.observations import Judge

CORPUS = Path(__file__).parent / "corpus" / "odd_calls.jsonl"
WHOLE = make_user_token("pwd", "mfa", iat=1_700_000_000, nbf=1_700_000_000, exp=4_000_000_000).encode()


class OddCall(NamedTuple):
    """What a client sends and a server answers; bytes as they are on the wire."""

    authorization: list[bytes]
    headers: list[tuple[bytes, bytes]]
    answer: list[tuple[bytes, bytes]]
    status: int
    body: bytes
    path: str
    hangs_up: bool

    def flow(self) -> http.HTTPFlow:
        """A live flow of it, answered."""
        fields = [*((b"Authorization", one) for one in self.authorization), *self.headers]
        flow = make_flow(headers=fields, status=self.status)
        assert flow.response is not None
        flow.request.path = "/v1/" + self.path
        flow.response.headers = http.Headers(self.answer)
        flow.response.data.content = self.body
        return flow

    def reason(self) -> str:
        """The reason of the verdict on its token, or `none`."""
        secrets = tuple(Secret(one) for one in self.authorization)
        return Judge().read_token(secrets).reason if secrets else "none"


def jwt_of(payload: bytes) -> bytes:
    """A token with this payload, whatever it is."""
    return b".".join([WHOLE.split(b".")[0], base64.urlsafe_b64encode(payload).rstrip(b"="), b"c2ln" * 20])


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(-(1 << 80), 1 << 80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# Values that mean something in one claim or another.
_MEANT = st.sampled_from(
    ["mfa", "pwd", "1.0", "2.0", "app", "user", "https://api.partnercenter.microsoft.com", "user_impersonation",
     "https://sts.windows.net/2f0ae6ee-7b4c-4d0a-9c2b-1c9d5d3f7a10/", "2f0ae6ee-7b4c-4d0a-9c2b-1c9d5d3f7a10",
     "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd", "dana@contoso.example", "00000003-0000-0000-c000-000000000000", 1, 0]
)  # fmt: skip
_CLAIMS = st.dictionaries(
    st.sampled_from(
        ["aud", "iss", "amr", "appid", "azp", "oid", "sub", "scp", "exp", "iat", "nbf", "idtyp", "upn", "unique_name",
         "preferred_username", "tid", "ver", "roles", "acr", "appidacr", "azpacr"]
    ),
    _JSON | _MEANT | st.lists(_MEANT, max_size=3),
    max_size=10,
)  # fmt: skip
_TOKENS = st.one_of(
    st.binary(max_size=200),
    st.just(WHOLE),
    _CLAIMS.map(lambda one: jwt_of(json.dumps(one).encode())),
    st.binary(max_size=100).map(jwt_of),
)
_NUMBERS = st.integers(0, 100).map(lambda number: str(number).encode())


def _fields(*names: bytes) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    values = (
        st.binary(max_size=60) | st.sampled_from([b"true", b"false", b"gzip", b"deflate", b"br"]) | _NUMBERS
    )
    return st.lists(st.tuples(st.sampled_from(names), values), max_size=4)


ODD_CALLS = st.builds(
    OddCall,
    authorization=st.lists(
        st.builds(
            lambda scheme, token: scheme + token,
            st.sampled_from([b"Bearer ", b"bearer  ", b"", b"PoP ", b"Basic ", b"Bearer"]),
            _TOKENS,
        ),
        max_size=3,
    ),
    headers=_fields(
        b"User-Agent",
        b"MS-PartnerCenter-Client",
        b"MS-PartnerCenter-Application",
        b"MS-SdkVersion",
        b"MS-RequestId",
        b"MS-CorrelationId",
        b"X-Other",
        b"Content-Encoding",
        b"Content-Length",
        b"Host",
    ),
    answer=_fields(
        b"isMfaCompliant", b"WWW-Authenticate", b"MS-RequestId", b"Content-Encoding", b"Content-Length"
    ),
    status=st.sampled_from([200, 401, 401, 403, 500, 101, 204]),
    body=st.one_of(
        st.binary(max_size=100),
        _JSON.map(lambda one: json.dumps(one).encode()),
        st.sampled_from([900421, "900421", "MFA required.", 2000]).map(
            lambda code: json.dumps({"code": code, "description": "MFA required."}).encode()
        ),
    ),
    path=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40),
    hangs_up=st.booleans(),
)


def read_corpus() -> list[tuple[OddCall, str]]:
    """The saved calls, each with the reason of the verdict on it."""
    return [_read(json.loads(line)) for line in CORPUS.read_text(encoding="ascii").splitlines()]


def write_corpus(calls: Iterable[tuple[OddCall, str]]) -> None:
    """Save them, one a line."""
    CORPUS.parent.mkdir(exist_ok=True)
    lines = (json.dumps(_written(call) | {"reason": reason}) for call, reason in calls)
    CORPUS.write_text("".join(line + "\n" for line in lines), encoding="ascii")


# Bytes are written as the Latin-1 characters of the same numbers.
def _written(call: OddCall) -> dict[str, Any]:
    def pairs(fields: list[tuple[bytes, bytes]]) -> list[list[str]]:
        return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]

    return call._asdict() | {
        "authorization": [one.decode("latin-1") for one in call.authorization],
        "headers": pairs(call.headers),
        "answer": pairs(call.answer),
        "body": call.body.decode("latin-1"),
    }


def _read(saved: dict[str, Any]) -> tuple[OddCall, str]:
    def pairs(fields: list[list[str]]) -> list[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]

    reason = saved.pop("reason")
    return OddCall(
        **saved
        | {
            "authorization": [one.encode("latin-1") for one in saved["authorization"]],
            "headers": pairs(saved["headers"]),
            "answer": pairs(saved["answer"]),
            "body": saved["body"].encode("latin-1"),
        }
    ), reason

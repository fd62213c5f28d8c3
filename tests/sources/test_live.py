"""The addon within mitmproxy: whatever comes by, nothing is changed, raised or forgotten."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from mitmproxy import http

from mfa_audit.demonstration.sample_tokens import make_user_token
from mfa_audit.judging.observations import Judge
from mfa_audit.sources import live
from mfa_audit.sources.live import PartnerCenterMfa
from observed import query

CORPUS = DirectoryBasedExampleDatabase(Path(__file__).parent / "corpus")
Flows = Callable[..., http.HTTPFlow]


def play(addon: PartnerCenterMfa, flow: http.HTTPFlow, *, hangs_up: bool = False) -> None:
    """Give the flow to each hook in turn, as mitmproxy does; its state must be the same before and after each."""

    async def go() -> None:
        answer, flow.response = flow.response, None
        for name in ("requestheaders", "request", "responseheaders", "error" if hangs_up else "response"):
            if name == "responseheaders":
                flow.response = answer
            hook = getattr(addon, name, None)
            before = copy.deepcopy(flow.get_state())
            result = None if hook is None else hook(flow)
            if isinstance(result, Awaitable):
                await result
            assert before == flow.get_state(), name

    asyncio.run(go())


@pytest.fixture
def addon(database: Path, mitmproxy_context: Any) -> Any:
    """The addon, loaded, configured and recording into the database."""
    one = PartnerCenterMfa()
    mitmproxy_context.master.addons.add(one)
    mitmproxy_context.configure(one, mfa_audit_db=str(database))
    yield one
    assert one.recorder is not None
    one.recorder.close()


WHOLE = make_user_token("pwd", "mfa").encode()


def jwt_of(payload: bytes) -> bytes:
    return b".".join([WHOLE.split(b".")[0], base64.urlsafe_b64encode(payload).rstrip(b"="), b"c2ln" * 20])


odd_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(-(1 << 80), 1 << 80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
claims = st.dictionaries(
    st.sampled_from(["aud", "iss", "amr", "appid", "oid", "scp", "exp", "iat", "idtyp", "upn", "tid", "ver", "roles"]),
    odd_json,
    max_size=8,
)  # fmt: skip
tokens = st.one_of(
    st.binary(max_size=200),
    st.just(WHOLE),
    claims.map(lambda one: jwt_of(json.dumps(one).encode())),
    st.binary(max_size=100).map(jwt_of),
)
authorizations = st.lists(
    st.builds(
        lambda scheme, token: scheme + token,
        st.sampled_from([b"Bearer ", b"bearer  ", b"", b"PoP ", b"Basic ", b"Bearer"]),
        tokens,
    ),
    max_size=3,
)
fields = st.lists(
    st.tuples(
        st.sampled_from(
            [b"User-Agent", b"MS-PartnerCenter-Client", b"MS-PartnerCenter-Application", b"MS-SdkVersion",
             b"MS-RequestId", b"MS-CorrelationId", b"X-Other", b"Content-Encoding", b"Content-Length"]
        ),
        st.binary(max_size=60),
    ),
    max_size=4,
)  # fmt: skip
answers = st.lists(
    st.tuples(
        st.sampled_from(
            [b"isMfaCompliant", b"WWW-Authenticate", b"MS-RequestId", b"Content-Encoding", b"Content-Length"]
        ),
        st.binary(max_size=60),
    ),
    max_size=4,
)


@settings(
    database=CORPUS,
    max_examples=250,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=authorizations,
    headers=fields,
    answer=answers,
    status=st.sampled_from([200, 401, 401, 403, 500, 101, 204]),
    body=st.binary(max_size=100) | odd_json.map(lambda one: json.dumps(one).encode()),
    path=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40),
    hangs_up=st.booleans(),
)
@example([b"Bearer "], [], [], 200, b"", "", False)
@example([b"Bearer " + WHOLE, b"Bearer other"], [], [], 401, b"\xff", "", False)
@example([b"Bearer \xff\xfe\x80"], [(b"User-Agent", b"\xff\xfe")], [], 200, b"", "", True)
@example([b"Bearer " + jwt_of(b"[1]")], [], [], 200, b"", "", False)
@example([b"Bearer " + jwt_of(b'{"exp": 1e999, "iat": %d}' % (1 << 70))], [], [], 200, b"", "", False)
@example([b"Bearer " + jwt_of(b'{"upn": "\\ud800"}')], [], [], 200, b"", "", False)
@example([b"Bearer " + jwt_of(b"[" * 100_000)], [], [], 401, b"[" * 50_000, "", False)
@example([b"Bearer " + WHOLE], [], [(b"Content-Encoding", b"gzip")], 401, b"not gzip", "%00/\x00", False)
def test_whatever_comes_by_is_recorded_and_left_alone(
    addon: PartnerCenterMfa,
    flow_to: Flows,
    values: list[bytes],
    headers: list[tuple[bytes, bytes]],
    answer: list[tuple[bytes, bytes]],
    status: int,
    body: bytes,
    path: str,
    hangs_up: bool,
) -> None:
    """For any Authorization values, headers and answers the flow stays as it is, nothing is raised, none is lost."""
    flow = flow_to(status=status, headers=[(b"Authorization", one) for one in values] + headers, body=body)
    flow.request.path = "/v1/" + path
    assert flow.response is not None
    flow.response.headers = http.Headers(answer)
    flow.response.data.content = body
    play(addon, flow, hangs_up=hangs_up)
    assert addon.recorder is not None
    assert (0, 0) == (addon.failures, addon.recorder.lost)


def test_all_of_them_are_in_the_database(addon: PartnerCenterMfa, flow_to: Flows, database: Path) -> None:
    """Each odd call is stored as undetermined with its reason, and none is missing."""
    assert addon.recorder is not None
    odd = {
        b"Bearer": "empty-token",
        b"Bearer \xff\xfe": "malformed",
        b"Bearer " + jwt_of(b"[1]"): "malformed",
        b"Bearer " + jwt_of(b"[" * 100_000): "malformed",
        b"Basic dXNlcjpwYXNz": "other-scheme",
    }
    for value in odd:
        play(addon, flow_to(headers=[(b"Authorization", value)]))
    play(
        addon,
        flow_to(headers=[(b"Authorization", b"Bearer " + WHOLE), (b"Authorization", b"Bearer x" + WHOLE)]),
    )
    addon.recorder.close()
    found = query(
        database, "SELECT verdict, reason FROM calls JOIN tokens ON tokens.id = token_id ORDER BY calls.id"
    )
    assert [("undetermined", reason) for reason in [*odd.values(), "several-tokens"]] == found


@pytest.mark.parametrize(
    ("place", "step", "stored"),
    [
        (Judge, "_observe", 1),
        (Judge, "read_token", 1),
        (PartnerCenterMfa, "_look", 0),
        (live, "_exchange", 0),
        (live.Blindness, "saw_request", 0),
        (live.Recorder, "record", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bug_costs_no_call(
    addon: PartnerCenterMfa,
    flow_to: Flows,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Any,
    step: str,
    stored: int,
) -> None:
    """A bug in any step of ours is counted and said once by its type; the flow passes, and no token is in the log."""
    assert addon.recorder is not None
    caplog.set_level(logging.DEBUG)
    with monkeypatch.context() as broken:
        broken.setattr(place, step, lambda *_, **__: (_ for _ in ()).throw(ValueError(WHOLE.decode())))
        play(addon, flow_to(token=WHOLE.decode()))
        play(addon, flow_to(token=WHOLE.decode()))
    play(addon, flow_to(token=WHOLE.decode()))
    addon.recorder.close()
    assert [(1 + 2 * stored,)] == query(database, "SELECT count(*) FROM calls")
    assert 2 * (1 - stored) == addon.recorder.lost
    assert 1 - stored == sum("ValueError" in one.getMessage() for one in caplog.records)
    text = caplog.text
    assert not [at for at in range(0, len(WHOLE) - 16) if WHOLE[at : at + 16].decode() in text]


def test_a_preflight_is_no_call_and_no_blind_spot(
    addon: PartnerCenterMfa, flow_to: Flows, database: Path
) -> None:
    """A browser's OPTIONS without a token is neither counted nor does it make its connection unreadable."""
    assert addon.recorder is not None
    flow = flow_to(method="OPTIONS")

    async def go() -> None:
        program: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        program.set_result("chrome")
        addon._blindness.open(flow.client_conn.id, "api.partnercenter.microsoft.com", None, program)
        addon.requestheaders(flow)
        addon.client_disconnected(flow.client_conn)

    asyncio.run(go())
    addon.recorder.close()
    assert [(0, 0)] == query(
        database, "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM not_audited)"
    )

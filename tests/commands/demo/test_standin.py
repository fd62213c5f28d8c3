"""The stand-in answers as Microsoft documents, and misbehaves when asked to."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.commands.demo.standin import Enforcement, Reply, Request, StandIn, reply_to

WITH_MFA = "Bearer " + make_user_token("pwd", "mfa")
WITHOUT_MFA = "Bearer " + make_user_token("pwd")
APP_ONLY = "bearer " + make_app_token()


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


@pytest.fixture
def connection(standin: StandIn) -> Iterator[http.client.HTTPSConnection]:
    trust = ssl.create_default_context(cafile=str(standin.certificate_file))
    opened = http.client.HTTPSConnection(standin.host, standin.port, timeout=10, context=trust)
    yield opened
    opened.close()


def reply(authorization: str, enforcement: Enforcement | None = None, **headers: str) -> Reply:
    return reply_to(Request("GET", "/v1/customers", {"authorization": authorization, **headers}), enforcement)


@pytest.mark.parametrize(
    ("authorization", "told"), [(WITH_MFA, "true"), (WITHOUT_MFA, "false"), (APP_ONLY, None)]
)
def test_validate_mfa_is_answered(authorization: str, told: str | None) -> None:
    """Asked by ValidateMfa, it serves the call and says whether the user's token has MFA."""
    answer = reply(authorization, validatemfa="true")
    assert (200, told) == (answer.status, answer.headers.get("isMfaCompliant"))


def test_unasked_it_says_nothing_of_mfa() -> None:
    """Without ValidateMfa the answer has no isMfaCompliant."""
    assert "isMfaCompliant" not in reply(WITHOUT_MFA).headers


@pytest.mark.parametrize("enforcement", ["2019", "2026"])
@pytest.mark.parametrize(
    ("authorization", "status"), [(WITH_MFA, 200), (WITHOUT_MFA, 401), (APP_ONLY, 200), ("Bearer x", 401)]
)
def test_enforcing_refuses_users_without_mfa(
    enforcement: Enforcement, authorization: str, status: int
) -> None:
    """When the rule is enforced, only app-only tokens and users with MFA are served."""
    assert status == reply(authorization, enforcement).status


def test_the_refusal_of_2019_is_in_the_reason_phrase() -> None:
    """The older refusal names MFA in the reason phrase, also when one call asks for it by MS-Enforce-MFA."""
    expected = Reply(401, "Unauthorized - MFA required", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    assert expected == reply(WITHOUT_MFA, "2019") == reply(WITHOUT_MFA, **{"ms-enforce-mfa": "True"})


def test_the_refusal_of_2026_is_in_the_body() -> None:
    """The newer refusal carries the documented code in the body."""
    assert b'"code": 900421' in reply(WITHOUT_MFA, "2026").body


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
def test_no_token_is_another_refusal(authorization: str) -> None:
    """A call without a bearer token is refused without a word about MFA."""
    answer = reply(authorization, "2026")
    assert (401, {"WWW-Authenticate": "Bearer"}) == (answer.status, answer.headers)
    assert b"900421" not in answer.body


def test_a_preflight_is_allowed(connection: http.client.HTTPSConnection) -> None:
    """A browser's preflight gets its 204 and the CORS headers, and no body."""
    connection.request("OPTIONS", "/v1/customers", headers={"Access-Control-Request-Method": "GET"})
    answer = connection.getresponse()
    assert (204, "*", b"") == (answer.status, answer.getheader("Access-Control-Allow-Origin"), answer.read())


def test_connections_are_kept(standin: StandIn, connection: http.client.HTTPSConnection) -> None:
    """Several calls, with bodies of both kinds, go over one connection, and each is counted."""
    before = standin.answered
    connection.connect()
    own = connection.sock
    for body in (None, b"x" * 200_000, iter([b"a" * 10, b"b" * 70_000])):
        connection.request("POST", "/v1/carts", body, {"Authorization": WITH_MFA}, encode_chunked=True)
        answer = connection.getresponse()
        answer.read()
        assert (200, own) == (answer.status, connection.sock)
    assert before + 3 == standin.answered


def test_a_head_has_no_body(connection: http.client.HTTPSConnection) -> None:
    """HEAD is answered without a body, so that the connection can be used again."""
    for method in ("HEAD", "GET"):
        connection.request(method, "/v1/customers", headers={"Authorization": WITH_MFA})
        answer = connection.getresponse()
        assert (200, method == "GET") == (answer.status, bool(answer.read()))


def test_one_call_can_ask_to_be_refused(connection: http.client.HTTPSConnection) -> None:
    """With enforcement=2026 in its query, one call is refused while others are served."""
    for query, status in (("?enforcement=2026", 401), ("", 200)):
        connection.request("GET", f"/v1/customers{query}", headers={"Authorization": WITHOUT_MFA})
        answer = connection.getresponse()
        assert (status, True) == (answer.status, bool(answer.read()))


def test_identifiers_come_back(connection: http.client.HTTPSConnection) -> None:
    """MS-RequestId is echoed; a missing MS-CorrelationId is made up."""
    identifier = "0b8e7d2c-1f55-4c1c-9d35-2a6f9d9f0c11"
    connection.request(
        "GET", "/v1/customers", headers={"Authorization": WITH_MFA, "MS-RequestId": identifier}
    )
    answer = connection.getresponse()
    assert (identifier, 36) == (
        answer.getheader("MS-RequestId"),
        len(answer.getheader("MS-CorrelationId") or ""),
    )


@pytest.mark.parametrize("wish", ["bytes=300000", "bytes=300000&chunked=1"])
def test_big_bodies(connection: http.client.HTTPSConnection, wish: str) -> None:
    """A wished body comes whole, with a length or in chunks."""
    connection.request("GET", f"/v1/invoices?{wish}", headers={"Authorization": WITH_MFA})
    assert b"x" * 300_000 == connection.getresponse().read()


def test_slow_answers(connection: http.client.HTTPSConnection) -> None:
    """A delayed answer comes after its delay."""
    started = time.monotonic()
    connection.request("GET", "/v1/customers?delay=0.3", headers={"Authorization": WITH_MFA})
    assert 200 == connection.getresponse().status
    assert time.monotonic() - started >= 0.3


def test_another_status(connection: http.client.HTTPSConnection) -> None:
    """A wished status takes the place of the one that was due."""
    connection.request("GET", "/v1/customers?status=503", headers={"Authorization": WITH_MFA})
    assert 503 == connection.getresponse().status


def test_answers_that_are_cut(connection: http.client.HTTPSConnection) -> None:
    """A cut answer begins, and its body does not end."""
    connection.request("GET", "/v1/invoices?bytes=300000&cut=100000", headers={"Authorization": WITH_MFA})
    answer = connection.getresponse()
    assert 200 == answer.status
    with pytest.raises((http.client.IncompleteRead, OSError)):
        answer.read()


def test_no_answer_at_all(connection: http.client.HTTPSConnection) -> None:
    """A hang-up closes the connection without an answer."""
    connection.request("GET", "/v1/customers?hangup=1", headers={"Authorization": WITH_MFA})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.getresponse()


def test_what_is_no_http_ends_the_connection(standin: StandIn) -> None:
    """Bytes that are no request close the connection, and the stand-in goes on."""
    trust = ssl.create_default_context(cafile=str(standin.certificate_file))
    with trust.wrap_socket(
        socket.create_connection((standin.host, standin.port), 10), server_hostname=standin.host
    ) as raw:
        raw.sendall(b"\x00\xff\r\n\r\n")
        assert b"" == raw.recv(100)


def test_curl_trusts_it_for_an_api_host(standin: StandIn) -> None:
    """curl verifies its certificate under an API host's name."""
    name = "api.partnercenter.microsoft.com"
    resolve = f"{name}:{standin.port}:{standin.host}"
    command = ["curl", "-s", "--cacert", str(standin.certificate_file), "--resolve", resolve]
    command += ["-o", "-", "-w", "%{http_code}", "-H", f"Authorization: {WITH_MFA}"]
    done = subprocess.run(
        [*command, f"https://{name}:{standin.port}/v1/customers"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert "200" == done.stdout[-3:]


def test_many_connections_at_once() -> None:
    """Twenty connections are served at once, and none is left when the block ends."""
    with StandIn() as standin, ThreadPoolExecutor(20) as pool:
        trust = ssl.create_default_context(cafile=str(standin.certificate_file))

        def call(_: int) -> int:
            one = http.client.HTTPSConnection(standin.host, standin.port, timeout=20, context=trust)
            one.request("GET", "/v1/customers?delay=0.1", headers={"Authorization": WITH_MFA})
            return one.getresponse().status

        assert [200] * 20 == list(pool.map(call, range(20)))
        assert 20 == standin.answered
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((standin.host, standin.port), 5)

"""`mfa-audit fetch` against a stand-in of both of Microsoft's APIs, reached through a proxy, over real TLS."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from captures_of_microsoft import GRAPH as SIGN_IN
from endpoints import Issuer
from mfa_audit.commands.demo.sample_tokens import make_user_token
from processes import Audit

API, GRAPH = "api.partnercenter.microsoft.com", "graph.microsoft.com"
Answer = tuple[int, dict[str, str], Any]
REQUEST = {
    "requestId": "11111111-1111-4111-8111-111111111111",
    "requestDateTime": "2026-11-24T10:00:00Z",
    "operationName": "GET /v1/customers",
    "applicationId": "31d9ed98-a469-4536-ade2-f981bc1d6050",
    "upn": "svc@contoso.example",
    "objectId": "26be570a-ae82-4189-b4e2-a37c6808512d",
    "tenantId": "5a5b1d3c-0000-4000-8000-000000000001",
    "mfaCompliant": False,
}


class Microsoft:
    """Both APIs behind a proxy; `answers` maps (host, path without query) to answers, the last of which stays."""

    def __init__(self, folder: Path) -> None:
        self.issuer = Issuer("stand-in", folder)
        self.contexts = {host: self.issuer.server(host) for host in (API, GRAPH)}
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.variables = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self.listener.getsockname()[1]}",
            "SSL_CERT_FILE": str(self.issuer.file("ca.pem")),
        }
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            host = _head(connection).split(" ")[1].rpartition(":")[0]
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self.contexts[host].wrap_socket(connection, server_side=True) as inner:
                head = _head(inner)
                path = head.split(" ")[1]
                token = next(
                    (
                        line[22:]
                        for line in head.split("\r\n")
                        if line.lower().startswith("authorization: bearer ")
                    ),
                    None,
                )
                self.asked.append((host, path, token))
                waiting = self.answers.get(
                    (host, path.partition("?")[0]), [(200, {}, {"value": [], "items": []})]
                )
                status, fields, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                fields = {"Content-Length": str(len(content)), "Connection": "close", **fields}
                lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                inner.sendall(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content)


def _head(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(4096)
        if not chunk:
            raise OSError("hung up")
        received += chunk
    return received.decode("latin-1")


@pytest.fixture
def microsoft(tmp_path: Path) -> Iterator[Microsoft]:
    standing = Microsoft(tmp_path)
    yield standing
    standing.listener.close()


Fetch = Callable[..., tuple[int, str]]


@pytest.fixture
def fetch(microsoft: Microsoft, audit: Audit, database: Path) -> Fetch:
    """Run the command with these tokens on standard input: its exit code and what it said."""

    def run(*arguments: str, tokens: str = "", **variables: str) -> tuple[int, str]:
        environment = {**microsoft.variables, **variables}
        done = audit.run("fetch", "--db", str(database), *arguments, stdin=tokens, **environment)
        assert "" == done.stdout
        return done.returncode, done.stderr

    return run


def partner_center_token() -> str:
    return make_user_token("pwd", "mfa")


def graph_token() -> str:
    return make_user_token("pwd", "mfa", aud="https://graph.microsoft.com")


def stored(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_lists_and_sign_ins_are_stored_once(microsoft: Microsoft, fetch: Fetch, database: Path) -> None:
    """Two tokens on standard input fetch everything, page by page; once more adds nothing; no token is kept."""
    second = {**SIGN_IN, "id": "00000000-0000-4000-8000-00000000000b"}
    link = f"https://{GRAPH}/v1.0/auditLogs/next?$skiptoken=2"
    microsoft.answers = {
        (API, "/v1/partnerRequests"): [(200, {}, {"totalCount": 1, "items": [REQUEST]})],
        (GRAPH, "/v1.0/auditLogs/signIns"): [(200, {}, {"value": [SIGN_IN], "@odata.nextLink": link})],
        (GRAPH, "/v1.0/auditLogs/next"): [(200, {}, {"value": [second]})],
    }
    tokens = f"{partner_center_token()}\n{graph_token()}\n"
    code, said = fetch(tokens=tokens)
    assert (0, True) == (
        code,
        "partnerRequests: 1 row, 1 new." in said and "interactive sign-ins: 2 rows, 2 new." in said,
    )
    sent = {host: token for host, _, token in microsoft.asked}
    assert dict(zip((API, GRAPH), tokens.split(), strict=True)) == sent

    code, said = fetch(tokens=tokens)
    assert (0, 2, 1) == (
        code,
        said.count("1 row, 0 new") + said.count("2 rows, 0 new"),
        len(stored(database, "SELECT 1 FROM microsoft_requests")),
    )
    raw = b"".join(path.read_bytes() for path in database.parent.glob("audit.db*") if path.is_file())
    assert not any(part.encode() in raw for token in tokens.split() for part in token.split("."))


def test_it_continues_where_it_stopped(microsoft: Microsoft, fetch: Fetch, database: Path) -> None:
    """The second fetch of sign-ins asks from an hour before the first; a gap longer than Microsoft shows is said."""
    fetch("--only", "sign-ins", tokens=graph_token())
    fetch("--only", "sign-ins", tokens=graph_token())
    starts = [unquote(path).partition("createdDateTime ge ")[2][:20] for _, path, _ in microsoft.asked]
    ages = [
        time.time() - time.mktime(time.strptime(start, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone
        for start in starts
    ]
    assert [30, 30, 0, 0] == [round(age / 86400) for age in ages]
    assert 3600 <= ages[2] < 4200
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "INSERT INTO fetches (name, covered_from, covered_to, rows) VALUES ('partnerRequests', 0, ?, 0)",
            [round((time.time() - 10 * 86400) * 1000)],
        )
        connection.commit()
    code, said = fetch("--only", "lists", tokens=partner_center_token())
    assert (0, True) == (code, "is missing: Microsoft shows the last 7 days" in said)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([(403, {}, {"error": {"code": "Authorization_RequestDenied"}})], "AuditLog.Read.All"),
        ([(401, {}, {"error": {"code": "InvalidAuthenticationToken"}})], "may have expired"),
        ([(302, {"Location": "https://elsewhere.example/"}, b"")], "a redirect (302), which is not followed"),
        (
            [(200, {}, {"value": [], "@odata.nextLink": "https://elsewhere.example/x"})],
            "on another host (elsewhere.example)",
        ),
        ([(200, {}, {"value": [], "@odata.nextLink": "http://graph.microsoft.com/x"})], "on another host"),
        ([(418, {}, b"<html>\x1b[2J")], "answered 418"),
    ],
)
def test_what_is_refused_is_said(
    answers: list[Answer], expected: str, microsoft: Microsoft, fetch: Fetch
) -> None:
    """Each refusal is one sentence with what to do, exit 2, and the token goes nowhere else."""
    microsoft.answers = {(GRAPH, "/v1.0/auditLogs/signIns"): answers}
    code, said = fetch("--only", "sign-ins", tokens=graph_token())
    assert (2, True, False) == (code, expected in said, "\x1b" in said)
    assert {GRAPH} == {host for host, _, _ in microsoft.asked}


def test_a_token_without_mfa_is_told_so(microsoft: Microsoft, fetch: Fetch) -> None:
    """Partner Center's own rule applies to this command too."""
    microsoft.answers = {(API, f"/v1/{name}"): [(401, {}, {"code": 900421})] for name in ("partnerRequests",)}
    code, said = fetch("--only", "lists", tokens=partner_center_token())
    assert (2, True) == (code, "because MFA was missing" in said)


def test_it_waits_as_asked_and_tries_again(microsoft: Microsoft, fetch: Fetch, database: Path) -> None:
    """429 with Retry-After and a passing 503 cost time, not rows."""
    microsoft.answers = {
        (API, "/v1/partnerRequests"): [
            (429, {"Retry-After": "1"}, b""),
            (503, {"Retry-After": "0"}, b""),
            (200, {}, {"items": [REQUEST]}),
        ]
    }
    started = time.monotonic()
    code, _ = fetch("--only", "lists", tokens=partner_center_token())
    assert (0, 1) == (code, len(stored(database, "SELECT 1 FROM microsoft_requests")))
    assert 1 <= time.monotonic() - started


def test_a_token_for_something_else_is_not_sent(microsoft: Microsoft, fetch: Fetch) -> None:
    """The audience is checked before anything is sent."""
    code, said = fetch(tokens=make_user_token("mfa", aud="https://management.azure.com"))
    assert (2, [], True) == (code, microsoft.asked, "it was sent nowhere" in said)


def test_an_untrusted_certificate_gets_no_token(microsoft: Microsoft, fetch: Fetch, tmp_path: Path) -> None:
    """Where the certificate does not verify, nothing is sent."""
    other = Issuer("another", tmp_path / "..").pem
    (tmp_path / "other.pem").write_bytes(other)
    code, said = fetch("--only", "sign-ins", tokens=graph_token(), SSL_CERT_FILE=str(tmp_path / "other.pem"))
    assert (2, [], True) == (code, microsoft.asked, "is not trusted; nothing was sent" in said)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for az is a shell script")
def test_tokens_from_azure_cli(microsoft: Microsoft, fetch: Fetch, tmp_path: Path) -> None:
    """--az asks Azure CLI for a token for each service, and says what to do where it has none."""
    az = tmp_path / "bin" / "az"
    az.parent.mkdir()
    answer = json.dumps({"accessToken": graph_token()})
    az.write_text(f"#!/bin/sh\ncase \"$*\" in *graph*) echo '{answer}';; *) echo no >&2; exit 1;; esac\n")
    az.chmod(0o755)
    path = f"{az.parent}{os.pathsep}{os.environ['PATH']}"
    assert 0 == fetch("--az", "--only", "sign-ins", PATH=path)[0]
    code, said = fetch("--az", PATH=path)
    assert (2, True) == (code, "az login --scope https://api.partnercenter.microsoft.com/.default" in said)


def test_a_dry_run_sends_nothing(microsoft: Microsoft, fetch: Fetch, database: Path) -> None:
    """--dry-run says what would be asked of whom, with which rights, and makes no database."""
    code, said = fetch("--dry-run")
    assert (0, [], False) == (code, microsoft.asked, database.exists())
    assert "AuditLog.Read.All" in said

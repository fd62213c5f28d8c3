"""Connections that the proxy can only break pass unread, and each is stored as a blind spot."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from plain_tunnels import Tunnels
from situations import HOST
from told_server import ToldServer
from told_ways import start_proxy

from endpoints import Issuer
from mfa_audit.machine import authorities
from mfa_audit.proxy.serving import ProxySettings, serve
from processes import Running

FETCH = """
import sys, ssl, urllib.request
bundle, url, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(times):
    try:
        answer = urllib.request.urlopen(url, context=ssl.create_default_context(cafile=bundle), timeout=20)
        print(answer.status)
    except OSError as error:
        print("refused" if "CERTIFICATE_VERIFY_FAILED" in str(error) else repr(error))
"""


def fetch(script: Path, proxy: str, bundle: Path, times: int = 1, port: int = 443) -> list[str]:
    """What a script of its own sees of calls that trust `bundle` only."""
    script.write_text(FETCH)
    url = f"https://{HOST}:{port}/plain/0"
    ran = subprocess.run(
        [sys.executable, script, bundle, url, str(times)],
        env={"HTTPS_PROXY": proxy, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.split()


def reasons(database: Path, wanted: int = 1) -> list[tuple[str, int]]:
    """The blind spots that are stored, by reason, once `wanted` connections are in them (or 10 s have passed)."""
    deadline = time.monotonic() + 10
    while True:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(
                "SELECT reason, sum(count) FROM not_audited GROUP BY reason ORDER BY reason"
            ).fetchall()
        if sum(count for _, count in rows) >= wanted or time.monotonic() > deadline:
            return rows
        time.sleep(0.1)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """Who vouches for the server."""
    return Issuer("A root of the machine", tmp_path)


@pytest.fixture
def server(issuer: Issuer) -> Iterator[ToldServer]:
    """The server."""
    with ToldServer(issuer.server(HOST)) as running:
        yield running


class Started:
    """A proxy to the server, and a client's script; `roots` trusts the server only, `ours` our authority only."""

    def __init__(
        self, folder: Path, server: ToldServer, issuer: Issuer, *arguments: str, **variables: str
    ) -> None:
        self.folder = folder
        self.roots = issuer.file("roots.pem")
        home = folder / "home"
        home.mkdir(parents=True)
        self.running: Running
        places = {f"{HOST}:443": server.port}
        self.running, self.url, self.ours, self.database = start_proxy(
            home, places, issuer, *arguments, **variables
        )

    def fetch(self, script: str, bundle: Path, times: int = 1) -> list[str]:
        return fetch(self.folder / script, self.url, bundle, times)


def test_a_program_that_refused_passes_unread(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A program that retries after it refused our certificate succeeds; others are read as before."""
    proxy = Started(tmp_path, server, issuer)
    try:
        assert ["refused", "200", "200"] == proxy.fetch("stubborn.py", proxy.roots, 3)
        assert ["200"] == proxy.fetch("stubborn.py", proxy.roots), "its next process, within ten minutes"
        assert ["200", "200"] == proxy.fetch("trusting.py", proxy.ours, 2)
        assert [("certificate-refused", 1), ("refused-before", 3)] == reasons(proxy.database, 4)
    finally:
        proxy.running.stop()


@pytest.mark.parametrize("argument", ["--no-tunnel", "--enforce"])
def test_nothing_passes_unread_where_that_is_not_wanted(
    argument: str, tmp_path: Path, server: ToldServer, issuer: Issuer
) -> None:
    """With --no-tunnel and with --enforce a program that refuses our certificate keeps failing."""
    proxy = Started(tmp_path, server, issuer, argument)
    try:
        assert ["refused", "refused"] == proxy.fetch("stubborn.py", proxy.roots, 2)
    finally:
        proxy.running.stop()


def test_a_certificate_that_does_not_verify_is_for_the_client_to_judge(
    tmp_path: Path, server: ToldServer, issuer: Issuer
) -> None:
    """A server's certificate that we do not trust reaches the client, which may; the call is a blind spot."""
    other = Issuer("Somebody else", tmp_path)
    proxy = Started(tmp_path, server, other)
    try:
        assert ["200", "200"] == proxy.fetch("tool.py", issuer.file("theirs.pem"), 2)
        assert [("upstream-tls-failed", 2)] == reasons(proxy.database, 2)
    finally:
        proxy.running.stop()


def test_names_in_our_certificate(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A client that connects to an address and asks for the API by name gets a certificate for the name alone."""
    proxy = Started(tmp_path, server, issuer)
    try:
        with connect(proxy.url, f"127.0.0.1:{server.port}") as raw:
            context = ssl.create_default_context(cafile=proxy.ours)
            with context.wrap_socket(raw, server_hostname=HOST) as tls:
                names = tls.getpeercert()["subjectAltName"]
        assert (("DNS", HOST),) == names
    finally:
        proxy.running.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_socks_with_local_names(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A client that resolves names itself and knows a SOCKS proxy only is served and read."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = Started(tmp_path, server, issuer, "--mode", f"socks5@127.0.0.1:{port}")
    try:
        told = subprocess.run(
            [
                *("curl", "--silent", "--socks5", f"127.0.0.1:{port}", "--cacert", proxy.ours),
                *("--resolve", f"{HOST}:{server.port}:127.0.0.1", "--write-out", "%{http_code}"),
                *("--output", tmp_path / "out", f"https://{HOST}:{server.port}/plain/0"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "200" == told.stdout
    finally:
        proxy.running.stop()


def test_interception_ends_before_the_authority_does(
    tmp_path: Path, server: ToldServer, issuer: Issuer
) -> None:
    """Near its authority's end the proxy lets calls pass unread, says so once, and stores each as a blind spot."""
    said: list[str] = []
    authority = authorities.create(tmp_path / "authority", days=timedelta(seconds=4) / timedelta(days=1))
    settings = ProxySettings(
        kind="proxy",
        database=tmp_path / "audit.db",
        authority=authority,
        port=0,
        extra=(f"ssl_verify_upstream_trusted_ca={issuer.file('roots.pem')}",),
    )
    seen = []

    async def watch() -> None:
        async with serve(settings, said.append) as proxy:
            loop = asyncio.get_running_loop()
            loop.getaddrinfo = _leading_to(server.port, loop.getaddrinfo)  # type: ignore[method-assign]
            for pause in (0, 4.2, 0):
                await asyncio.sleep(pause)
                seen.append(await asyncio.to_thread(issuer_seen, proxy.url))

    asyncio.run(watch())

    assert [authority.name, "A root of the machine", "A root of the machine"] == seen
    assert 1 == sum("certificate authority is at its end" in text for text in said)
    assert ("authority-ended", 2) in reasons(settings.database, 3)


def test_a_proxys_password_stays_at_the_proxy(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """What a client tells its proxy does not go on to the API, also not from a client that sends whole addresses."""
    proxy = Started(tmp_path, server, issuer)
    try:
        host, port = proxy.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 20) as raw:
            raw.sendall(
                f"GET https://{HOST}/plain/0?run=whole HTTP/1.1\r\nHost: {HOST}\r\n"
                "Proxy-Authorization: Basic c2VjcmV0\r\nConnection: close\r\n\r\n".encode()
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
        assert "proxy-authorization" not in server.seen["whole plain"]
    finally:
        proxy.running.stop()


def test_an_alert_after_the_handshake_ends_the_call(tmp_path: Path, issuer: Issuer) -> None:
    """A server that asks for a client's certificate in TLS 1.3 fails the call at once, as directly."""
    context = issuer.server(HOST)
    context.load_verify_locations(issuer.file("clients.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    with ToldServer(context) as server:
        proxy = Started(tmp_path, server, issuer)
        try:
            began = time.monotonic()
            assert ["200"] != proxy.fetch("tool.py", proxy.ours)
            assert time.monotonic() - began < 15
        finally:
            proxy.running.stop()


def connect(proxy: str, target: str) -> socket.socket:
    """A connection through the proxy's tunnel to `target`."""
    host, port = proxy.removeprefix("http://").split(":")
    raw = socket.create_connection((host, int(port)), 20)
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert b" 200 " in raw.recv(1000)
    return raw


def issuer_seen(proxy: str) -> str:
    """The common name of who signed the certificate that a client sees."""
    from cryptography import x509

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(proxy, f"{HOST}:443") as raw, context.wrap_socket(raw, server_hostname=HOST) as tls:
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    attributes = certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attributes[0].value)


def _leading_to(port: int, ask: object) -> object:
    async def look_up(host: str, wanted: int, **named: object) -> object:
        place = ("127.0.0.1", port) if host == HOST else (host, wanted)
        return await ask(*place, **named)  # type: ignore[operator]

    return look_up


def test_one_failed_connection_fails_one_call(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A client that keeps its HTTP/2 connection to us is served again as soon as the server is back."""
    httpx = pytest.importorskip("httpx")
    proxy = Started(tmp_path, server, issuer)
    url = f"https://{HOST}/closed-between/0"
    try:
        trust = ssl.create_default_context(cafile=proxy.ours)
        with httpx.Client(http2=True, proxy=proxy.url, verify=trust, timeout=20) as client:
            assert 200 == client.get(url).status_code
            time.sleep(0.3)  # the server closes its connection
            server.__exit__()
            assert 502 == client.get(url).status_code
            with ToldServer(issuer.server(HOST), server.port):
                assert 200 == client.get(url).status_code
    finally:
        proxy.running.stop()


@pytest.mark.parametrize(
    ("exempt", "asked"), [("", [f"{HOST}:443"]), (f"localhost,{HOST}", []), (".microsoft.com", [])]
)
def test_the_way_out_is_the_clients(
    exempt: str, asked: list[str], tmp_path: Path, server: ToldServer, issuer: Issuer
) -> None:
    """A host goes through the proxy that the settings name, unless NO_PROXY, in either spelling, exempts it."""
    home = tmp_path / "home"
    home.mkdir()
    with Tunnels({(HOST, 443): server.port}) as company:
        variables = {
            "HTTPS_PROXY": f"http://127.0.0.1:{company.port}",
            "no_proxy": exempt,
            "NO_PROXY": "x.test",
        }
        running, url, ours, _ = start_proxy(home, {f"{HOST}:443": server.port}, issuer, **variables)
        try:
            assert ["200"] == fetch(tmp_path / "tool.py", url, ours)
            assert asked == company.asked
        finally:
            running.stop()


def test_a_certificate_behind_a_companys_proxy(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A server's certificate that we do not trust reaches the client through the company's proxy too."""
    home = tmp_path / "home"
    home.mkdir()
    with Tunnels({(HOST, 443): server.port}) as company:
        other = Issuer("Somebody else", tmp_path)
        upstream = f"http://127.0.0.1:{company.port}"
        running, url, _, database = start_proxy(home, {}, other, "--upstream", upstream)
        try:
            assert ["200"] == fetch(tmp_path / "tool.py", url, issuer.file("theirs.pem"))
            assert [("upstream-tls-failed", 1)] == reasons(database)
        finally:
            running.stop()


def test_a_restarted_proxy_is_not_its_own_way_out(tmp_path: Path, server: ToldServer, issuer: Issuer) -> None:
    """A proxy started where the variables still lead to it goes out directly; named as --upstream it is refused."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = f"http://localhost:{port}"
    listen = ("--listen", f"127.0.0.1:{port}")
    proxy = Started(tmp_path, server, issuer, *listen, HTTPS_PROXY=ours)
    try:
        assert ["200"] == proxy.fetch("tool.py", proxy.ours)
    finally:
        proxy.running.stop()

    with pytest.raises(AssertionError, match="this very proxy"):
        Started(tmp_path / "again", server, issuer, *listen, "--upstream", ours)

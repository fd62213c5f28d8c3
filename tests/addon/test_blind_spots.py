"""Clients whose traffic the proxy cannot read are in the report, each with its reason; healthy ones are not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import API
from mfa_audit.commands.demo.standin import StandIn
from observed import query
from processes import Audit, Running
from traffic import HOST, Connection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Starter = Callable[..., tuple[Running, int, Path]]


@pytest.fixture
def start(audit: Audit, upstream: list[str], database: Path) -> Starter:
    """Start `mfa-audit proxy` in front of the stand-in: the process, its port and its authority's certificate."""

    def begin(*options: str) -> tuple[Running, int, Path]:
        running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream, *options)
        running.wait_for("Listening at")
        return running, running.wait_for_port(), Path(running.wait_for(r"Certificate authority: (.+)")[1])

    return begin


def not_audited(audit: Audit, database: Path) -> list[tuple[str, str | None, str | None]]:
    """Reason, User-Agent and program of each blind spot in the report."""
    report = json.loads(audit.run("report", "--db", database, "--format", "json").stdout)
    return [(one["reason"], one["user_agent"], one["program"]) for one in report["not_audited"]]


def test_a_client_that_does_not_trust(start: Starter, audit: Audit, database: Path, curl: str) -> None:
    """A client without the proxy's authority refused the certificate, and is named by program and User-Agent."""
    running, port, _ = start("--no-tunnel")
    refusing = [curl, "-sS", "-x", f"http://127.0.0.1:{port}", f"{API}/v1/customers"]
    for _ in range(5):  # on a busy machine one may have ended before anybody could ask who it was
        assert 60 == subprocess.run(refusing, capture_output=True, check=False).returncode
    silent = "import os, urllib.request; urllib.request.urlopen(os.environ['TO'])"
    environment = os.environ | {"https_proxy": f"http://127.0.0.1:{port}", "TO": f"{API}/v1/customers"}
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", silent], env=environment, capture_output=True, check=False
        )
        assert b"CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert "refused our certificate" in running.stop().stderr
    found = not_audited(audit, database)
    assert {"certificate-refused"} == {reason for reason, _, _ in found}
    assert "curl" in {program for _, agent, program in found if agent}
    assert str(next(agent for _, agent, _ in found if agent)).startswith("curl/")
    assert any(str(program).startswith("python") for _, agent, program in found if agent is None)
    assert 3 == audit.run("report", "--db", database).returncode


def test_a_client_that_pins(start: Starter, audit: Audit, database: Path, curl: str) -> None:
    """A client that finishes the handshake and then finds the wrong key has made no request."""
    running, port, authority = start()
    pin = "sha256//" + "A" * 43 + "="
    done = subprocess.run(
        [
            *(curl, "-sS", "-x", f"http://127.0.0.1:{port}", "--cacert", str(authority)),
            *("--pinnedpubkey", pin, f"{API}/v1/customers"),
        ],
        capture_output=True,
        check=False,
    )
    assert 90 == done.returncode
    running.stop()
    [(reason, agent, _)] = not_audited(audit, database)
    assert "no-request" == reason
    assert str(agent).startswith("curl/")


def test_a_tunnel(start: Starter, audit: Audit, database: Path, standin: StandIn) -> None:
    """What `ignore_hosts` lets through unread is a tunnel, also where it is still open when the proxy stops."""
    # The tunnel leads to the API's real address, where nothing answers here: what counts is what the client sent.
    running, port, _ = start("--set", "ignore_hosts=partnercenter")
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(
            f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\nUser-Agent: tunneller/1\r\n\r\n".encode()
        )
        assert b" 200 " in raw.recv(4096)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        raw.sendall(outgoing.read())
        time.sleep(0.5)
    running.stop()
    assert [("tunnelled", "tunneller/1")] == [one[:2] for one in not_audited(audit, database)]


def test_a_connection_without_a_request(start: Starter, audit: Audit, database: Path, with_mfa: str) -> None:
    """An unused connection is told, whatever the same program did on another: only a browser opens some for nothing."""
    running, port, authority = start()
    idle = Connection(port, authority)
    time.sleep(0.3)  # by then its program has been looked up
    idle.close()
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        raw.recv(4096)
        time.sleep(0.3)
    time.sleep(0.5)
    assert ["no-request"] == [one[0] for one in not_audited(audit, database)]
    used = Connection(port, authority)
    for _ in range(2):
        assert 200 == used.call(with_mfa)
        time.sleep(0.2)  # by now the program has been looked up
    used.close()
    running.stop()
    assert ["no-request"] == [one[0] for one in not_audited(audit, database)]


def test_a_broken_server(audit: Audit, upstream: list[str], database: Path, curl: str) -> None:
    """A call that the proxy answers itself because the server failed was read: it is a call, and no blind spot."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        options = list(upstream)
        options[1] = f"map_remote=|{API}/|https://127.0.0.1:{dead.getsockname()[1]}/"
        dead.close()
        running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *options)
        running.wait_for("Listening at")
        connection = Connection(
            running.wait_for_port(), Path(running.wait_for(r"Certificate authority: (.+)")[1])
        )
        assert 502 == connection.call("token")
        running.stop()
    assert [] == not_audited(audit, database)
    assert [(1,)] == query(database, "SELECT count(*) FROM calls")


def test_a_server_out_of_reach(audit: Audit, database: Path, curl: str) -> None:
    """Who asked for Partner Center and got no connection is named, with what to try, instead of "nothing was seen"."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        port = dead.getsockname()[1]
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", "--host", "127.0.0.1")
    running.wait_for("Listening at")
    proxy = f"http://127.0.0.1:{running.wait_for_port()}"
    done = subprocess.run(
        [curl, "-sS", "-x", proxy, f"https://127.0.0.1:{port}/"], capture_output=True, check=False
    )
    assert b"502" in done.stderr
    running.wait_for("--upstream")
    assert "could not reach Partner Center" in running.stop().stderr
    assert ["unreachable"] == [reason for reason, _, _ in not_audited(audit, database)]
    assert 3 == audit.run("report", "--db", database).returncode


@pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM ON THIS MACHINE")
def test_a_healthy_chromium(start: Starter, audit: Audit, database: Path, tmp_path: Path) -> None:
    """A browser that trusts the proxy and shows a page of the API leaves no blind spot."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    running, port, authority = start()
    key = x509.load_pem_x509_certificate(authority.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    import base64

    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--proxy-server=127.0.0.1:{port}"),
            f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}",
            *("--dump-dom", f"{API}/v1/customers"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "No token was sent" in done.stdout, done.stderr[-2000:]
    running.stop()
    assert [] == not_audited(audit, database)
    assert [(True,)] == query(database, "SELECT count(*) > 0 FROM calls")


def test_stopped_and_crashed(start: Starter, audit: Audit, database: Path, with_mfa: str) -> None:
    """The time after a kill is a gap `crashed` and makes the answer unclear; that after a stop does not."""
    running, port, authority = start()
    assert 200 == Connection(port, authority).call(with_mfa)
    running.stop()
    age(database, 100_000)
    assert (["stopped"], 0) == gaps(audit, database)
    running, port, authority = start()
    running.kill()
    age(database, 100_000)
    assert (["stopped", "crashed"], 3) == gaps(audit, database)


@pytest.mark.parametrize("reason", ["slept", "behind"])
def test_stored_gaps(start: Starter, audit: Audit, database: Path, with_mfa: str, reason: str) -> None:
    """A stored gap is in the report with its reason, and makes the answer unclear."""
    running, port, authority = start()
    assert 200 == Connection(port, authority).call(with_mfa)
    running.stop()
    query(
        database,
        "INSERT INTO gaps (session_id, started, ended, reason, lost) SELECT id, started, ended, ?, 0 FROM sessions",
        reason,
    )
    assert ([reason], 3) == gaps(audit, database)


def test_unloaded(upstream: list[str], audit: Audit, database: Path, tmp_path: Path) -> None:
    """A reload of the script that fails while mitmdump runs is stored as `unloaded`, not as a stop."""
    script = tmp_path / "script.py"
    good = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'addons')!r})\n"
        "from mfa_audit.addon.live import PartnerCenterMfa\naddons = [PartnerCenterMfa()]\n"
    )
    script.write_text(good)
    mitmdump = Path(sys.executable).with_name("mitmdump")
    process = subprocess.Popen(
        [
            *(str(mitmdump), "-q", "-s", str(script), "--set", f"mfa_audit_db={database}"),
            *("--set", f"confdir={tmp_path / 'conf'}", "-p", "0", "--listen-host", "127.0.0.1"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: database.exists() and bool(rows(database, "SELECT 1 FROM sessions")))
        time.sleep(1.5)  # mitmproxy compares whole times of the file's change
        script.write_text("this is no Python\n")
        wait_until(lambda: rows(database, "SELECT ended_how FROM sessions") == [("unloaded",)], 20)
    finally:
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        process.wait(20)
    age(database, 100_000)
    assert ["unloaded"] == gaps(audit, database)[0]


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    import sqlite3

    with contextlib.suppress(sqlite3.Error):
        return query(database, sql)
    return []


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def age(database: Path, milliseconds: int) -> None:
    """Let all that was recorded have been so much earlier."""
    for table, columns in (("sessions", ("started", "last_beat", "ended")), ("gaps", ("started", "ended"))):
        query(
            database, f"UPDATE {table} SET " + ", ".join(f"{one} = {one} - {milliseconds}" for one in columns)
        )


def gaps(audit: Audit, database: Path) -> tuple[list[str], int]:
    """The reasons of the report's gaps, and its exit code."""
    done = audit.run("report", "--db", database, "--format", "json")
    return [one["reason"] for one in json.loads(done.stdout)["recorder"]["gaps"]], done.returncode

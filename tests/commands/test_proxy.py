"""`mfa-audit proxy`: a recording proxy in the foreground."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clients import API
from mfa_audit.commands.demo.standin import StandIn
from processes import Audit, Running

CUSTOMERS = f"{API}/v1/customers"


def call(curl: str, running: Running, token: str | None, *options: str) -> str:
    """One call through a running proxy, which curl is told of by its own options; the status code of the answer."""
    port = running.wait_for_port()
    authority = running.wait_for(r"Certificate authority: (.+)")[1]
    header = [] if token is None else ["-H", f"Authorization: Bearer {token}"]
    done = subprocess.run(
        [
            *(curl, "-sS", "-o", os.devnull, "-w", "%{http_code} %{http_version}", "--cacert", authority),
            *("-x", f"http://127.0.0.1:{port}", *header, *options, CUSTOMERS),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def proxy(audit: Audit, upstream: list[str], database: Path) -> Running:
    """A running `mfa-audit proxy` in front of the stand-in, on a free port."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    running.wait_for("Listening at")
    return running


def test_it_says_what_is_new_and_reports_at_the_end(
    proxy: Running, curl: str, with_mfa: str, without_mfa: str
) -> None:
    """Each new tool gets a line at once, a changed verdict another, and SIGTERM brings the report and exit 0."""
    assert call(curl, proxy, with_mfa, "--http1.1") == "200 1.1"
    proxy.wait_for("With MFA: curl")
    assert call(curl, proxy, without_mfa, "--http2") == "200 2"
    proxy.wait_for("With MFA -> Without MFA: curl")
    done = proxy.stop()
    assert done.returncode == 0
    assert "NO - 1 of 1 tool calls Partner Center without MFA." in done.stderr
    assert "2 calls" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_reports(proxy: Running, curl: str, app_only: str) -> None:
    """One Ctrl-C is a normal stop: the report, exit 0, and the port is free again."""
    port = proxy.wait_for_port()
    call(curl, proxy, app_only)
    proxy.signal(signal.SIGINT)
    done = proxy.end()
    assert done.returncode == 0
    assert "App-only" in done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_a_call_without_token_is_counted_apart(
    audit: Audit, proxy: Running, curl: str, database: Path
) -> None:
    """A call without Authorization makes no tool; a CORS preflight is not counted at all."""
    assert call(curl, proxy, None).startswith("401")
    assert call(curl, proxy, None, "-X", "OPTIONS").startswith("204")
    done = proxy.stop()
    assert "CANNOT TELL YET" in done.stderr
    report = audit.run("report", "--db", database, "--format", "json").stdout
    assert re.search(r'"requests": 0,\s+"without_token": 1', report)


def test_a_port_in_use_is_one_sentence(audit: Audit, database: Path) -> None:
    """A taken port is said in one line, exit 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = audit.run("proxy", "--db", database, "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_authority_is_our_own_and_kept(audit: Audit, home: Path, database: Path) -> None:
    """The authority lies in the user's data folder, never in mitmproxy's, and a second start uses the same."""
    first, second = (audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0") for _ in range(2))
    files = {running.wait_for(r"Certificate authority: (.+)")[1] for running in (first, second)}
    (file,) = files
    content = Path(file).read_bytes()
    assert not (home / ".mitmproxy").exists()
    for running in (first, second):
        running.wait_for("Listening at")
        assert running.stop().returncode == 0
    assert content == Path(file).read_bytes()


def test_what_we_ask_the_server_is_said(
    audit: Audit, upstream: list[str], database: Path, curl: str, without_mfa: str
) -> None:
    """--validate adds ValidateMfa to calls with a user token; the report shows the server's own word and says so."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", "--validate", *upstream)
    running.wait_for("Listening at")
    assert "ValidateMfa: true" in running.stderr
    call(curl, running, without_mfa)
    done = running.stop()
    assert "ValidateMfa: true was added to calls" in done.stderr
    report = audit.run("report", "--db", database, "--format", "json").stdout
    assert re.search(r'"server": \{\s+"compliant": 0,\s+"non_compliant": 1', report)


def test_enforcing_counts_as_our_own_test(
    audit: Audit, upstream: list[str], database: Path, curl: str, without_mfa: str
) -> None:
    """A call refused because of --enforce is blocked by test, not blocked; POST is left alone."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", "--enforce", *upstream)
    running.wait_for("Listening at")
    assert call(curl, running, without_mfa).startswith("401")
    assert call(curl, running, without_mfa, "-X", "POST").startswith("200")
    running.stop()
    report = audit.run("report", "--db", database, "--format", "json").stdout
    assert '"blocked": 0' in report
    assert '"blocked_by_test": 1' in report


def env_of(audit: Audit, running: Running) -> dict[str, str]:
    """The variables that `mfa-audit env` sets in a terminal for this proxy."""
    lines = audit.run("env", "--shell", "bash", "--port", str(running.wait_for_port())).stdout
    return dict(re.findall(r"^export (HTTPS_PROXY|CURL_CA_BUNDLE)='?(.+?)'?$", lines, re.MULTILINE))


def call_with(curl: str, variables: dict[str, str]) -> str:
    """A call without a token from a terminal with these variables: curl's exit code and the answer's status code."""
    command = [curl, "-sS", "-o", os.devnull, "-w", "%{http_code}", CUSTOMERS]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    return f"{done.returncode} {done.stdout}"


def test_a_proxy_for_other_hosts_changes_nothing_for_the_first(
    audit: Audit, upstream: list[str], database: Path, curl: str
) -> None:
    """With a second proxy for further hosts, terminals of both, old and new, call on, each by its own authority."""
    listen = ["proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream]
    first = audit.start(*listen)
    first.wait_for("Listening at")
    old = env_of(audit, first)
    assert "0 401" == call_with(curl, old)
    second = audit.start(*listen, "--host", "api.contoso.example")
    second.wait_for("Listening at")
    terminals = [old, env_of(audit, first), env_of(audit, second)]
    assert ["0 401"] * 3 == [call_with(curl, variables) for variables in terminals]
    authorities = {running.wait_for(r"Certificate authority: (.+)")[1] for running in (first, second)}
    assert 2 == len(authorities)


def test_recorders_with_different_company_roots(
    audit: Audit, standin: StandIn, tmp_path: Path, curl: str
) -> None:
    """A recorder that does not know the company's root starts beside one that does, which goes on trusting it."""
    options = standin.instead_of()
    del options["ssl_verify_upstream_trusted_ca"]
    upstream = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    listen = ["proxy", "--listen", "127.0.0.1:0", *upstream, "--db"]
    first = audit.start(*listen, tmp_path / "a.db", SSL_CERT_FILE=str(standin.certificate_file))
    first.wait_for("Listening at")
    second = audit.start(*listen, tmp_path / "b.db")
    second.wait_for("Listening at")
    assert ["0 401", "0 502"] == [call_with(curl, env_of(audit, running)) for running in (first, second)]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_nothing_is_left_of_a_proxy(audit: Audit, database: Path, home: Path) -> None:
    """At its end nothing of a proxy is left but its authority and the database; no second copy of the key ever lies
    about while it runs.
    """
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0")
    running.wait_for("Listening at")
    files = [path for path in home.rglob("*") if path.is_file()]
    assert ["mitmproxy-ca.pem"] == [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
    running.stop()
    left = {path.name for path in home.rglob("*") if path.is_file()}
    assert {".lock", "mitmproxy-ca.pem", "mitmproxy-ca-cert.pem"} == left


def test_who_is_left_without_a_proxy_is_named(proxy: Running) -> None:
    """Stopping says which programs still have the proxy in their variables, and how a terminal gets rid of it."""
    url = f"http://127.0.0.1:{proxy.wait_for_port()}"
    tool = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, "HTTPS_PROXY": url}
    )
    try:
        said = proxy.stop().stderr
    finally:
        tool.kill()
        tool.wait()

    assert f"(process {tool.pid})" in said
    assert "mfa-audit env --unset" in said

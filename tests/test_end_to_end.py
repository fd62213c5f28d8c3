"""The whole way: the installed command, real clients, TLS, the stand-in, the database, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from clients import API
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.commands.demo.standin import StandIn
from processes import Audit

URL = f"{API}/v1/customers"
Client = Callable[[str, str], list[str]]


def run(
    audit: Audit, database: Path, options: Sequence[str], command: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    return audit.run("run", "--db", database, *options, "--", *command)


def test_each_client_is_judged_by_its_token(
    audit: Audit, database: Path, upstream: list[str], client: Client, without_mfa: str
) -> None:
    """A call without MFA, by any client, is answered, stored and told: exit 1."""
    done = run(audit, database, upstream, client(URL, without_mfa))
    assert (1, "200") == (done.returncode, done.stdout.strip()), done.stderr
    assert "NO - 1 of 1 tool calls Partner Center without MFA." in done.stderr


@pytest.mark.parametrize(
    "token", [make_user_token("pwd", "mfa"), make_user_token("ngcmfa"), make_app_token()]
)
def test_with_mfa_and_app_only_are_a_yes(
    audit: Audit, database: Path, upstream: list[str], token: str
) -> None:
    """A user's token with MFA and an app's own token both end with exit 0."""
    script = (
        "import sys, requests; requests.get(sys.argv[1], headers={'Authorization': 'bearer ' + sys.argv[2]})"
    )
    done = run(audit, database, upstream, [sys.executable, "-c", script, URL, token])
    assert 0 == done.returncode, done.stderr
    assert "\nYES, for what was seen" in f"\n{done.stderr}"


def test_nothing_seen_is_no_yes(audit: Audit, database: Path) -> None:
    """A command that calls nothing ends with exit 3."""
    done = run(audit, database, [], [sys.executable, "-c", ""])
    assert 3 == done.returncode
    assert "\nCANNOT TELL YET" in f"\n{done.stderr}"


def test_the_commands_own_failure_comes_first(
    audit: Audit, database: Path, upstream: list[str], curl: str, without_mfa: str
) -> None:
    """stdout and a non-zero exit status are the command's; with --exit-code report the answer's come through."""
    script = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True); sys.exit(7)"
    call = [curl, "--silent", "--header", f"Authorization: Bearer {without_mfa}", URL]
    command = [sys.executable, "-c", script, *call]
    done = run(audit, database, upstream, command)
    assert (7, 0) == (done.returncode, json.loads(done.stdout)["totalCount"])
    assert 1 == run(audit, database, [*upstream, "--exit-code", "report"], command).returncode


def test_a_refusal_is_told(
    audit: Audit, database: Path, upstream: list[str], standin: StandIn, curl: str, without_mfa: str
) -> None:
    """A call that Partner Center refused for want of MFA is blocked now, in either year's form."""
    for year in ("2019", "2026"):
        call = [
            curl,
            "--silent",
            "--header",
            f"Authorization: Bearer {without_mfa}",
            f"{URL}?enforcement={year}",
        ]
        done = run(audit, database, upstream, call)
        assert (1, True) == (done.returncode, "1 is blocked now." in done.stderr), done.stderr
    assert 2 == standin.answered


def test_another_host_passes_unopened(audit: Audit, database: Path) -> None:
    """Another TLS host shows its own certificate through the proxy, and leaves no trace in the database."""
    with StandIn(hosts=("login.contoso.example",)) as other:
        script = (
            "import http.client, os, ssl, sys, urllib.parse\n"
            "proxy = urllib.parse.urlsplit(os.environ['HTTPS_PROXY'])\n"
            "trust = ssl.create_default_context(cafile=sys.argv[2])\n"
            "one = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=trust)\n"
            "one.set_tunnel('127.0.0.1', int(sys.argv[1]))\n"
            "one.request('GET', '/', headers={'Authorization': sys.argv[3]})\n"
            "print(one.getresponse().status)\n"
        )
        token = f"Bearer {make_user_token('pwd')}"
        command = [sys.executable, "-c", script, str(other.port), str(other.certificate_file), token]
        done = run(audit, database, [], command)
    assert (3, "200") == (done.returncode, done.stdout.strip()), done.stderr
    assert b"127.0.0.1" not in database.read_bytes()


def test_no_file_holds_a_part_of_a_token(
    audit: Audit, database: Path, tmp_path: Path, home: Path, upstream: list[str], client: Client
) -> None:
    """No file that was written holds 16 successive characters of a token's payload or signature."""
    token = make_user_token("pwd", upn="leak.test@contoso.example")
    done = run(audit, database, upstream, client(URL, token))
    secret = ".".join(token.split(".")[1:])
    parts = {secret[i : i + 16].encode() for i in range(len(secret) - 15)}
    written = [path.read_bytes() for path in (*tmp_path.rglob("*"), *home.rglob("*")) if path.is_file()]
    written += [done.stdout.encode(), done.stderr.encode()]
    assert [] == [part for part in parts if any(part in content for content in written)]
    assert len(written) > 2


def test_a_proxy_reports_when_it_is_stopped(
    audit: Audit, database: Path, upstream: list[str], standin: StandIn, curl: str, without_mfa: str
) -> None:
    """The proxy says where it listens, records until SIGTERM, then reports and exits 0."""
    proxy = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    port = proxy.wait_for_port()
    call = ["--insecure", "--silent", "--proxy", f"http://127.0.0.1:{port}", URL]
    subprocess.run([curl, *call, "--header", f"Authorization: Bearer {without_mfa}"], check=True, timeout=30)
    done = proxy.stop()
    assert (0, 1) == (done.returncode, standin.answered), done.stderr
    assert "NO - 1 of 1 tool calls Partner Center without MFA." in done.stdout + done.stderr

"""How calls leave our proxy and who may use it: a corporate proxy behind it, its password, and other machines."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoints import Endpoint, Issuer, listening
from processes import Audit

API = "api.partnercenter.microsoft.com"
OTHER = "login.example.test"


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[Endpoint, Path]]:
    """A company's proxy, which inspects: every host shows a certificate of the company's own root; and that root."""
    issuer = Issuer("the company's", tmp_path)
    with listening({API: issuer.server(API), OTHER: issuer.server(OTHER)}) as endpoint:
        yield endpoint, issuer.file("company.pem")


def requests_of(database: Path, audit: Audit) -> int:
    done = audit.run("report", "--db", database, "--format", "json", "--since", "all")
    return int(json.loads(done.stdout)["totals"]["requests"])


@pytest.mark.parametrize("how", ["variable", "option", "setting of mfa-audit"])
def test_behind_a_company_proxy(
    company: tuple[Endpoint, Path], audit: Audit, database: Path, curl: str, with_mfa: str, how: str
) -> None:
    """Behind an inspecting proxy with a password the call goes through it, is recorded, and the password is nowhere."""
    endpoint, root = company
    address = endpoint.url.replace("http://", "http://ann:hunter2%40@")
    options = ["--upstream", address] if how == "option" else []
    variables = {"HTTPS_PROXY": address} if how == "variable" else {}
    if how == "setting of mfa-audit":
        variables = {"MFA_AUDIT_UPSTREAM": address}
    call = [curl, "-sS", "-H", f"Authorization: Bearer {with_mfa}", f"https://{API}/v1/customers"]

    done = audit.run("run", "--db", database, *options, "--", *call, SSL_CERT_FILE=str(root), **variables)

    assert (0, "there") == (done.returncode, done.stdout), done.stderr
    assert ([API], 1) == (endpoint.calls, requests_of(database, audit))
    login = base64.b64encode(b"ann:hunter2@").decode()
    assert f"proxy-authorization: basic {login}".lower() in endpoint.heads[0].lower()
    assert "hunter2" not in done.stderr
    assert b"hunter2" not in b"".join(path.read_bytes() for path in database.parent.glob("audit.db*"))


def test_other_hosts_take_the_company_proxy_too(
    company: tuple[Endpoint, Path], audit: Audit, database: Path, curl: str
) -> None:
    """A host that is none of the API's goes through both proxies unopened, under its own certificate."""
    endpoint, root = company
    done = audit.run(
        *("run", "--db", database, "--", curl, "-sS", f"https://{OTHER}/"),
        HTTPS_PROXY=endpoint.url.replace("http://", "http://ann:hunter2@"),
        SSL_CERT_FILE=str(root),
    )

    assert ("there", [OTHER]) == (done.stdout, endpoint.calls), done.stderr


def test_no_upstream_on_demand(
    company: tuple[Endpoint, Path], audit: Audit, database: Path, upstream: list[str]
) -> None:
    """`--upstream none` goes past the proxy that the variables name."""
    endpoint, _ = company
    script = f"import urllib.request as r; print(r.urlopen('https://{API}/v1/customers').status)"
    done = audit.run(
        *("run", "--db", database, "--upstream", "none", *upstream, "--", sys.executable, "-c", script),
        HTTPS_PROXY=endpoint.url,
    )

    assert [] == endpoint.heads, done.stderr


@pytest.mark.parametrize(
    "arguments", [["--listen", "0.0.0.0:0"], ["--listen", "0.0.0.0:0", "--proxy-auth", "hunter2"]]
)
def test_beyond_this_machine_only_with_a_password(audit: Audit, database: Path, arguments: list[str]) -> None:
    """A proxy that other machines could use without a password does not start, and quotes no password."""
    done = audit.run("proxy", "--db", database, *arguments)

    assert (2, False) == (done.returncode, database.exists())
    assert "--proxy-auth" in done.stderr
    assert "hunter2" not in done.stderr


def test_clients_have_to_give_the_password(
    audit: Audit, database: Path, upstream: list[str], curl: str, with_mfa: str, home: Path
) -> None:
    """With --proxy-auth a client without the password is refused, one with it is served and recorded."""
    proxy = audit.start(
        *("proxy", "--db", database, "--listen", "0.0.0.0:0", *upstream), MFA_AUDIT_PROXY_AUTH="ann:hunter2"
    )
    listening_at = proxy.wait_for(r"Listening at http://[^ ]*:(\d+)")[1]
    authority = proxy.wait_for(r"Certificate authority: (.*)")[1]
    codes = []
    for login in ("", "ann:wrong@", "ann:hunter2@"):
        command = [
            curl,
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_connect} %{http_code}",
            "--cacert",
            authority,
        ]
        command += [
            "--proxy",
            f"http://{login}127.0.0.1:{listening_at}",
            "-H",
            f"Authorization: Bearer {with_mfa}",
        ]
        done = subprocess.run(
            [*command, f"https://{API}/v1/customers"], capture_output=True, text=True, timeout=30, check=False
        )
        codes.append(done.stdout)
    ended = proxy.stop()

    assert ["407 000", "407 000", "200 200"] == codes
    assert 1 == requests_of(database, audit)
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mode", "upstream:http://ann:hunter2@p"], "--upstream URL"),
        (["--mode", "nonsense"], "--mode"),
        (["--upstream", "ftp://ann:hunter2@p"], "HTTP proxy"),
    ],
)
def test_what_cannot_be_is_said_before_it_listens(
    audit: Audit, database: Path, arguments: list[str], says: str
) -> None:
    """An unusable mode or upstream is one line and exit 2, without the password in it."""
    done = audit.run("proxy", "--db", database, *arguments)

    assert (2, True) == (done.returncode, says in done.stderr), done.stderr
    assert "hunter2" not in done.stderr

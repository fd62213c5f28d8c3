"""environment: what a child is told so that its HTTPS goes through the proxy and nothing else breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from endpoints import Endpoint, Issuer, listening
from mfa_audit.errors import AuditError
from mfa_audit.machine.environment import roots
from mfa_audit.machine.environment.variables import child_environment, exempts, keep_proxied

API = "api.partnercenter.microsoft.com"
OTHER = "login.example.test"
CLIENTS = Path(__file__).parents[2] / "client_programs"


class Scene:
    """A proxy for the API host and for another host, whose root only the caller's own variables name."""

    def __init__(self, folder: Path, endpoint: Endpoint, ours: Issuer, company: Issuer) -> None:
        self.folder, self.endpoint, self.ours, self.company = folder, endpoint, ours, company
        self.said: list[str] = []

    def environment(self, **callers: str) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **callers}
        return child_environment(
            base,
            proxy_url=self.endpoint.url,
            authority_pem=self.ours.pem,
            folder=self.folder / "private",
            api_hosts=[],
            say=self.said.append,
        )

    def run(self, environment: Mapping[str, str], *command: str) -> str:
        done = subprocess.run(
            command,
            env=dict(environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip() or done.stderr


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    ours, company = Issuer("the proxy's", tmp_path), Issuer("a company's", tmp_path)
    with listening({API: ours.server(API), OTHER: company.server(OTHER)}) as endpoint:
        yield Scene(tmp_path, endpoint, ours, company)


def installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


REQUESTS = "import requests, sys; print(requests.get(sys.argv[1]).text)"
HTTPX = "import httpx, sys; print(httpx.get(sys.argv[1]).text)"
URLLIB = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@pytest.mark.parametrize("host", [API, OTHER])
@pytest.mark.parametrize(
    "named_by", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"]
)
@pytest.mark.parametrize(
    "client",
    [
        pytest.param(["curl", "-sS"], id="curl"),
        pytest.param([sys.executable, "-c", REQUESTS], id="requests"),
        pytest.param([sys.executable, "-c", HTTPX], id="httpx"),
        pytest.param([sys.executable, "-c", URLLIB], id="urllib"),
    ],
)
def test_clients_reach_both_hosts(scene: Scene, client: list[str], named_by: str, host: str) -> None:
    """A client reads the API through the proxy, and a host whose root the caller's variable names, too."""
    installed(client[0])
    scene.company.file("company.pem")
    folder = scene.folder / "roots"
    folder.mkdir()
    scene.company.file("roots/company.pem")
    named = folder if named_by == "SSL_CERT_DIR" else scene.folder / "company.pem"

    answer = scene.run(scene.environment(**{named_by: str(named)}), *client, f"https://{host}/v1/x")

    assert ("there", [host]) == (answer, scene.endpoint.calls)


def test_client_without_our_variables_fails(scene: Scene) -> None:
    """The same call fails where only the proxy is set: the tests above prove the trust, not just the way."""
    environment = scene.environment()
    for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        del environment[name]

    answer = scene.run(environment, installed("curl"), "-sS", f"https://{API}/")

    assert "certificate" in answer
    assert [] == scene.endpoint.calls


@pytest.mark.parametrize("host", [API, OTHER])
def test_node_trusts_both(scene: Scene, host: str) -> None:
    """Node trusts the proxy's authority beside what the caller's NODE_EXTRA_CA_CERTS names."""
    environment = scene.environment(NODE_EXTRA_CA_CERTS=str(scene.company.file("company.pem")))

    assert "there" == scene.run(environment, installed("node"), str(CLIENTS / "call.js"), host)


@pytest.mark.parametrize("host", [API, OTHER])
def test_go_trusts_both(scene: Scene, host: str) -> None:
    """A Go program goes through the proxy and trusts its authority beside the caller's SSL_CERT_FILE."""
    go = installed("go")
    build = {"PATH": os.environ["PATH"], "HOME": str(scene.folder), "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    assert "" == scene.run(build, go, "build", "-o", "call", str(CLIENTS / "call.go"))
    environment = scene.environment(SSL_CERT_FILE=str(scene.company.file("company.pem")))

    assert "there" == scene.run(environment, str(scene.folder / "call"), f"https://{host}/")


@pytest.mark.parametrize("host", [API, OTHER])
def test_java_trusts_both(scene: Scene, host: str) -> None:
    """Java goes through the proxy and trusts its authority beside the store in the caller's options."""
    java, keytool = installed("java"), installed("keytool")
    store = scene.folder / "company's store.p12"
    scene.run(
        {"PATH": os.environ["PATH"]}, keytool, "-importcert", "-noprompt", "-alias", "company",
        "-storetype", "PKCS12",
        "-file", str(scene.company.file("company.pem")), "-keystore", str(store), "-storepass", "secret1",
    )  # fmt: skip
    own = f'"-Djavax.net.ssl.trustStore={store}" -Djavax.net.ssl.trustStorePassword=secret1'

    environment = scene.environment(JAVA_TOOL_OPTIONS=f"{own} -Dhttp.nonProxyHosts=*.microsoft.com|*.local")

    assert "there" == scene.run(environment, java, str(CLIENTS / "Call.java"), f"https://{host}/")
    assert "-Dhttp.nonProxyHosts=*.local" in environment["JAVA_TOOL_OPTIONS"]


def test_bundle_holds_system_callers_and_ours(scene: Scene) -> None:
    """A bundle that replaces a trust store holds the system's roots, the caller's and ours."""
    environment = scene.environment(REQUESTS_CA_BUNDLE=str(scene.company.file("company.pem")))

    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        trusted = set(roots.at(Path(environment[name])))
        assert {*roots.of_system(), scene.company.der, scene.ours.der} <= trusted


def test_folder_is_private(scene: Scene) -> None:
    """Nobody but the user can read what lies in the folder, whatever its mode was before."""
    (scene.folder / "private").mkdir(mode=0o755)
    scene.environment()

    assert 0o700 == (scene.folder / "private").stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (scene.folder / "private").iterdir()}


def test_unwritable_folder_is_a_clear_error(scene: Scene) -> None:
    """A folder that cannot be made is an AuditError that names it."""
    (scene.folder / "private").write_text("a file is in the way")

    with pytest.raises(AuditError, match="private"):
        scene.environment()


def test_missing_bundle_is_said(scene: Scene) -> None:
    """A variable that names a missing file is said once by name, and the child is not left without roots."""
    environment = scene.environment(SSL_CERT_FILE="/nowhere/ca.pem", CURL_CA_BUNDLE="/nowhere/ca.pem")

    assert [
        "SSL_CERT_FILE names /nowhere/ca.pem, which cannot be read (No such file or directory): left out."
    ] == (scene.said)
    assert set(roots.of_system()) < set(roots.at(Path(environment["SSL_CERT_FILE"])))


def test_absent_system_roots_are_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system keeps no roots, Mozilla's are used, and that is said."""
    monkeypatch.setattr(roots, "of_system", list)
    environment = scene.environment()

    assert set(roots.of_mozilla()) < set(roots.at(Path(environment["REQUESTS_CA_BUNDLE"])))
    assert ["certifi" in sentence for sentence in scene.said] == [True]


def test_other_programs_variables_stay(scene: Scene) -> None:
    """Variables of programs that never call the API are the caller's, as he set them."""
    callers = {
        "PIP_CERT": "/a",
        "AWS_CA_BUNDLE": "/b",
        "GIT_SSL_CAINFO": "/c",
        "SSL_CERT_DIR": str(scene.folder),
    }

    assert callers.items() <= scene.environment(**callers).items()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"])
def test_proxy_variables_in_both_cases(scene: Scene, name: str) -> None:
    """Each spelling of the proxy variables is set, also over the caller's own proxy."""
    assert scene.endpoint.url == scene.environment(HTTPS_PROXY="http://corporate:3128")[name]


def test_windows_has_one_name_in_any_case(scene: Scene) -> None:
    """On Windows a variable keeps the caller's spelling and never comes twice."""
    base = {"Path": os.environ["PATH"], "https_proxy": "http://corporate:3128", "No_Proxy": "*.microsoft.com"}
    environment = child_environment(
        base,
        proxy_url="http://127.0.0.1:1",
        authority_pem=scene.ours.pem,
        folder=scene.folder / "private",
        api_hosts=[],
        system="nt",
    )

    assert len({name.upper() for name in environment}) == len(environment)
    assert "http://127.0.0.1:1" == environment["https_proxy"]
    assert "localhost,127.0.0.1,::1,169.254.169.254" == environment["No_Proxy"]


@pytest.mark.parametrize(
    "entry",
    [
        "*", API, API.upper(), f".{API}", "microsoft.com", ".microsoft.com", "*.microsoft.com",
        "*microsoft.com", "com", "soft.com", f"{API}:443", "microsoft.com:443", ":443",
        "*.partner*.microsoft.com", "api.*",
        f"https://{API}", f"{API}.",
    ],
)  # fmt: skip
def test_entries_that_exempt_the_api(entry: str) -> None:
    """Any spelling of NO_PROXY that some client would read as exempting an API host counts."""
    assert exempts(entry, API)


@pytest.mark.parametrize(
    "entry",
    ["", "localhost", "127.0.0.1", "10.0.0.0/8", "[::1]", "::1", "contoso.com", "example.microsoft.com",
    "*.local", "10.1.2.3:80"],
)  # fmt: skip
def test_entries_that_do_not(entry: str) -> None:
    """What names other hosts stays."""
    assert not exempts(entry, API)


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "*"])
def test_entries_that_exempt_an_address(entry: str) -> None:
    """An API host given by its address is exempted by networks that hold it."""
    assert exempts(entry, "10.1.2.3")


def test_names_below_the_apis_domain_stay_proxied() -> None:
    """Any name below Partner Center's domain is an API host, also one that nobody listed."""
    assert "" == keep_proxied("eu.partnercenter.microsoft.com,*.eu.partnercenter.microsoft.com:443", [API])


def test_exemptions_keep_order_and_the_rest() -> None:
    """The rest of NO_PROXY stays in its order, separated by commas whatever the caller used."""
    assert "contoso.com,10.0.0.0/8,.local" == keep_proxied(
        "contoso.com, .microsoft.com;10.0.0.0/8 .local", [API]
    )


def test_curl_obeys_the_cleaned_exemptions(scene: Scene) -> None:
    """A NO_PROXY that would have sent the call past the proxy does so no more."""
    environment = scene.environment(no_proxy="microsoft.com,*")

    assert "there" == scene.run(environment, installed("curl"), "-sS", f"https://{API}/")

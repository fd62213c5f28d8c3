"""The test kit: what several test modules share. Processes and clients are in modules of their own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.test import taddons

from clients import CLIENTS, is_here
from live_flows import make_flow
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.commands.demo.standin import StandIn
from mfa_audit.machine.folders import HOME_VARIABLE
from processes import COMMAND, Audit

pytest_plugins = ["skips"]

# What a machine may have set for its own network, and what would lead a test to its user's files.
_FOREIGN = ("PROXY", "_CA_", "_CERT", "CACERT", "CA_BUNDLE", "CAINFO", "ROOTS_FILE", "KEYLOG")
_OWN = ("MFA_AUDIT_", "XDG_", "NO_COLOR", "FORCE_COLOR", "JAVA_TOOL_OPTIONS", "APPDATA", "LOCALAPPDATA")


def pytest_report_header() -> str:
    """Say which command and which clients the end-to-end tests use."""
    return f"mfa-audit: {' '.join(COMMAND)}; clients: {', '.join(filter(is_here, CLIENTS))}"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, one in it for our files, and an environment without this machine's proxies, roots and
    settings.
    """
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if any(part in name.upper() for part in _FOREIGN) or name.upper().startswith(_OWN):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv(HOME_VARIABLE, str(folder / "mfa-audit"))
    return folder


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's zone is CET/CEST, spelled so that no zone files are needed."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process can only be set on POSIX")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """The API's stand-in, running, not enforcing."""
    with StandIn() as running:
        yield running


@pytest.fixture
def upstream(standin: StandIn) -> list[str]:
    """The options of `mfa-audit run` and `proxy` that send the API's calls to the stand-in, and trust it."""
    return [word for name, value in standin.instead_of().items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test's database goes; nothing is there yet."""
    return tmp_path / "audit.db"


@pytest.fixture
def audit(home: Path) -> Iterator[Audit]:
    """The `mfa-audit` command as a process; what is still running when the test ends is killed."""
    runner = Audit()
    yield runner
    runner.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Callable[[str, str], list[str]]:
    """Each HTTP client in turn: from a URL and a token to the command line of one call."""
    if not is_here(request.param):
        pytest.skip(f"{request.param} is not on this machine")
    return CLIENTS[request.param]


@pytest.fixture
def with_mfa() -> str:
    """A user's token with MFA."""
    return make_user_token("pwd", "mfa")


@pytest.fixture
def without_mfa() -> str:
    """A user's token without MFA."""
    return make_user_token("pwd")


@pytest.fixture
def app_only() -> str:
    """An app's own token."""
    return make_app_token()


@pytest.fixture
def curl() -> str:
    """The path of curl, without which the test is skipped."""
    path = shutil.which("curl")
    if path is None:
        pytest.skip("curl is not on this machine")
    return path


@pytest.fixture
def mitmproxy_context() -> Iterator[taddons.context]:
    """mitmproxy without a network: `.configure(addon, option=…)`, `.options`, `.cycle`.

    Of `mitmproxy.test`, which promises no stability, tests use this and a flow (live_flows.py).
    """
    with taddons.context() as context:
        yield context


@pytest.fixture
def flow_to() -> Callable[..., http.HTTPFlow]:
    """Make a live flow to a URL, `flow_to(url, token="…", status=200, headers=[…], answer=[…], body=b"")`.

    `headers` and `answer` are raw header fields of request and response; status None leaves it unanswered.
    """
    return make_flow

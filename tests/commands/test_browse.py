"""`mfa-audit browse` with real browsers: their API calls are in the report, and nothing of them is left."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfa_audit.commands.demo.standin import StandIn
from mfa_audit.errors import AuditError
from mfa_audit.machine import browsers
from mfa_audit.machine.browsers import Browser, Family
from processes import Audit

API = "https://api.partnercenter.microsoft.com"
STORES = (
    Path("/etc/ssl/certs"),
    Path("/usr/local/share/ca-certificates"),
    Path("/usr/share/ca-certificates"),
)


class Page:
    """A web application on loopback whose only page calls the API with a bearer token."""

    def __init__(self, token: str) -> None:
        self.token = token
        html = (
            f"<script>fetch('{API}/v1/customers', {{headers: {{Authorization: 'Bearer {token}'}}}})</script>"
        )

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def page(without_mfa: str) -> Iterator[Page]:
    running = Page(without_mfa)
    yield running
    running.server.shutdown()
    running.server.server_close()


def files(*folders: Path) -> dict[str, str]:
    """All files below these folders by the digest of their content."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_a_page_that_calls_the_api(
    name: str,
    page: Page,
    audit: Audit,
    upstream: list[str],
    standin: StandIn,
    database: Path,
    home: Path,
    request: pytest.FixtureRequest,
) -> None:
    """What a page's fetch calls is in the report; afterwards the profile is gone, and every store is as it was."""
    if name not in {browser.name for browser in browsers.find(os.environ)} or sys.platform != "linux":
        pytest.skip(f"{name} is not on this machine")
    if name == "firefox" and shutil.which("certutil") is None:
        pytest.skip("libnss3-tools is not installed")
    # Short, for Chromium puts a socket there, whose path may have 107 characters.
    temporary = Path(tempfile.mkdtemp(prefix="b-", dir="/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(temporary, ignore_errors=True))
    (home / ".pki" / "nssdb").mkdir(parents=True)
    (home / ".pki" / "nssdb" / "pkcs11.txt").write_text("the user's own")
    before = files(home, *STORES)

    running = audit.start(
        *("browse", page.url, "--browser", name, "--headless", "--db", database, *upstream),
        TMPDIR=str(temporary),
    )
    running.wait_for("Without MFA: ")
    done = running.stop()

    assert (1, []) == (done.returncode, list(temporary.iterdir())), done.stderr
    assert before == files(home, *STORES)
    report = audit.run("report", "--db", database, "--format", "json", "--since", "all")
    (tool,) = json.loads(report.stdout)["tools"]
    assert ("non-compliant", 1) == (tool["verdict"], tool["requests"])
    assert {"GET"} == {request.method for request in standin.requests if "authorization" in request.headers}


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for a browser is a shell script")
def test_a_browser_that_does_not_start(audit: Audit, database: Path, tmp_path: Path) -> None:
    """A browser that ends at once with an error is said with its status, and is not taken for one that was closed."""
    (tmp_path / "chromium").write_text("#!/bin/sh\nexit 21\n")
    (tmp_path / "chromium").chmod(0o755)
    done = audit.run(
        "browse", "--browser", "chromium", "--db", database, PATH=f"{tmp_path}:{os.environ['PATH']}"
    )

    assert (2, True) == (done.returncode, "status 21" in done.stderr)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on this machine")
def test_says_what_it_means_when_no_token_came(audit: Audit, database: Path, upstream: list[str]) -> None:
    """Before it starts it warns of the portal's cookies; without a bearer token it says what that means."""
    running = audit.start(
        "browse", "http://127.0.0.1:9/", "--browser", "chromium", "--headless", "--db", database
    )
    running.wait_for("Recording to")
    done = running.stop()

    assert 3 == done.returncode
    assert ["works largely with cookies" in done.stderr, "No bearer token went to" in done.stderr] == [
        True,
        True,
    ]


def test_what_is_no_address(audit: Audit, database: Path) -> None:
    """Anything but a web address is wrong usage, and starts nothing."""
    done = audit.run("browse", "--version-of-something", "--db", database)
    assert 2 == done.returncode
    done = audit.run("browse", "javascript:alert(1)", "--db", database)
    assert (2, True) == (done.returncode, "browse takes an address" in done.stderr)


WINDOWS = {
    "ProgramFiles": "pf",
    "ProgramFiles(x86)": "pf86",
    "LocalAppData": "local",
}


@pytest.mark.parametrize(
    ("platform", "files", "expected"),
    [
        (
            "win32",
            ["pf86/Microsoft/Edge/Application/msedge.exe", "local/Google/Chrome/Application/chrome.exe"],
            ["edge", "chrome"],
        ),
        ("win32", ["pf/Mozilla Firefox/firefox.exe"], ["firefox"]),
        ("darwin", ["Applications/Google Chrome.app/Contents/MacOS/Google Chrome"], ["chrome"]),
        ("darwin", ["home/Applications/Firefox.app/Contents/MacOS/firefox"], ["firefox"]),
        ("linux", ["bin/firefox-esr", "bin/microsoft-edge"], ["edge", "firefox"]),
        ("linux", [], []),
    ],
)  # fmt: skip
def test_finds_browsers_where_each_system_has_them(
    tmp_path: Path, platform: str, files: list[str], expected: list[str]
) -> None:
    """Each system's usual places are looked at, and the preferred browser comes first."""
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o755)
    variables = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
    variables |= {name: str(tmp_path / folder) for name, folder in WINDOWS.items()}

    assert expected == [
        browser.name for browser in browsers.find(variables, platform=platform, root=tmp_path)
    ]


def test_a_browser_that_is_not_there() -> None:
    """Asking for a browser that is not installed is an error that lists those that are."""
    with pytest.raises(AuditError, match="Found: edge"):
        browsers.choose("firefox", [Browser("edge", Family.CHROMIUM, Path("/x"))])
    with pytest.raises(AuditError, match="Edge, Chrome, Chromium or Firefox"):
        browsers.choose(None, [])


def test_chromium_trusts_one_key_in_one_process() -> None:
    """The command line holds the profile, the proxy and the key's hash, and nothing that trusts more than that."""
    line = browsers.arguments(
        Browser("edge", Family.CHROMIUM, Path("/edge")), Path("/p"), "https://x.y/", proxy_url="http://127.0.0.1:1",
        spki_hash="abc=",
    )  # fmt: skip

    assert {
        "--user-data-dir=/p",
        "--proxy-server=http://127.0.0.1:1",
        "--ignore-certificate-errors-spki-list=abc=",
    } < set(line)
    assert "--ignore-certificate-errors" not in line


def test_firefox_goes_through_the_proxy(tmp_path: Path) -> None:
    """Firefox's settings name the proxy, and its own store trusts the authority."""
    if shutil.which("certutil") is None:
        pytest.skip("libnss3-tools is not installed")
    from endpoints import Issuer

    authority = Issuer("mfa-audit 1", tmp_path).file("ca.pem")
    profile = Path(tempfile.mkdtemp(dir=tmp_path))
    browser = Browser("firefox", Family.FIREFOX, Path("/firefox"))
    browsers.prepare(browser, profile, proxy_url="http://127.0.0.1:4321", authority=authority)

    settings = (profile / "user.js").read_text()
    assert 'user_pref("network.proxy.ssl", "127.0.0.1");' in settings
    assert 'user_pref("network.proxy.ssl_port", 4321);' in settings
    assert (profile / "cert9.db").is_file()


def test_a_snap_gets_its_profile_where_it_can_see_it() -> None:
    """A snap's profile lies in the snap's own folder; any other browser's in a temporary one."""
    home = Path("/home/ann")

    assert home / "snap/firefox/common" == browsers.profile_parent(
        Browser("firefox", Family.FIREFOX, Path("/snap/bin/firefox")), home
    )
    assert browsers.profile_parent(Browser("firefox", Family.FIREFOX, Path("/usr/lib/firefox")), home) is None

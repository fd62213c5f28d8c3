"""The live page through a running proxy: with curl and in a real browser."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browser import WHY_NOT, Browser
from mfa_audit.commands.demo.sample_clients import write_script
from mfa_audit.commands.demo.standin import StandIn
from processes import Audit, Running

API = "https://api.partnercenter.microsoft.com"
ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("AXE_CORE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
needs_chromium = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
Call = Callable[..., None]


@pytest.fixture
def proxy(audit: Audit, upstream: list[str], database: Path) -> Running:
    """A running `mfa-audit proxy`, ready."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    running.wait_for("Listening at")
    return running


@pytest.fixture
def url(proxy: Running) -> str:
    """The page's address as printed, with the key."""
    return proxy.wait_for(r"Report page: (http://127\.0\.0\.1:\d+/\?key=\S+)")[1]


@pytest.fixture
def call(proxy: Running, tmp_path: Path) -> Call:
    """Call the API through the proxy: `call(program, token, times=1)`."""

    def send(program: str, token: str, times: int = 1) -> None:
        environment = {
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.wait_for_port()}",
            "SSL_CERT_FILE": proxy.wait_for("Certificate authority: (.*)")[1],
        }
        command = write_script(tmp_path, program, token, [f"{API}/v1/customers"] * times)
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True)
        assert done.stdout.split() == [b"200"] * times, done.stderr

    return send


@pytest.fixture
def fetch(curl: str) -> Callable[..., str]:
    """The answer's head and body, by curl; `--max-time` ends what hangs."""

    def run(*arguments: str) -> str:
        command = [curl, "--silent", "--include", "--max-time", "20", "--noproxy", "*", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    return run


def cookie_of(fetch: Callable[..., str], url: str) -> tuple[str, str]:
    """The cookie for the printed address, and the page's own address."""
    headers = dict(line.split(": ", 1) for line in fetch(url).splitlines()[1:] if ": " in line)
    return headers["Set-Cookie"].partition(";")[0], url.partition("/?")[0] + headers["Location"]


def test_it_shows_the_recording(
    fetch: Callable[..., str], url: str, call: Call, without_mfa: str, with_mfa: str
) -> None:
    """With the cookie the report is there, changes with the calls, and has an ETag as long as it does not."""
    cookie, address = cookie_of(fetch, url)
    call("nightly.py", without_mfa)
    first = fetch("--cookie", cookie, address)
    assert first.startswith("HTTP/1.1 200 OK")
    assert "1 of 1 tool calls Partner Center without MFA." in first
    assert "nightly.py" in first
    assert "frame-ancestors 'none'" in first
    head = fetch("--head", "--cookie", cookie, address)
    assert head.startswith("HTTP/1.1 200 OK")
    assert "nightly.py" not in head


def test_what_has_not_changed_is_not_sent_again(fetch: Callable[..., str], url: str) -> None:
    """Asked again within the second that a report lasts, with its ETag, it answers 304 and nothing else."""
    cookie, address = cookie_of(fetch, url)
    statuses = set()
    for _ in range(10):  # a second may end between the two
        first = fetch("--cookie", cookie, f"{address}main")
        tag = next(line.partition(": ")[2] for line in first.splitlines() if line.startswith("ETag: "))
        again = fetch("--cookie", cookie, "--header", f"If-None-Match: {tag}", f"{address}main")
        statuses.add(again.splitlines()[0].split()[1])
    assert "304" in statuses
    assert statuses <= {"304", "200"}


def test_it_gives_nothing_away(
    fetch: Callable[..., str], url: str, call: Call, without_mfa: str, proxy: Running
) -> None:
    """Another origin, no secret, a wrong Host or port, another method: no word of the report."""
    call("nightly.py", without_mfa)
    cookie, address = cookie_of(fetch, url)
    assert "nightly.py" in fetch("--cookie", cookie, address)
    port = proxy.wait_for_port()
    root = f"http://127.0.0.1:{port}/"
    through = ("--proxy", f"http://127.0.0.1:{port}", "--noproxy", "")
    for arguments in (
        (root,),
        (address,),
        (f"{root}?key=wrong",),
        ("--header", "Origin: https://evil.example", "--cookie", cookie, address),
        ("--header", "Sec-Fetch-Site: cross-site", "--cookie", cookie, address),
        ("--header", "Host: evil.example", "--cookie", cookie, address),
        ("--header", f"Host: evil.example:{port}", "--cookie", cookie, address),
        ("--header", f"Host: localhost:{port}", "--cookie", cookie, address),
        ("--header", "Host: 127.0.0.1:1", "--cookie", cookie, address),
        ("--data", "x=1", "--cookie", cookie, address),
        ("--request", "DELETE", "--cookie", cookie, address),
        ("--request", "OPTIONS", "--cookie", cookie, address),
        (*through, "http://mfa.audit/"),
        (*through, "--cookie", cookie, "http://mfa.audit:1/"),
        (*through, "--header", "Host: mfa.audit", "--cookie", cookie, "http://127.0.0.1:1/"),
    ):
        answer = fetch(*arguments)
        assert "nightly" not in answer, arguments
        assert "access-control-" not in answer.lower()
        assert not answer.startswith(("HTTP/1.1 2", "HTTP/1.1 3")), arguments


def test_it_is_there_through_the_proxy(
    fetch: Callable[..., str], url: str, call: Call, without_mfa: str, proxy: Running
) -> None:
    """The same report, with the same key, as http://mfa.audit/ for whoever uses the proxy."""
    call("nightly.py", without_mfa)
    through = ("--proxy", f"http://127.0.0.1:{proxy.wait_for_port()}", "--noproxy", "")
    key = url.partition("?")[2]
    cookie, _ = cookie_of(lambda address: fetch(*through, address), f"http://mfa.audit/?{key}")
    assert "nightly.py" in fetch(*through, "--cookie", cookie, "http://mfa.audit/")


@pytest.mark.parametrize("header", [(), ("--header", "Transfer-Encoding: chunked")])
def test_large_bodies_go_nowhere(
    fetch: Callable[..., str], url: str, tmp_path: Path, header: tuple[str, ...], proxy: Running
) -> None:
    """A body that mitmproxy would stream on is neither kept nor sent on, and the page is still there."""
    (tmp_path / "body").write_bytes(bytes(3_000_000))
    assert "" == fetch(
        *header, "--max-time", "2", "--header", "Expect:", "--data-binary", f"@{tmp_path / 'body'}", url
    )
    assert "HTTP/1.1 303" in fetch(url)
    assert "Traceback" not in proxy.stderr


def test_no_page_beyond_this_machine(
    audit: Audit, upstream: list[str], database: Path, fetch: Callable[..., str]
) -> None:
    """A proxy that listens for others prints no address of a page, and has none."""
    everywhere = ("--listen", "0.0.0.0:0", "--proxy-auth", "dana:secret")
    running = audit.start("proxy", "--db", database, *everywhere, *upstream)
    port = running.wait_for(r"Listening at http://0\.0\.0\.0:(\d+)")[1]
    assert "Report page" not in running.stderr
    assert "key" not in fetch(f"http://127.0.0.1:{port}/")
    assert "page opens" not in fetch(
        "--proxy", f"http://127.0.0.1:{port}", "--noproxy", "", "http://mfa.audit/"
    )


def test_the_name_is_an_option(
    audit: Audit, upstream: list[str], database: Path, fetch: Callable[..., str]
) -> None:
    """--set mfa_audit_page gives it another name; Partner Center's own are refused; an empty one is no page."""
    shared = ("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream, "--set")
    refused = audit.run(*shared, "mfa_audit_page=api.partnercenter.microsoft.com")
    assert (2, True) == (refused.returncode, "mfa_audit_page" in refused.stderr)
    running = audit.start(*shared, "mfa_audit_page=report.example")
    running.wait_for("Listening at")
    through = ("--proxy", f"http://127.0.0.1:{running.wait_for_port()}", "--noproxy", "")
    assert "This page opens with" in fetch(*through, "http://report.example/")
    running.stop()
    without = audit.start(*shared, "mfa_audit_page=")
    without.wait_for("Listening at")
    assert "Report page" not in without.stderr


def test_quiet_prints_no_address(audit: Audit, upstream: list[str], database: Path, home: Path) -> None:
    """With --quiet the secret is nowhere: neither on stderr nor in a file."""
    running = audit.start("proxy", "--quiet", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    try:
        with pytest.raises(AssertionError):
            running.wait_for("key=", timeout=3)
    finally:
        running.stop()
    assert "" == running.stderr


@needs_chromium
def test_browser_renews_it_in_place(
    url: str, call: Call, without_mfa: str, with_mfa: str, proxy: Running
) -> None:
    """Calls arrive: rows come without a reload, unfolded ones stay so, focus and place on the screen stay."""
    with Browser() as browser:
        page = browser.page(800, 500)
        page.open(url)
        assert "CANNOT TELL YET" in page.evaluate("document.querySelector('h1').textContent")
        assert page.evaluate("location.search + document.cookie") == ""
        call("dashboard.py", with_mfa)
        page.wait_for("document.querySelector('tbody.tool summary')?.textContent.includes('dashboard.py')")
        for _ in range(20):
            page.press("Tab", 9)
            if page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        page.press("Enter", 13, "\r")
        row = "document.querySelector('tbody.tool.good details')"
        assert page.evaluate(f"{row}.open")
        page.evaluate(
            "scrollTo(0, document.querySelector('tbody.tool.good .more table').getBoundingClientRect().top)"
        )
        table = (
            "Math.round(document.querySelector('tbody.tool.good .more table').getBoundingClientRect().top)"
        )
        before = page.evaluate(table)
        assert 0 < page.evaluate("scrollY")
        call("nightly.py", without_mfa, 2)
        page.wait_for("document.querySelector('tbody.tool.bad summary')?.textContent.includes('nightly.py')")
        assert abs(before - page.evaluate(table)) <= 1
        assert page.evaluate(f"{row}.open && document.activeElement === {row}.querySelector('summary')")
        assert "NO - 1 of 2 tools" in page.evaluate("document.title")
        call("dashboard.py", without_mfa)  # the row goes to another section, unfolded as it is
        page.wait_for("document.querySelectorAll('tbody.tool.bad').length == 2")
        assert 1 == page.evaluate("document.querySelectorAll('tbody.tool.bad details[open]').length")
        assert 2 == page.evaluate("document.querySelectorAll('tbody.tool').length")
        own = f"http://127.0.0.1:{proxy.wait_for_port()}/"
        assert [] == [one for one in page.requests() if not one.startswith((own, "data:"))]
        assert [] == page.complaints()
        proxy.stop()
        page.wait_for("document.querySelector('#live').textContent.includes('has ended')")
        assert 2 == page.evaluate("document.querySelectorAll('tbody.tool').length")


@needs_chromium
@pytest.mark.skipif(
    not AXE.exists(), reason="no axe-core (npm install --no-save axe-core@4, or AXE_CORE=axe.min.js)"
)
def test_axe_finds_nothing(url: str, call: Call, without_mfa: str) -> None:
    """axe-core finds no violation in the live page, empty and with an unfolded row."""
    with Browser() as browser:
        page = browser.page()
        page.open(url)
        for program in (None, "nightly.py"):
            if program:
                call(program, without_mfa)
                page.wait_for("document.querySelector('tbody.tool') !== null")
                page.evaluate("document.querySelector('tbody.tool details').open = true")
            page.evaluate(AXE.read_text("utf-8") + ";0")
            found = page.evaluate(
                "axe.run(document).then(result => result.violations.map(v => v.id + ': ' + v.nodes[0].html))"
            )
            assert [] == found


@needs_chromium
def test_browser_opens_it_through_the_proxy(url: str, call: Call, without_mfa: str, proxy: Running) -> None:
    """A browser that uses the proxy has the page at http://mfa.audit/, and it renews itself there too."""
    with Browser(f"--proxy-server=http://127.0.0.1:{proxy.wait_for_port()}") as browser:
        page = browser.page()
        page.open(f"http://mfa.audit/?{url.partition('?')[2]}")
        call("nightly.py", without_mfa)
        page.wait_for("document.querySelector('tbody.tool.bad summary')?.textContent.includes('nightly.py')")
        assert page.evaluate("location.host") == "mfa.audit"
        assert [] == page.complaints()


@pytest.fixture
def other_site() -> Iterator[str]:
    """Another server on this machine: for a browser it is the same site, but another origin."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title><link rel=icon href=data:,>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    seen: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
    assert ["" for _ in seen] == seen, "another server was sent the cookie"


@needs_chromium
def test_other_origins_see_nothing(url: str, call: Call, without_mfa: str, other_site: str) -> None:
    """A page of another origin, in a browser that has the cookie, can neither fetch, frame nor open the report."""
    call("nightly.py", without_mfa)
    with Browser() as browser:
        own = browser.page()
        own.open(url)
        address = own.evaluate("location.href")
        assert own.evaluate("document.querySelector('tbody.tool summary').textContent.includes('nightly.py')")
        page = browser.page()
        page.open(other_site)
        fetched = f"fetch('{address}main', {{credentials: 'include'}}).then(() => 'read', () => 'refused')"
        assert "refused" == page.evaluate(fetched)
        page.evaluate(
            f"new Promise(done => {{ const frame = document.createElement('iframe'); frame.onload = done;"
            f"frame.src = '{address}'; document.body.append(frame) }}).then(() => true)"
        )
        page.evaluate(f"location.href = '{address}'; true")
        page.wait_for("document.readyState === 'complete' && location.pathname.length > 1")
        assert "Other sites may not ask" in page.evaluate("document.body.textContent")
        assert {403} == {status for status, url_ in page.answers() if url_.startswith(address)}


def test_calls_rerouted_to_loopback_are_not_swallowed(
    standin: StandIn, call: Call, without_mfa: str, proxy: Running
) -> None:
    """A call whose server is replaced by one on 127.0.0.1 reaches that one."""
    call("nightly.py", without_mfa)
    assert 1 == standin.answered
    assert proxy.process.poll() is None

"""page: who sees the live report, decided without a network."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_audit.proxy.live_page import Content, Page, Part, Reply, Request

NAME = "mfa.audit"
CONTENT = Content("<main>secret</main>", "default-src 'none'; frame-ancestors 'none'")


@pytest.fixture
def page() -> Page:
    return Page([("127.0.0.1", 8080)], NAME)


def asked(
    target: str = "/",
    host: str = "127.0.0.1",
    port: int = 8080,
    method: str = "GET",
    **headers: str,
) -> Request:
    """A request as a browser sends it to the proxy's own port; `sec_fetch_site` is Sec-Fetch-Site."""
    fields = {"host": "127.0.0.1:8080"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return Request(method, host, port, target, fields)


def opened(page: Page) -> tuple[str, str]:
    """The cookie that the printed address is exchanged for, and the path that it leads to."""
    reply = page.judge(asked(page.url.removeprefix("http://127.0.0.1:8080")))
    assert isinstance(reply, Reply)
    headers = dict(reply.headers)
    assert 303 == reply.status
    return headers["Set-Cookie"].partition(";")[0], headers["Location"]


def status(page: Page, request: Request) -> int:
    """What is answered, where nothing of the report is."""
    reply = page.judge(request)
    assert isinstance(reply, Reply), "the report was given away"
    assert b"secret" not in reply.body
    return reply.status


@pytest.mark.parametrize(
    ("request_", "mine"),
    [
        (asked(), True),
        (asked(host="localhost"), False),
        (asked(port=80), False),
        (asked(host="api.partnercenter.microsoft.com", port=443), False),
        (Request("GET", "127.0.0.1", 8080, "/", {"host": "evil.example:8080"}), False),
        (Request("GET", "127.0.0.1", 8080, "/", {"host": "127.0.0.1:8080, 127.0.0.1:8080"}), False),
        (Request("GET", "127.0.0.1", 8080, "/", {"host": "127.0.0.1"}), False),
        (Request("GET", "127.0.0.1", 8080, "/", {"host": "api.partnercenter.microsoft.com"}), False),
        (Request("GET", "127.0.0.1", 8080, "/", {"host": NAME}), False),
        (Request("GET", "127.0.0.1", 8080, "/", {}), False),
        (Request("GET", NAME, 80, "/", {"host": NAME}), True),
        (Request("GET", NAME, 8080, "/", {"host": f"{NAME}:8080"}), False),
        (Request("GET", f"x.{NAME}", 80, "/", {"host": f"x.{NAME}"}), False),
    ],
)
def test_host_and_port_are_exact(page: Page, request_: Request, mine: bool) -> None:
    """Destination and Host field both name the proxy's own port or the page's name, or it is another's request."""
    assert mine is page.is_for(request_)


def test_key_is_exchanged_for_a_cookie(page: Page) -> None:
    """The printed address leads on to one without the key, with a cookie that no script and no other site sees."""
    reply = page.judge(asked(page.url.removeprefix("http://127.0.0.1:8080")))
    assert isinstance(reply, Reply)
    headers = dict(reply.headers)
    name, *attributes = headers["Set-Cookie"].split("; ")
    assert [f"Path={headers['Location']}", "HttpOnly", "SameSite=Strict"] == attributes
    assert page.url.partition("key=")[2] not in str(reply)
    assert len(headers["Location"]) > 12
    assert name.startswith("mfa-audit-8080=")


def test_cookie_opens_document_and_part(page: Page) -> None:
    """With the cookie the report is there, whole and in part; anything else is not found."""
    cookie, path = opened(page)
    assert Part.DOCUMENT is page.judge(asked(path, cookie=cookie))
    assert Part.DOCUMENT is page.judge(asked("/", cookie=f"a=b; {cookie}"))
    assert Part.MAIN is page.judge(asked(f"{path}main", cookie=cookie, sec_fetch_site="same-origin"))
    assert 404 == status(page, asked("/audit.db", cookie=cookie))


def test_without_the_secret_there_is_nothing(page: Page) -> None:
    """No key, a wrong one, no cookie, a wrong one, another start's: refused."""
    cookie, path = opened(page)
    other, _ = opened(Page([("127.0.0.1", 8080)], NAME))
    for target, value in [
        ("/", ""),
        (path, ""),
        (f"{path}main", "mfa-audit-8080=x"),
        ("/?key=", ""),
        ("/?key=x", ""),
        ("/?key=é", ""),
        ("/", other),
        ("/", cookie[:-1]),
    ]:
        assert 403 == status(page, asked(target, cookie=value)), (target, value)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none, none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
    ],
)
def test_other_sites_are_refused(page: Page, headers: dict[str, Any]) -> None:
    """Whoever asks from another origin is refused, with the cookie and with the key too."""
    cookie, path = opened(page)
    assert 403 == status(page, asked(path, cookie=cookie, **headers))
    assert 403 == status(page, asked(page.url.removeprefix("http://127.0.0.1:8080"), **headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"])
def test_nothing_can_be_changed(page: Page, method: str) -> None:
    """Every method but GET and HEAD is refused, with the cookie too."""
    cookie, path = opened(page)
    assert 405 == status(page, asked(path, method=method, cookie=cookie))


def test_what_has_not_changed_is_not_sent_again(page: Page) -> None:
    """An ETag that still fits is answered with 304 and no body."""
    request = asked("/", if_none_match=f'"x", {CONTENT.tag}')
    assert (304, b"") == (page.deliver(request, CONTENT).status, page.deliver(request, CONTENT).body)
    assert 200 == page.deliver(request, Content("<main>other</main>")).status


def test_no_answer_is_kept_framed_or_shared(page: Page) -> None:
    """Every answer forbids storing, framing and sniffing, and none has a CORS header."""
    for reply in (
        page.deliver(asked(), CONTENT),
        page.unreadable(),
        page.judge(asked()),
        page.judge(asked(method="POST")),
        page.judge(asked(page.url.removeprefix("http://127.0.0.1:8080"))),
    ):
        assert isinstance(reply, Reply)
        headers = dict(reply.headers)
        assert "no-store" == headers["Cache-Control"]
        assert "nosniff" == headers["X-Content-Type-Options"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert [] == [name for name in headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "addresses", [[("0.0.0.0", 8080)], [("::", 8080)], [("127.0.0.1", 1), ("192.0.2.1", 1)], [("", 8080)], []]
)
def test_there_is_none_beyond_this_machine(addresses: list[tuple[str, int]]) -> None:
    """A proxy that others can reach has no page."""
    with pytest.raises(ValueError, match="this machine only"):
        Page(addresses, NAME)


def test_ipv6_is_spelled_as_browsers_do() -> None:
    """On ::1 the address is in brackets, in the printed URL and in Host."""
    page = Page([("::1", 8080)], NAME)
    assert page.url.startswith("http://[::1]:8080/?key=")
    assert page.is_for(Request("GET", "::1", 8080, "/", {"host": "[::1]:8080"}))

"""Asking Microsoft's APIs: whom a token may be sent to, which next page is followed, and how long is waited.

Refusals, redirects and certificates are tested over real TLS in tests/commands/test_fetch.py.
"""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest

from mfa_audit.captures import microsoft_api
from mfa_audit.captures.microsoft_api import GRAPH, PARTNER_CENTER, Api, Service, service_of, sign_ins_path
from mfa_audit.errors import AuditError


@pytest.mark.parametrize(
    ("audience", "service"),
    [
        ("https://api.partnercenter.microsoft.com", PARTNER_CENTER),
        ("https://API.partnercenter.microsoft.com/", PARTNER_CENTER),
        ("fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd", PARTNER_CENTER),
        ("https://graph.microsoft.com", GRAPH),
        ("https://graph.microsoft.com/", GRAPH),
        ("00000003-0000-0000-c000-000000000000", GRAPH),
        # Close is not enough: the token would be sent to a service that it is not for.
        ("https://graph.windows.net", None),
        ("https://graph.microsoft.com.evil.example", None),
        ("https://management.azure.com", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_token_goes_where_its_audience_says(audience: Any, service: Service | None) -> None:
    """A token is for one of the two services by its `aud`, and for nobody otherwise."""
    assert service is service_of({"aud": audience})


@pytest.mark.parametrize(
    ("retry_after", "attempt", "least", "most"),
    [
        ("7", 1, 7, 7),
        (" 0 ", 3, 0, 0),
        ("86400", 1, 300, 300),
        ("9" * 5_000, 1, 300, 300),
        (None, 1, 1, 1.25),
        (None, 5, 16, 20),
        ("soon", 3, 4, 5),
        ("-5", 2, 2, 2.5),
        ("Thu, 32 Foo 2026", 1, 1, 1.25),
    ],
)
def test_how_long_is_waited(retry_after: str | None, attempt: int, least: float, most: float) -> None:
    """As long as the server asks, five minutes at most; else, and where it asks nonsense, twice as long each time."""
    assert least <= microsoft_api._delay(retry_after, attempt) <= most


@pytest.mark.parametrize(("ahead", "least", "most"), [(30, 25, 30), (-3600, 1, 1), (7200, 300, 300)])
def test_a_server_may_name_a_time(ahead: int, least: float, most: float) -> None:
    """Retry-After may be a date; one in the past is waited for a second, one far away five minutes."""
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    assert least <= microsoft_api._delay(date, 1) <= most


class Pages(Api):
    """Partner Center or Graph, of which each page is given; `asked` are the addresses that the token went to."""

    def __init__(self, service: Service, *pages: Any) -> None:
        self.service = service
        self._pages = [page if isinstance(page, bytes) else json.dumps(page).encode() for page in pages]
        self.asked: list[str] = []

    def _get(self, url: str) -> bytes:
        self.asked.append(url)
        return self._pages[min(len(self.asked), len(self._pages)) - 1]


@pytest.mark.parametrize(
    "first",
    [
        {"@odata.nextLink": "https://graph.microsoft.com/next"},
        {"links": {"next": {"uri": "/next"}}},
        {"links": {"next": {"uri": "https://Graph.Microsoft.com/next"}}},
    ],
)
def test_the_next_page_is_asked_for(first: dict[str, Any]) -> None:
    """Both ways of naming the next page are followed, on the same host and in any letters' case."""
    api = Pages(GRAPH, first, {"value": []})
    assert 2 == len(list(api.pages("/first")))
    assert ["https://graph.microsoft.com/first", "https://graph.microsoft.com/next"] == [
        url.replace("Graph.Microsoft", "graph.microsoft") for url in api.asked
    ]


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.microsoft.com.evil.example/x",
        "https://graph.microsoft.com@evil.example/x",
        "https://graph.microsoft.com:8443/x",
        "http://graph.microsoft.com/x",
        "next",
    ],
)
def test_no_next_page_elsewhere(link: str) -> None:
    """A next link that is not plainly on the same origin ends the reading, before the token is sent there."""
    api = Pages(GRAPH, {"@odata.nextLink": link})
    with pytest.raises(AuditError, match="not followed"):
        list(api.pages("/first"))
    assert ["https://graph.microsoft.com/first"] == api.asked


@pytest.mark.parametrize(
    "page", [b"", b"<html>", b"[]", {"links": []}, {"@odata.nextLink": 7}, b"[" * 100_000]
)
def test_a_page_without_a_next_one_is_the_last(page: Any) -> None:
    """Whatever is no next link ends the list."""
    assert 1 == len(list(Pages(GRAPH, page).pages("/first")))


def test_endless_pages_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that names itself as its next page is given up, and what came before is handed on."""
    monkeypatch.setattr(microsoft_api, "_MOST_PAGES", 3)
    pages = Pages(GRAPH, {"@odata.nextLink": "/again"}).pages("/first")
    assert 3 == len([next(pages) for _ in range(3)])
    with pytest.raises(AuditError, match="more than 3 pages"):
        next(pages)


def test_sign_ins_are_asked_for_by_kind() -> None:
    """Only Partner Center's sign-ins, oldest first; kinds that v1.0 does not have by name from beta."""
    interactive, other = sign_ins_path("interactive", 0.0), sign_ins_path("non-interactive", 0.0)
    for path in (interactive, other):
        assert "resourceId%20eq%20%27fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd%27" in path
        assert "createdDateTime%20ge%201970-01-01T00%3A00%3A00Z" in path
        assert "$orderby=createdDateTime" in path
    assert (True, False) == (interactive.startswith("/v1.0/"), "signInEventTypes" in interactive)
    assert (True, True) == (other.startswith("/beta/"), "nonInteractiveUser" in other)

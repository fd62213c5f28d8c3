"""The live report page: who may see it and what is answered. Pure: knows neither mitmproxy nor the network.

The page shows user names, so it is for the person who started the proxy, and for nobody else who can reach it:
not for a site open in that person's browser, not for another account of the machine. Therefore

1. a request counts as one for the page only when its destination and its Host field both name exactly the
   proxy's own address and port, or the page's name and port 80: what a site finds by DNS rebinding has that
   site's name in Host, and a call that is rerouted to loopback was first seen under another name;
2. only GET and HEAD are answered, and there is nothing to change;
3. a browser that says that another site asks (Sec-Fetch-Site, Origin) is refused, also with the cookie;
4. the key in the printed address is of this start only. It is exchanged for a cookie that scripts cannot read
   and that no other site's request carries. Cookies know no ports, so this one is bound to a path that nobody
   can guess: a server on another port of 127.0.0.1 is not sent it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from mfa_audit.machine.loopback import is_loopback

NAME_PORT: Final = 80

_ALWAYS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)
NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_LOCKED: Final = (
    "This page opens with the address that `mfa-audit proxy` printed when it started, with its ?key=...\n"
)


class Part(Enum):
    """What of the report is asked for: the whole document, or its <main> alone, for the page to renew itself."""

    DOCUMENT = "document"
    MAIN = "main"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as first seen. `host` and `port`: where it was to go; `headers`: names in lower case, and of a
    repeated field all values, joined with ", ".
    """

    method: str
    host: str
    port: int
    target: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. `headers` hold all but the length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Content:
    """What a Part is now: its HTML, and for the document the policy that lets its own style and script run."""

    html: str
    policy: str = NOTHING

    @property
    def tag(self) -> str:
        """The ETag: the same for the same HTML."""
        return f'"{hashlib.sha256(self.html.encode()).hexdigest()[:32]}"'


class Page:
    """The page of one start of the proxy, with secrets of its own.

    `addresses` are the (host, port) that the proxy listens on, `name` the page's name through the proxy.
    Raises ValueError unless every address is a loopback one.
    """

    def __init__(self, addresses: Iterable[tuple[str, int]], name: str) -> None:
        own = [(host, port) for host, port in addresses]
        if not own or not all(is_loopback(host) for host, _ in own):
            raise ValueError("the page is for this machine only")
        self._own = own
        # What the Host field must say -> where the request must go.
        self._places = {_authority(*place): place for place in (*own, (name, NAME_PORT))}
        self._targets = frozenset(self._places.values())
        self._key = secrets.token_urlsafe(18)
        self._cookie = secrets.token_urlsafe(18)
        self._cookie_name = f"mfa-audit-{own[0][1]}"
        self._path = f"/{secrets.token_urlsafe(9)}/"

    @property
    def url(self) -> str:
        """The address that opens the page, with the key."""
        host, port = self._own[0]
        return f"http://{_authority(host, port)}/?key={self._key}"

    def knows(self, host: str, port: int) -> bool:
        """Whether a request to there may be one for the page: a quick look, since every call gets it."""
        return (host, port) in self._targets

    def is_for(self, request: Request) -> bool:
        """Whether a request is one for the page; every other one is none of its business."""
        return self._places.get(request.headers.get("host", "").lower()) == (
            request.host,
            request.port,
        )

    def judge(self, request: Request) -> Reply | Part:
        """The answer where it needs no report, else what the report is to be put into."""
        if request.method not in ("GET", "HEAD"):
            return _plain(405, "Nothing can be changed here.\n", ("Allow", "GET, HEAD"))
        origin = request.headers.get("origin")
        own_origin = f"http://{request.headers.get('host', '').lower()}"
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") or (
            origin is not None and origin != own_origin
        ):
            return _plain(403, "Other sites may not ask for this.\n")
        parts = urlsplit(request.target)
        key = dict(parse_qsl(parts.query)).get("key")
        if key is not None:
            return self._exchange(key)
        if not self._has_cookie(request.headers.get("cookie", "")):
            return _plain(403, _LOCKED)
        wanted = {"/": Part.DOCUMENT, self._path: Part.DOCUMENT, f"{self._path}main": Part.MAIN}
        return wanted.get(parts.path) or _plain(404, "There is no such page.\n")

    def deliver(self, request: Request, content: Content) -> Reply:
        """The report, or 304 where the asker has it already."""
        headers = (
            *_ALWAYS,
            ("Content-Security-Policy", content.policy),
            ("Content-Type", "text/html; charset=utf-8"),
            ("ETag", content.tag),
        )
        if content.tag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
            return Reply(304, headers)
        return Reply(200, headers, content.html.encode())

    def unreadable(self) -> Reply:
        """The answer while the database cannot be read."""
        text = "The recording cannot be read at the moment.\n"
        return _plain(503, text, ("Retry-After", "2"), ("Refresh", "2"))

    def _exchange(self, key: str) -> Reply:
        if not _same(key, self._key):
            return _plain(403, _LOCKED)
        cookie = f"{self._cookie_name}={self._cookie}; Path={self._path}; HttpOnly; SameSite=Strict"
        return _plain(303, "", ("Location", self._path), ("Set-Cookie", cookie))

    def _has_cookie(self, field_value: str) -> bool:
        pairs = (pair.strip().partition("=") for pair in field_value.replace(",", ";").split(";"))
        return any(name == self._cookie_name and _same(value, self._cookie) for name, _, value in pairs)


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Reply:
    policy = ("Content-Security-Policy", NOTHING)
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Reply(status, (*_ALWAYS, policy, kind, *headers), text.encode())


def _authority(host: str, port: int) -> str:
    """Host and port as in a URL and in a Host field: an IPv6 address in brackets, and without port 80."""
    name = f"[{host}]" if ":" in host else host
    return name if port == NAME_PORT else f"{name}:{port}"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())

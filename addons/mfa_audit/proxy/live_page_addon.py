"""The live report page in mitmproxy: requests for it are answered here and never go out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.net.http import status_codes
from mitmproxy.proxy import mode_specs

from mfa_audit.addon.options import add_options
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import HOST_NAME, is_api_host
from mfa_audit.formats.html_page import Live, render_live
from mfa_audit.machine.loopback import is_loopback
from mfa_audit.proxy.live_page import Content, Page, Part, Reply, Request
from mfa_audit.reports.model import Report

logger = logging.getLogger("mfa_audit")

Read = Callable[[], Awaitable[Report]]

# More than any browser sends with a request for a page.
_BODY_LIMIT: Final = 65_536
# Where a flow of ours keeps what was first seen of it, as some addons rewrite requests later.
_OURS: Final = "mfa_audit_page"


class LivePage:
    """The addon; it must see requests before any addon that reroutes them. Answers nothing until it is opened."""

    def __init__(self) -> None:
        self._page: Page | None = None
        self._read: Read | None = None
        self._shown: tuple[Report, Live] | None = None

    def load(self, loader: Loader) -> None:
        add_options(loader, page=True)

    def configure(self, updated: set[str]) -> None:
        name = ctx.options.mfa_audit_page
        if "mfa_audit_page" in updated and name and (not HOST_NAME.fullmatch(name) or is_api_host(name)):
            raise exceptions.OptionsError(
                f"mfa_audit_page: {name!r} is not a host name such as mfa.audit, or it is Partner Center's"
            )

    def open(self, read: Read) -> str | None:
        """Answer from now on with the reports that `read` gives; the address that opens the page, with its secret.

        None, and no page, when anything that the proxy listens on can be reached from elsewhere, when nothing of it
        takes requests for itself (`--mode reverse:…` sends all on), or when the option `mfa_audit_page` is empty.
        """
        name = ctx.options.mfa_audit_page
        servers = list(ctx.master.addons.get("proxyserver").servers)
        own = [
            (address[0], address[1])
            for server in servers
            if isinstance(server.mode, mode_specs.RegularMode | mode_specs.UpstreamMode)
            for address in server.listen_addrs
        ]
        local = all(is_loopback(address[0]) for server in servers for address in server.listen_addrs)
        if not (name and own and local):
            return None
        self._page, self._read = Page(own, name), read
        return self._page.url

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        page = self._page
        if page is None or not page.knows(flow.request.data.host, flow.request.data.port):
            return
        if not flow.live or flow.is_replay:
            return
        request = _first_look(flow.request)
        if not page.is_for(request):
            return
        flow.metadata[_OURS] = request
        # A large body would be streamed on before it is answered, to a server that does not exist.
        flow.request.stream = False
        if _has_large_body(request):
            flow.kill()

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        # Only now, since the page has a secret of its own and is not for --proxy-auth, which answers before.
        return self._serve(flow) if _OURS in flow.metadata else None

    async def _serve(self, flow: http.HTTPFlow) -> None:
        page, request = self._page, flow.metadata[_OURS]
        assert page is not None  # noqa: S101 - requestheaders looked
        try:
            reply = await self._answer(page, request)
        except Exception as error:  # without a response the request would go out
            logger.warning("mfa-audit: the report page met an unexpected %s.", type(error).__name__)
            reply = page.unreadable()
        flow.response = _response(reply, without_body=request.method == "HEAD")

    async def _answer(self, page: Page, request: Request) -> Reply:
        part = page.judge(request)
        if isinstance(part, Reply):
            return part
        assert self._read is not None  # noqa: S101 - opened together
        try:
            live = await self._render(await self._read())
        except AuditError:
            return page.unreadable()
        if part is Part.MAIN:
            return page.deliver(request, Content(live.main))
        return page.deliver(request, Content(live.document, live.policy))

    async def _render(self, report: Report) -> Live:
        """The report as HTML, made beside the event loop; the same value is not rendered twice in a row."""
        shown = self._shown
        if shown is None or shown[0] is not report:
            shown = self._shown = report, await asyncio.to_thread(render_live, report)
        return shown[1]


def _first_look(request: http.Request) -> Request:
    headers: dict[str, str] = {}
    for raw, value in request.headers.fields:
        name = raw.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    if not request.http_version.startswith("HTTP/1"):  # the Host field's successor
        headers.setdefault("host", request.authority)
    target = request.data.path.decode("latin-1")
    if request.scheme != "http":
        headers.pop("host", None)
    return Request(request.method, request.data.host, request.data.port, target, headers)


def _has_large_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or not length.isdecimal() or int(length) > _BODY_LIMIT


def _response(reply: Reply, *, without_body: bool) -> http.Response:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
    if reply.status != 304:
        fields.append((b"Content-Length", str(len(reply.body)).encode()))
    now = time.time()
    return http.Response(
        b"HTTP/1.1",
        reply.status,
        status_codes.RESPONSES.get(reply.status, "").encode(),
        http.Headers(fields),
        b"" if without_body else reply.body,
        None,
        now,
        now,
    )

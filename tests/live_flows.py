"""Flows as mitmproxy hands them to an addon, made up, and the addon's hooks called in turn."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Sequence

from mitmproxy import http
from mitmproxy.test import tflow

from clients import API
from mfa_audit.addon.live import PartnerCenterMfa


def make_flow(
    url: str = f"{API}/v1/customers",
    *,
    method: str = "GET",
    token: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    status: int | None = 200,
    reason: str = "OK",
    answer: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"{}",
) -> http.HTTPFlow:
    """`headers` and `answer` are raw header fields of request and response; status None leaves it unanswered."""
    flow = tflow.tflow(live=True)
    flow.request = http.Request.make(method, url)
    authorization = [] if token is None else [(b"Authorization", b"Bearer " + token.encode())]
    fields = [*flow.request.headers.fields, *authorization, *headers]
    flow.request.headers = http.Headers(fields)
    if status is not None:
        flow.response = http.Response.make(status, body, http.Headers(answer))
        flow.response.reason = reason
    return flow


def play(addon: PartnerCenterMfa, flow: http.HTTPFlow, *, hangs_up: bool = False) -> None:
    """Give the flow to each hook in turn, as mitmproxy does; its state must be the same before and after each."""

    async def go() -> None:
        answer, flow.response = flow.response, None
        for name in ("requestheaders", "request", "responseheaders", "error" if hangs_up else "response"):
            if name == "responseheaders":
                flow.response = answer
            hook = getattr(addon, name, None)
            before = copy.deepcopy(flow.get_state())
            result = None if hook is None else hook(flow)
            if isinstance(result, Awaitable):
                await result
            assert before == flow.get_state(), name

    asyncio.run(go())

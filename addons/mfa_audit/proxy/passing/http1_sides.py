"""HTTP/1 on both sides: interim answers, and answers that come before the request is complete."""

from __future__ import annotations

import re
from typing import Any, Final

from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1, status_codes
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from mfa_audit.proxy.passing.answer_events import InterimAnswer
from mfa_audit.proxy.passing.replacing import replaces

_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d\b")  # 101 is a last answer, and changes the protocol


@replaces(Http1Client, "read_headers")
def read_answer_headers(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """mitmproxy takes a 100, 102 or 103 for the answer, and the answer for a mistake of the server."""
    while isinstance(event, events.DataReceived) and self.request and _INTERIM.match(bytes(self.buf)):
        lines = self.buf.maybe_extract_lines()
        if not lines:
            return  # the rest of it is still to come
        response = http1.read_response_head([bytes(one) for one in lines])
        yield ReceiveHttp(InterimAnswer(self.stream_id, response))
        if not self.buf:
            return
    yield from original(self, event)


@replaces(Http1Client, "mark_done")
def mark_server_done(original: Any, self: Any, *, request: bool = False, response: bool = False) -> Any:
    """After an early answer the server may close at once, and what is left of the request leads nowhere."""
    yield from original(self, request=request, response=response)
    if self.response_done and not self.request_done:
        self.state = lambda event: _after_early_answer(self, event)


def _after_early_answer(self: Any, event: Any) -> CommandGenerator[None]:
    if isinstance(event, events.ConnectionClosed) and self.conn.state & ConnectionState.CAN_WRITE:
        yield commands.CloseConnection(self.conn)


@replaces(Http1Server, "send")
def send_to_client(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """Write an interim answer, which leaves the connection waiting for the answer itself."""
    if not isinstance(event, InterimAnswer):
        yield from original(self, event)
        return
    response = event.response.copy()
    response.http_version = "HTTP/1.1"
    response.reason = response.reason or status_codes.RESPONSES.get(response.status_code, "")
    yield commands.SendData(self.conn, http1.assemble_response_head(response))

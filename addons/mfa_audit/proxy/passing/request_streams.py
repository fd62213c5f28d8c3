"""One call from end to end: sending it again, `Expect: 100-continue`, early answers, and no pages of mitmproxy's."""

from __future__ import annotations

import weakref
from typing import Any, Final

from mitmproxy.connection import Server
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from mfa_audit.proxy.passing.answer_events import NO_PAGE, InterimAnswer, StreamLost
from mfa_audit.proxy.passing.replacing import replaces

# Methods that change nothing on the server (RFC 9110, section 9.2.1). Others are sent again only if the server has
# said that it did not process them.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# A hundred calls at once against a server that takes twenty a connection need five; curl gives up after five.
TRIES: Final = 8

# Connections on which the server has answered before: those that it may close while the next call is on its way.
_ANSWERED: Final[weakref.WeakSet[Server]] = weakref.WeakSet()


@replaces(GetHttpConnection, "connection_spec_matches")
def matches(original: Any, self: Any, connection: Any) -> bool:
    """mitmproxy lets one failed connection fail every later call of the same client with the same error."""
    return bool(original(self, connection)) and not connection.error


@replaces(HttpStream, "_handle_event")
def handle_event(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """What mitmproxy does not know, and what it answers with a page of its own where directly there is none."""
    if isinstance(event, InterimAnswer):
        yield SendHttp(event, self.context.client)
    elif isinstance(event, ResponseProtocolError):
        if self.server_state == self.state_done:
            return  # the answer is complete: what happens to the connection after it is nobody's concern
        if _may_be_resent(self, event):
            self.tries = getattr(self, "tries", 0) + 1
            yield from _send_again(self)
            return
        event.code = NO_PAGE
        yield from self.handle_protocol_error(event)
    else:
        yield from original(self, event)


def _may_be_resent(self: Any, event: ResponseProtocolError) -> bool:
    request = self.flow.request
    if self.flow.response or self.client_state != self.state_done or request.stream:
        return False  # something of the answer has come, or the body is not here any more
    if self.flow.error or getattr(self, "tries", 0) >= TRIES:
        return False
    if isinstance(event, StreamLost) and event.unprocessed:
        return True
    # A server that closes a kept connection while the next call is on its way: clients notice directly in time.
    return request.method in SAFE and self.context.server in _ANSWERED


def _send_again(self: Any) -> CommandGenerator[None]:
    """As `HttpStream.state_consume_request_body` sends it at first."""
    if not (yield from self.make_server_connection()):
        return
    request, server = self.flow.request, self.context.server
    content = request.raw_content
    yield SendHttp(RequestHeaders(self.stream_id, request, not (content or request.trailers)), server)
    if content:
        yield SendHttp(RequestData(self.stream_id, content), server)
    if request.trailers:
        yield SendHttp(RequestTrailers(self.stream_id, request.trailers), server)
    yield SendHttp(RequestEndOfMessage(self.stream_id), server)


@replaces(HttpStream, "state_wait_for_request_headers")
def wait_for_request_headers(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """Let the server decide on `Expect: 100-continue`, which mitmproxy answers itself and takes away.

    The request is streamed: its body comes only after the server's word, so it cannot be waited for.
    """
    headers = event.request.headers
    if event.end_stream or headers.get("expect", "").lower() != "100-continue":
        yield from original(self, event)
        return
    steps, reply, taken = original(self, event), None, None
    while True:
        try:
            command = steps.send(reply)
        except StopIteration:
            return
        if taken is not None:
            headers.fields, taken = taken, None
        if _is_continue(command) and not self.flow.response:
            taken, reply = headers.fields, None
            self.flow.request.stream = self.flow.request.stream or True
            continue
        reply = yield command


def _is_continue(command: Any) -> bool:
    is_answer = isinstance(command, SendHttp) and isinstance(command.event, ResponseHeaders)
    return is_answer and command.event.response.status_code == 100


@replaces(HttpStream, "send_response")
def send_response(original: Any, self: Any, already_streamed: bool = False) -> CommandGenerator[None]:
    """An answer that comes before the request's end is ended at once: its client may be waiting for that."""
    yield from original(self, already_streamed)
    if self.server_state == self.state_done and self.client_state == self.state_stream_request_body:
        self.ended_early = True
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


@replaces(HttpStream, "flow_done")
def flow_done(original: Any, self: Any) -> CommandGenerator[None]:
    """Remember that this server answers, and end no answer twice."""
    _ANSWERED.add(self.context.server)
    for command in original(self):
        ends = isinstance(command, SendHttp) and isinstance(command.event, ResponseEndOfMessage)
        if not (ends and getattr(self, "ended_early", False)):
            yield command


@replaces(HttpStream, "handle_connect_upstream")
def handle_connect_upstream(original: Any, self: Any) -> CommandGenerator[None]:
    """A tunnel to a host that NO_PROXY exempts from the proxy behind ours goes there without it."""
    yield from original(self) if self.context.server.via else self.handle_connect_regular()

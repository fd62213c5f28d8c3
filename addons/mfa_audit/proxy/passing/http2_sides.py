"""HTTP/2 on both sides: a server or client that goes away finishes what it has begun.

mitmproxy takes each GOAWAY for the end of the connection and fails all of its calls with 502, although the sender
answers those that it has accepted (RFC 9113, section 6.8). Microsoft's front ends send one every some hundred calls.
"""

from __future__ import annotations

import collections
from typing import Any, Final

import h2.events
from h2.errors import ErrorCodes
from mitmproxy import http
from mitmproxy.proxy.commands import CloseConnection, SendData
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from mfa_audit.proxy.passing.answer_events import InterimAnswer, StreamLost
from mfa_audit.proxy.passing.replacing import replaces

# Why a connection that is open takes no new calls; `request_streams.matches` looks for any error.
RETIRED: Final = "the server takes no more calls on this connection"


class GoingAway:
    """The peer answers streams up to `last_stream_id`, and takes no others."""

    def __init__(self, last_stream_id: int) -> None:
        self.last_stream_id = last_stream_id


@replaces(BufferedH2Connection, "_receive_goaway_frame")
def receive_goaway(original: Any, self: Any, frame: Any) -> Any:
    """h2 would close its state machine, after which each further frame of an accepted stream is an error."""
    if frame.error_code != ErrorCodes.NO_ERROR:
        return original(self, frame)
    return [], [GoingAway(frame.last_stream_id)]


@replaces(Http2Client, "handle_h2_event")
def handle_server_event(original: Any, self: Any, event: Any) -> CommandGenerator[bool]:
    """Tell apart what the server has not processed, which may be sent again, and what it still answers."""
    if isinstance(event, GoingAway | h2.events.ConnectionTerminated):
        self.conn.error = RETIRED
        last = event.last_stream_id or 0
        unprocessed = [stream for stream in self.streams if stream > last]
        # Those that waited for a free stream have no number on this connection yet: any unused one will do.
        for waiting in self.stream_queue:
            self.their_stream_id[-waiting] = waiting
            unprocessed.append(-waiting)
        self.stream_queue = collections.defaultdict(list)
        for stream in unprocessed:
            self.streams.pop(stream, None)
            yield ReceiveHttp(StreamLost(stream, RETIRED, unprocessed=True, reset=ErrorCodes.REFUSED_STREAM))
        if isinstance(event, GoingAway):
            return False
    elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.streams:
        refused = event.error_code == ErrorCodes.REFUSED_STREAM
        if refused:
            self.conn.error = RETIRED  # as curl does: the next try takes another connection
        self.streams.pop(event.stream_id)
        yield ReceiveHttp(
            StreamLost(
                event.stream_id,
                f"the server reset the stream ({int(event.error_code)})",
                unprocessed=refused,
                reset=int(event.error_code),
            )
        )
        return False
    elif isinstance(event, h2.events.InformationalResponseReceived):
        headers = http.Headers(event.headers)
        status = int(headers.pop(":status"))
        response = http.Response(b"HTTP/2.0", status, b"", headers, None, None, 0.0, None)
        yield ReceiveHttp(InterimAnswer(event.stream_id, response))
        return False
    stop: bool = yield from original(self, event)
    return stop


@replaces(Http2Client, "_handle_event")
def close_when_done(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """A retired connection is closed once its last call is answered."""
    yield from original(self, event)
    if self.conn.error == RETIRED and not self.streams and not self.stream_queue:
        yield CloseConnection(self.conn)
        self._handle_event = self.done


@replaces(Http2Server, "handle_h2_event")
def handle_client_event(original: Any, self: Any, event: Any) -> CommandGenerator[bool]:
    """A client that goes away (Node's `session.close()`) still wants its answers."""
    if isinstance(event, GoingAway):
        return False
    stop: bool = yield from original(self, event)
    return stop


@replaces(Http2Server, "_handle_event")
def send_to_client(original: Any, self: Any, event: Any) -> CommandGenerator[None]:
    """Interim answers go on; a lost stream is reset as the server did, where mitmproxy would write a page."""
    if isinstance(event, InterimAnswer):
        if self.is_open_for_us(event.stream_id):
            fields = [(name.lower(), value) for name, value in event.response.headers.fields]
            status = (b":status", b"%d" % event.response.status_code)
            self.h2_conn.send_headers(event.stream_id, [status, *fields])
            yield SendData(self.conn, self.h2_conn.data_to_send())
    elif isinstance(event, StreamLost):
        if not self.is_closed(event.stream_id):
            self.h2_conn.reset_stream(event.stream_id, event.reset)
            yield SendData(self.conn, self.h2_conn.data_to_send())
    else:
        yield from original(self, event)

"""What passes between mitmproxy's two sides beyond its own events: interim answers, and streams that were lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from h2.errors import ErrorCodes
from mitmproxy import http
from mitmproxy.net.http import status_codes
from mitmproxy.proxy.layers.http import _events
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

# The code of an error after which the client gets no page of mitmproxy's: a number in 11, an enumeration in 12.
NO_PAGE: Final[Any] = (
    _events.ErrorCode.KILL if hasattr(_events, "ErrorCode") else getattr(status_codes, "NO_RESPONSE", None)
)


@dataclass
class InterimAnswer(HttpEvent):
    """An answer before the answer: 100 (Continue), 102, 103. mitmproxy knows none of them."""

    response: http.Response


class StreamLost(ResponseProtocolError):  # noqa: N818 - an event of mitmproxy's, no exception
    """The server will not answer this request. `unprocessed`: it has said that it did not look at it (RFC 9113, 8.7).

    `reset` is the HTTP/2 error code that tells the client the same.
    """

    def __init__(
        self,
        stream_id: int,
        message: str,
        *,
        unprocessed: bool = False,
        reset: int = ErrorCodes.INTERNAL_ERROR,
    ) -> None:
        super().__init__(stream_id, message, NO_PAGE)
        self.unprocessed = unprocessed
        self.reset = reset

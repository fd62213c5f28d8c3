"""Answers that go on to the client byte by byte, with a copy of what a 401 says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mitmproxy import http

Record = Callable[[http.HTTPFlow], Awaitable[object] | None]

# Of a longer answer nothing is kept.
COPY_LIMIT: Final = 64 * 1024


class PassingBody:
    """The body of one answer on its way to the client: mitmproxy calls it with each piece, and with none at the end.

    Once the body is complete, `record` gets the flow with it, before the last piece leaves: what a client has seen
    answered is recorded.
    """

    def __init__(self, flow: http.HTTPFlow, record: Record) -> None:
        self._flow = flow
        self._record = record
        self._copy = bytearray()
        self._done = False
        length = flow.response.headers.get("content-length", "") if flow.response else ""
        self._length = int(length) if length.isdigit() else None

    def __call__(self, piece: bytes) -> bytes:
        if not self._done:
            self._copy += piece
            if not piece or len(self._copy) == self._length or len(self._copy) > COPY_LIMIT:
                self._finish()
        return piece

    def _finish(self) -> None:
        self._done = True
        assert self._flow.response is not None  # noqa: S101 - its body is here
        if len(self._copy) <= COPY_LIMIT:
            self._flow.response.data.content = bytes(self._copy)
        self._copy.clear()
        waiting = self._record(self._flow)
        if waiting is not None:
            asyncio.ensure_future(waiting)  # noqa: RUF006 - the recorder holds what it waits for

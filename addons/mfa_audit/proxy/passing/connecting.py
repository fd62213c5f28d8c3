"""Connections to servers: addresses tried in a race, and answers read to their end even where writing fails."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mitmproxy import connection
from mitmproxy.proxy import server
from mitmproxy.proxy.server import ConnectionHandler

from mfa_audit.proxy.passing.replacing import replaces

# Seconds until the next address is tried beside the one before (RFC 8305, section 5).
NEXT_ADDRESS_AFTER: Final = 0.25
# How long a connection may be silent: mitmproxy cuts after ten minutes what waits directly for as long as it takes.
# Keep-alive probes find peers that are gone.
IDLE_SECONDS: Final = 30 * 24 * 3600
_LIMIT: Final = 2**16  # of what is read ahead; asyncio's own default

Address = tuple[Any, ...]  # as `getaddrinfo` gives it: family, type, protocol, canonical name, socket address


class LastWords(asyncio.StreamReaderProtocol):
    """Reads what the server sent before it closed.

    A server that refuses an upload answers 401 and closes. The next write fails, upon which asyncio closes the
    connection, with the answer unread in the socket.
    """

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._words = reader
        self._socket: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket, which asyncio closes only after `connection_lost`."""
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")

    def connection_lost(self, exc: Exception | None) -> None:
        """Read what is left, and let the reader come to its end instead of an error."""
        if exc is not None:
            with contextlib.suppress(OSError), self._socket.dup() as left:
                left.setblocking(False)
                while data := left.recv(_LIMIT):
                    self._words.feed_data(data)
        super().connection_lost(None)


async def open_connection(
    host: str, port: int, *, local_addr: Address | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As `asyncio.open_connection`, racing the host's addresses, with keep-alive probes on what comes of it.

    Without the race a dead IPv6 address holds up each connection for the system's patience, two minutes and more.
    asyncio's own (`happy_eyeballs_delay`) fails under the eager tasks that mitmproxy sets (cpython issue 124309).
    """
    loop = asyncio.get_running_loop()
    if local_addr is not None:
        return await asyncio.open_connection(host, port, local_addr=local_addr)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connected = await _race(list(_alternating(found)))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    reader = asyncio.StreamReader(limit=_LIMIT, loop=loop)
    protocol = LastWords(reader, loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=connected)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _alternating(found: Sequence[Address]) -> Iterator[Address]:
    """The addresses in their order, but families in turn (RFC 8305, section 4)."""
    first = [one for one in found if one[0] == found[0][0]]
    others = [one for one in found if one[0] != found[0][0]]
    for pair in itertools.zip_longest(first, others):
        yield from filter(None, pair)


async def _race(addresses: list[Address]) -> socket.socket:
    """The first connection to any of the addresses. Raises the first error when all fail."""
    attempts: set[asyncio.Future[socket.socket]] = set()
    error: BaseException = OSError("the name has no address")
    failed = False
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(asyncio.ensure_future(_connect(addresses.pop(0))))
            patience = NEXT_ADDRESS_AFTER if addresses else None
            done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.discard(attempt)
                reason = attempt.exception()
                if reason is None:
                    return attempt.result()
                error, failed = (error if failed else reason), True
        raise error
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close)
            attempt.cancel()


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, target = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, target)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _close(attempt: asyncio.Future[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


class _Asyncio:
    """asyncio as `mitmproxy.proxy.server` sees it: all the same but for `open_connection`."""

    open_connection = staticmethod(open_connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


@contextlib.contextmanager
def racing() -> Iterator[None]:
    """Have mitmproxy connect with our `open_connection` for as long as this lasts."""
    ours = {"asyncio": _Asyncio(), "TCP_TIMEOUT": IDLE_SECONDS}  # the latter in mitmproxy 11 only
    before = {name: getattr(server, name, None) for name in ours}
    for name, value in ours.items():
        setattr(server, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(server, name, value)


def keep_alive(proxyserver: Any) -> None:
    """Have the system probe clients that are silent; what a listener accepts inherits that from it."""
    for instance in proxyserver.servers:
        for listener in getattr(instance, "_servers", ()):
            for one in getattr(listener, "sockets", ()):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@replaces(ConnectionHandler, "drain_writers")
async def drain_writers(_: Any, self: Any) -> None:
    """A server that takes no more bytes may have answered: mitmproxy would stop reading from it."""
    async with self._drain_lock:
        for peer, transport in list(self.transports.items()):
            if transport.writer is not None:
                try:
                    await transport.writer.drain()
                except OSError as error:
                    if transport.handler is not None and isinstance(peer, connection.Client):
                        transport.handler.cancel(f"Error sending data: {error}")


@replaces(ConnectionHandler, "log")
def log(original: Any, self: Any, message: str, *arguments: Any, **named: Any) -> None:
    """A mistake in a layer leaves its client waiting for ever: close the connection instead."""
    original(self, message, *arguments, **named)
    if message == "mitmproxy has crashed!":
        client = self.transports.get(self.client)
        if client is not None and client.handler is not None:
            client.handler.cancel("a layer failed")

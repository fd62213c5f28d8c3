"""Connections to servers, and what becomes of a client when something in the proxy fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.proxy.layers.http import HttpStream

from mfa_audit.machine import authorities
from mfa_audit.proxy import serving
from mfa_audit.proxy.passing import connecting
from mfa_audit.proxy.serving import ProxySettings, serve


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full, so further ones get no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.1", port))
        yield port


def open_to(*ports: int) -> tuple[int, float]:
    """Connect to a name with these ports of loopback as its addresses: the port, and the seconds it took."""

    async def run() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        if sys.version_info >= (3, 12):
            loop.set_task_factory(asyncio.eager_task_factory)  # as mitmproxy does

        async def look_up(*_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

        loop.getaddrinfo = look_up  # type: ignore[assignment,method-assign]
        began = time.monotonic()
        _, writer = await asyncio.wait_for(connecting.open_connection("api.example.com", 443), 20)
        peer = writer.get_extra_info("peername")[1]
        writer.close()
        return peer, time.monotonic() - began

    return asyncio.run(run())


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux leaves a connection to a full queue unanswered"
)
def test_a_dead_address_holds_nothing_up(dead: int) -> None:
    """When the first of two addresses does not answer, the second is there after a moment."""
    with socket.create_server(("127.0.0.1", 0)) as alive:
        port = alive.getsockname()[1]
        peer, took = open_to(dead, port)
    assert port == peer
    assert took < 5


def test_a_refused_address_is_passed_over() -> None:
    """When the first address refuses, the second is taken; when all do, that is the error."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as alive:
        assert alive.getsockname()[1] == open_to(refused, alive.getsockname()[1])[0]
    with pytest.raises(ConnectionRefusedError):
        open_to(refused, refused)


def test_last_words_are_read() -> None:
    """What a server says before it resets the connection is read, even when writing to it has failed by then."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            peer.sendall(b"last words")
            time.sleep(0.1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        threading.Thread(target=answer, daemon=True).start()

        async def run() -> bytes:
            reader, writer = await connecting.open_connection(*server.getsockname())
            time.sleep(0.3)
            for _ in range(3):
                writer.write(b"x" * 100_000)
            return await asyncio.wait_for(reader.read(100), 10)

        assert b"last words" == asyncio.run(run())


def started(folder: Path) -> ProxySettings:
    """Settings of a proxy with all that it needs in `folder`."""
    return ProxySettings(
        kind="proxy",
        database=folder / "audit.db",
        authority=authorities.create(folder / "authority"),
        port=0,
    )


def closes_within(seconds: float, settings: ProxySettings, sent: bytes) -> bool:
    """Whether the proxy closes a client's connection on which `sent` came, and nothing after it."""

    async def run() -> bool:
        async with serve(settings, lambda _: None) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(sent)
            try:
                await asyncio.wait_for(reader.read(), seconds)
            except TimeoutError:
                return False
            finally:
                writer.close()
            return True

    return asyncio.run(run())


def test_a_mistake_in_the_proxy_closes_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where mitmproxy's code fails the client sees its connection end, and does not wait for ever."""

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(HttpStream, "check_invalid", fail)

    assert closes_within(10, started(tmp_path), b"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize(("limit", "closes"), [(1, True), (connecting.IDLE_SECONDS, False)])
def test_silence_ends_nothing(
    limit: int, closes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our limit on silent connections is the one that counts, with both mitmproxies."""
    for module in (serving, connecting):
        monkeypatch.setattr(module, "IDLE_SECONDS", limit)

    assert closes is closes_within(4, started(tmp_path), b"GET ")

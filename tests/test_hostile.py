"""Clients that misbehave: slow, half closed, reset, cut off, and very many."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from pathlib import Path

import pytest

from observed import query
from processes import Audit, Running
from traffic import Connection


@pytest.fixture
def proxy(audit: Audit, upstream: list[str], database: Path) -> tuple[Running, int, Path]:
    """A running `mfa-audit proxy` in front of the stand-in: the process, its port, its authority's certificate."""
    running = audit.start("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream)
    running.wait_for("Listening at")
    return running, running.wait_for_port(), Path(running.wait_for(r"Certificate authority: (.+)")[1])


def test_misbehaving_clients_cost_nobody_anything(
    proxy: tuple[Running, int, Path], database: Path, with_mfa: str
) -> None:
    """Slow, half closed, reset and cut connections leave other calls alone; each call that was read is stored once."""
    running, port, authority = proxy
    good = Connection(port, authority)
    slow = Connection(port, authority)
    for letter in b"GET /v1/customers HTTP/1.1\r\nHost: api.part":
        slow.tls.sendall(bytes([letter]))
    half = Connection(port, authority)
    half.send(with_mfa, path="/v1/invoices")
    half.tls.shutdown(socket.SHUT_WR)
    reset = Connection(port, authority)
    reset.send(with_mfa, path="/v1/orders?delay=5")
    time.sleep(0.5)
    reset.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.tls.close()
    cut = Connection(port, authority)
    with contextlib.suppress(OSError):
        cut.call(with_mfa, path="/v1/products?bytes=3000000&cut=100000")
    began = time.perf_counter()
    assert [200] * 20 == [good.call(with_mfa) for _ in range(20)]
    assert time.perf_counter() - began < 5
    slow.tls.close()
    time.sleep(0.5)
    done = running.stop()
    assert 0 == done.returncode
    assert "Traceback" not in done.stderr
    found = dict(
        query(
            database,
            "SELECT operations.name, count(*) FROM calls JOIN operations ON operations.id = operation_id GROUP BY 1",
        )
    )
    assert {
        "GET /v1/customers": 20,
        "GET /v1/invoices": 1,
        "GET /v1/orders": 1,
        "GET /v1/products": 1,
    } == found
    assert [(0,)] == query(database, "SELECT lost FROM sessions")


def test_many_connections_at_once(proxy: tuple[Running, int, Path], database: Path, with_mfa: str) -> None:
    """With 100 connections open at once, each call on each of them is answered and stored.

    `scripts/bench/soak.py` does that with 2,000.
    """
    running, port, authority = proxy
    opened = [Connection(port, authority) for _ in range(100)]
    assert {200} == {one.call(with_mfa) for one in opened}
    for one in opened:
        one.tls.close()
    done = running.stop()
    assert 0 == done.returncode
    assert [(100,)] == query(database, "SELECT count(*) FROM calls")
    assert [(0,)] == query(database, "SELECT lost FROM sessions")

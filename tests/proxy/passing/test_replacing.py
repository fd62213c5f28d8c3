"""The methods of mitmproxy that are replaced are the ones that were read."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from mitmproxy.proxy import server
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler

from mfa_audit.proxy.passing import passing
from mfa_audit.proxy.passing.replacing import ALL, Replacement

# What our replacements stand in for, call, or rely on: the SHA-256 of its source as far as it was read, in 11.0.2 and
# in 12.3.1 (once where they are the same). A mitmproxy that differs has to be read, and tests/passive run, first.
READ = {
    "ConnectionHandler.drain_writers": ("6b57434604561e3e",),
    "ConnectionHandler.log": ("706760d6eecf10cd",),
    "Http1Client.read_headers": ("1a492ce73b45a592", "415454c5fa8b5981"),
    "Http1Client.mark_done": ("dc5ed395ce4f0763",),
    "Http1Server.send": ("f530fe5b569e08d4", "cc218a1337c0f5cf"),
    "BufferedH2Connection._receive_goaway_frame": ("3ca171127d14d85f", "adb9adfae94088c4"),
    "Http2Client.handle_h2_event": ("ff6f4bd9271693b8",),
    "Http2Client._handle_event": ("02de05a5b89f087b",),
    "Http2Server.handle_h2_event": ("d24a023c678de6ce",),
    "Http2Server._handle_event": ("7282fa18e70a3eaa",),
    "GetHttpConnection.connection_spec_matches": ("d1c7cdec843ece5f",),
    "HttpStream._handle_event": ("e3cbfef7310ae81f",),
    "HttpStream.state_wait_for_request_headers": ("0bdf0ba5eb8af19d", "3706d5d5ce01dcd4"),
    "HttpStream.send_response": ("d581bc106152e369",),
    "HttpStream.flow_done": ("ad9969744785c572",),
    "TLSLayer.receive_data": ("b85a8a4fd5626ce0", "85c0e6b656c324e5"),
    "ClientTLSLayer.start_server_tls": ("ecb12045d0984a01",),
    "ClientTLSLayer.receive_handshake_data": ("a0ee021f92f6d0ff",),
    "TlsConfig.get_cert": ("dd24319e5f5a545c", "7d9ade74c0b80011"),
    "CertStore.create_store": ("6598e64a51ed8bf3",),
    "HttpStream.handle_connect_upstream": ("61581d87a5d73cbf",),
    "ConnectionHandler.open_connection": ("5e0b3cbaf7a4030a",),
    "ConnectionHandler.handle_connection": ("95c3f93e9824e527",),
    "ConnectionHandler.server_event": ("11ba8b6ed84f0744", "a2b42657ebe8bf6d"),
    "Http2Connection._handle_event": ("702cca14d787c66d", "7fc814a8a507f234"),
    "ClientTLSLayer.start_tls": ("3878cd7c942a58ba",),
}
# Not replaced, but written for: a part of it is done over by ours.
RELIED_ON = (
    (ConnectionHandler, "open_connection"),
    (ConnectionHandler, "handle_connection"),
    (ConnectionHandler, "server_event"),
    (_http2.Http2Connection, "_handle_event"),
    (ClientTLSLayer, "start_tls"),
)
ROWS = [(one.owner, one.name) for one in ALL] + list(RELIED_ON)


def source_of(owner: type, name: str) -> str:
    """A short hash of a method's source, its own or inherited."""
    return hashlib.sha256(inspect.getsource(getattr(owner, name)).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("owner", "name"), ROWS, ids=[f"{owner.__name__}.{name}" for owner, name in ROWS])
def test_mitmproxy_has_not_changed_it(owner: type, name: str) -> None:
    """Each replaced method, and each that a replacement relies on, is one of those that were read."""
    assert source_of(owner, name) in READ[f"{owner.__name__}.{name}"]


def test_everything_is_put_back() -> None:
    """After a proxy of ours has run, mitmproxy is as it was, whoever else uses it in this process."""
    before = [_own(one) for one in ALL]
    module = server.asyncio
    with passing():
        assert all(now is not was for now, was in zip([_own(one) for one in ALL], before, strict=True))
        with passing():  # two proxies at once
            pass
        assert server.asyncio is not module
    assert before == [_own(one) for one in ALL]
    assert server.asyncio is module


def _own(one: Replacement) -> object:
    return one.owner.__dict__.get(one.name)

"""TLS on both sides: alerts after the handshake, servers whose TLS fails, and the names in our certificates."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from mitmproxy import certs, connection, exceptions
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import context, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer, TlsFailedClientHook, TLSLayer
from mitmproxy.proxy.tunnel import LayerStack
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from mfa_audit.proxy.passing.replacing import replaces

# A leaf is made anew when less than this is left of it. mitmproxy keeps it for as long as the process lives.
LEAF_MARGIN: Final = timedelta(days=1)

# What a client says of a certificate that it does not take (RFC 8446, section 6.2), in OpenSSL's words.
_REFUSES: Final = re.compile(
    r"alert (unknown ca|bad certificate|certificate (unknown|expired|revoked)|unsupported certificate)"
)


class _TunnelledInsteadError(Exception):
    """The server's TLS failed, so the client is to see the server itself."""


@replaces(TLSLayer, "receive_data")
def receive_data(_: Any, self: Any, data: bytes) -> CommandGenerator[None]:
    """After an alert of the other side mitmproxy keeps the connection open, and waits for ever."""
    if data:
        self.tls.bio_write(data)
    yield from self.tls_interact()
    plaintext, alert, closed = bytearray(), None, False
    while True:
        try:
            plaintext.extend(self.tls.recv(65535))
        except SSL.WantReadError:
            break
        except SSL.ZeroReturnError:
            closed = True
            break
        except SSL.Error as error:
            alert, closed = str(error), True
            self.tls.set_shutdown(self.tls.get_shutdown() | SSL.RECEIVED_SHUTDOWN)
            break
    yield from self.tls_interact()  # reading may have advanced the state (mitmproxy 12 does it here, 11 above)
    if plaintext:
        yield from self.event_to_child(events.DataReceived(self.conn, bytes(plaintext)))
    if alert is not None and self.conn == self.context.client and _REFUSES.search(alert):
        # In TLS 1.3 a client may finish its handshake before it looks at the certificate.
        self.conn.error = f"The client does not trust the proxy's certificate for {self.conn.sni} ({alert})"
        yield TlsFailedClientHook(TlsData(self.conn, self.context, self.tls))
    if closed:
        self.conn.state &= ~ConnectionState.CAN_READ
        yield from self.event_to_child(events.ConnectionClosed(self.conn))


@replaces(ClientTLSLayer, "start_server_tls")
def start_server_tls(original: Any, self: Any) -> CommandGenerator[str | None]:
    """Let a client see a server's certificate that does not verify, or that asks for one of the client's."""
    error: str | None = yield from original(self)
    server = self.context.server
    connected = server.timestamp_tcp_setup or server.via  # with a proxy behind ours, only that one's is known
    if error and connected and getattr(self.context.options, "mfa_audit_tunnel", False):
        raise _TunnelledInsteadError
    return error


@replaces(ClientTLSLayer, "receive_handshake_data")
def receive_hello(original: Any, self: Any, data: bytes) -> CommandGenerator[tuple[bool, str | None]]:
    """The hello goes on unread over a new connection, as mitmproxy does for hosts that it is to ignore.

    The layer around this one keeps the failed connection, and with it what is still heard of its end.
    """
    try:
        result: tuple[bool, str | None] = yield from original(self, data)
        return result
    except _TunnelledInsteadError:
        pass
    failed = self.context.server
    self.context.server = connection.Server(address=failed.address)
    self.context.server.via = failed.via
    self.conn = self.tunnel_connection = connection.Client(
        peername=("ignore-conn", 0), sockname=("ignore-conn", 0)
    )
    stack = LayerStack()
    if failed.via:
        stack /= HttpUpstreamProxy.make(self.context, True)
    stack /= TCPLayer(self.context, ignore=True)
    self.child_layer = stack[0]
    yield from self.event_to_child(events.DataReceived(self.context.client, bytes(self.recv_buffer)))
    self.recv_buffer.clear()
    return True, None


@replaces(TlsConfig, "get_cert")
def get_certificate(_: Any, self: Any, conn_context: context.Context) -> certs.CertStoreEntry:
    """A certificate for the name that the client asks for, and no other.

    mitmproxy adds the address that the client connected to, often an IP address, which our authority's constraints
    exclude: the client would refuse the whole certificate.
    """
    name = conn_context.client.sni or (conn_context.server.address or ("",))[0]
    store = self.certstore
    entry = store.get_cert(name, [_general_name(name)], None)
    if entry.cert.notafter < datetime.now(UTC) + LEAF_MARGIN:
        store.certs = {key: kept for key, kept in store.certs.items() if kept is not entry}
        entry = store.get_cert(name, [_general_name(name)], None)
    found: certs.CertStoreEntry = entry
    return found


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


@replaces(certs.CertStore, "create_store")
def create_store(*_: Any, **__: Any) -> None:
    """mitmproxy would make an authority without limits, good for ten years, wherever it finds none."""
    raise exceptions.OptionsError(
        "the proxy's certificate authority is gone from its folder; start mfa-audit again to make a new one"
    )

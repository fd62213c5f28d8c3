"""A proxy that answers for every TLS host by itself, so that clients can be watched without a network."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWER = (
    "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: text/plain\r\n"
    "Content-Length: 5\r\nConnection: close\r\n\r\nthere"
)


class Issuer:
    """A certificate authority for tests: its own PEM, and server contexts for the names it vouches for."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), []
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.der = self.certificate.public_bytes(serialization.Encoding.DER)

    def file(self, name: str) -> Path:
        path = self._folder / name
        path.write_bytes(self.pem)
        return path

    def server(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        leaf = self._sign(
            subject, key, x509.BasicConstraints(ca=False, path_length=None), [x509.DNSName(host)]
        )
        path = self._folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        own = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )
        if constraints.ca:
            usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment"), False)
            usage |= dict.fromkeys(
                ("data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
            )
            builder = builder.add_extension(
                x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True
            )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@dataclass
class Endpoint:
    """`url` is what clients get as their proxy; `calls` are the hosts that were asked over TLS."""

    url: str
    calls: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  # of each CONNECT, as it came


@contextlib.contextmanager
def listening(hosts: dict[str, ssl.SSLContext], *, clock: float = 0) -> Iterator[Endpoint]:
    """A proxy on loopback that plays each of `hosts` behind CONNECT, with a clock that is `clock` seconds ahead."""
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            head = _head(connection)
            endpoint.heads.append(head.decode())
            host = head.split(b" ")[1].rsplit(b":", 1)[0].decode()
            if not head.startswith(b"CONNECT ") or host not in hosts:
                connection.sendall(b"HTTP/1.1 502 Unknown\r\nContent-Length: 0\r\n\r\n")
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with hosts[host].wrap_socket(connection, server_side=True) as inner:
                _head(inner)
                endpoint.calls.append(host)
                inner.sendall(
                    ANSWER.format(email.utils.formatdate(time.time() + clock, usegmt=True)).encode()
                )
                inner.unwrap()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield endpoint
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _head(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(4096)
        if not chunk:
            raise OSError("hung up")
        received += chunk
    return received

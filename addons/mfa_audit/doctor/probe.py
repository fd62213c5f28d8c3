"""One call to a host, step by step, so that it shows which step fails."""

from __future__ import annotations

import contextlib
import email.utils
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from mfa_audit.printable import line

_SECONDS = 8.0
_LONGEST_HEAD = 32_768


class Step(StrEnum):
    """How far a call came."""

    NAME = "finding its address"
    PROXY = "reaching the proxy"
    TUNNEL = "the proxy's way to the host"
    CONNECT = "connecting"
    TLS = "the TLS handshake"
    ANSWER = "waiting for its answer"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Probe:
    """Where a call ended. `step` is the one that failed, or DONE; `detail` says how, printable.

    `status` is HTTP's, `date` the server's clock in seconds since 1970 (UTC), where it told.
    """

    host: str
    step: Step
    detail: str
    status: int | None = None
    date: float | None = None


def probe(host: str, context: ssl.SSLContext, proxy: str | None = None, *, port: int = 443) -> Probe:
    """Make one call without a token, `OPTIONS /`, to `host`, directly or through the HTTP proxy `http://HOST:PORT`.

    An OPTIONS without a token is what a browser's preflight looks like, and leaves no trace in a report.
    """
    step = Step.NAME
    try:
        with contextlib.ExitStack() as stack:
            if proxy is None:
                address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][:2]
                step = Step.CONNECT
                connection = stack.enter_context(socket.create_connection((str(address[0]), port), _SECONDS))
            else:
                step = Step.PROXY
                parts = urlsplit(proxy)
                connection = stack.enter_context(
                    socket.create_connection((parts.hostname or "", parts.port or 80), _SECONDS)
                )
                step = Step.TUNNEL
                connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                refused = _status_of(_head(connection))
                if refused != 200:
                    return Probe(host, step, f"the proxy answered {refused}", refused)
            step = Step.TLS
            secure = stack.enter_context(context.wrap_socket(connection, server_hostname=host))
            step = Step.ANSWER
            fields = f"Host: {host}\r\nUser-Agent: mfa-audit doctor\r\nConnection: close\r\n"
            secure.sendall(f"OPTIONS / HTTP/1.1\r\n{fields}\r\n".encode())
            head = _head(secure)
    except (OSError, ValueError) as error:
        return Probe(host, step, _told(error))
    status = _status_of(head)
    return Probe(host, Step.DONE, f"HTTP {status}", status, _date_of(head))


def _head(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < _LONGEST_HEAD:
        chunk = connection.recv(4096)
        if not chunk:
            break
        received += chunk
    if not received:
        raise OSError("it closed the connection")
    return received.partition(b"\r\n\r\n")[0].decode("latin-1")


def _status_of(head: str) -> int:
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    return int(words[1])


def _date_of(head: str) -> float | None:
    for text in head.splitlines():
        name, _, value = text.partition(":")
        if name.lower() == "date":
            with contextlib.suppress(ValueError):
                return email.utils.parsedate_to_datetime(value.strip()).timestamp()
    return None


def _told(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({line(error.verify_message)})"
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS:.0f} seconds"
    return line(getattr(error, "strerror", None) or str(error) or type(error).__name__)

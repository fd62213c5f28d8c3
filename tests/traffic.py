"""Many calls through a proxy on kept connections, each with an id of its own by which it is found again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

HOST = "api.partnercenter.microsoft.com"


class Connection:
    """One connection through the proxy's tunnel to an API host, on which calls follow each other."""

    def __init__(self, port: int, authority: Path, *, host: str = HOST, timeout: float = 60.0) -> None:
        self.host = host
        self.raw = socket.create_connection(("127.0.0.1", port), timeout)
        self.raw.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._some(self.raw)
        if b" 200 " not in head.split(b"\r\n")[0] + b" ":
            raise ConnectionError(head[:200])
        context = ssl.create_default_context(cafile=authority)
        self.tls = context.wrap_socket(self.raw, server_hostname=host)

    def send(
        self,
        token: str | None,
        *,
        path: str = "/v1/customers",
        agent: str = "load/1.0",
        identifier: str = "",
        extra: bytes = b"",
    ) -> None:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", f"User-Agent: {agent}"]
        lines += [f"Authorization: Bearer {token}"] if token is not None else []
        lines += [f"MS-RequestId: {identifier}"] if identifier else []
        self.tls.sendall("\r\n".join(lines).encode() + b"\r\n" + extra + b"\r\n")

    def receive(self) -> int:
        """The status of the answer, once all of it is there."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._some(self.tls)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._some(self.tls)
        return int(head.split()[1])

    def call(self, token: str | None, **parts: str) -> int:
        self.send(token, **parts)
        return self.receive()

    def close(self) -> None:
        self.tls.close()

    @staticmethod
    def _some(stream: socket.socket) -> bytes:
        received = stream.recv(65536)
        if not received:
            raise ConnectionError("hung up")
        return received


class Load:
    """Calls on several connections at once, in threads, until `stop` or the proxy's end."""

    def __init__(
        self,
        port: int,
        authority: Path,
        token: Callable[[int], str],
        *,
        connections: int = 4,
        each: int | None = None,
        pause: float = 0.0,
    ) -> None:
        self.answered: dict[str, float] = {}  # request id -> seconds that its answer took
        self.failed: list[str] = []
        self._plan = (port, authority, token, each, pause)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        port, authority, token, each, pause = self._plan
        number = 0
        with contextlib.suppress(OSError, IndexError):
            connection = Connection(port, authority)
            while not self._stop.is_set() and (each is None or number < each):
                identifier = str(uuid.uuid4())
                began = time.perf_counter()
                connection.send(token(number), identifier=identifier)
                status = connection.receive()
                self.answered[identifier] = time.perf_counter() - began
                if status != 200:
                    self.failed.append(f"{identifier}: {status}")
                number += 1
                time.sleep(pause)
            connection.close()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        self._stop.set()
        self.wait()


def percentile(seconds: list[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))]

"""A CONNECT proxy that changes nothing: the direct way to a server on this machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class Tunnels:
    """A plain CONNECT proxy that leads `HOST:PORT` to where `places` says: the direct way, as unread as a cable."""

    def __init__(self, places: dict[tuple[str, int], int]) -> None:
        self._places = places
        self.asked: list[str] = []

    def __enter__(self) -> Tunnels:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError, KeyError, ValueError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.asked.append(head.split(b" ")[1].decode())
            host, _, port = self.asked[-1].rpartition(":")
            with socket.create_connection(("127.0.0.1", self._places[host, int(port)])) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until one side ends; a reset is passed on as a reset."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)

"""A TLS server on loopback that answers as the path of each request tells it, over HTTP/1.1 and HTTP/2.

`/SITUATION/NUMBER?run=NAME`: each situation is a method of `Http1` or `Http2` below; `run` keeps the counts of one
client on one way apart from all others.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import GoAwayFrame, RstStreamFrame

BODY = b"there\n" * 20
PIECES = 4
REFUSED = b'{"code": 900421, "description": "MFA is required"}'


@dataclass
class Request:
    """What came: `situation` and `run` are from its target."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def situation(self) -> str:
        return urlsplit(self.target).path.split("/")[1].replace("-", "_")

    @property
    def run(self) -> str:
        return dict(parse_qsl(urlsplit(self.target).query)).get("run", "")


class ToldServer:
    """Runs from `with` to the end of the block. `processed` counts what it looked at, by run, method and situation."""

    def __init__(self, context: ssl.SSLContext, port: int = 0) -> None:
        self.port = port
        self._context = context
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self.processed: Counter[tuple[str, str, str]] = Counter()
        self.seen: dict[str, dict[str, str]] = {}  # the latest headers, by run and situation
        self.connections: Counter[str] = Counter()

    def __enter__(self) -> ToldServer:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def note(self, request: Request) -> None:
        self.processed[request.run, request.method, request.situation] += 1
        self.seen[f"{request.run} {request.situation}"] = request.headers

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(30)
        with contextlib.suppress(OSError, ValueError, IndexError), raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._context.wrap_socket(raw, server_side=True)
            (Http2 if tls.selected_alpn_protocol() == "h2" else Http1)(self, tls).serve()
            tls.close()


class Http1:
    """One connection. A situation's method returns whether the connection stays open."""

    def __init__(self, server: ToldServer, tls: ssl.SSLSocket) -> None:
        self.server, self.tls = server, tls
        self.reader: BinaryIO = tls.makefile("rb")
        self.count = 0

    def serve(self) -> None:
        while line := self.reader.readline():
            method, target, _ = line.decode().split()
            headers = {}
            while (field := self.reader.readline().strip()) != b"":
                name, _, value = field.decode().partition(":")
                headers[name.lower()] = value.strip()
            self.count += 1
            request = Request(method, target, headers)
            self.server.note(request)
            if not getattr(self, request.situation)(request):
                return

    def read_body(self, request: Request) -> int:
        if "chunked" in request.headers.get("transfer-encoding", ""):
            total = 0
            while size := int(self.reader.readline().split(b";")[0], 16):
                total += len(self.reader.read(size))
                self.reader.readline()
            self.reader.readline()
            return total
        return len(self.reader.read(int(request.headers.get("content-length", 0))))

    def answer(self, status: str, body: bytes = BODY, *fields: str) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
        self.tls.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def plain(self, request: Request) -> bool:
        self.read_body(request)
        self.answer("200 OK")
        return True

    goaway = goaway_late = goaway_hundred = refused_stream = plain  # of HTTP/2 only

    def closed_between(self, request: Request) -> bool:
        """The server closes the kept connection a moment after its answer, as all servers do in the end."""
        self.read_body(request)
        self.answer("200 OK")
        time.sleep(0.05)
        return False

    def closed_meanwhile(self, request: Request) -> bool:
        """The server closes the kept connection while the next call is on its way."""
        if self.count > 1:
            return False
        return self.plain(request)

    def no_answer(self, _: Request) -> bool:
        """The server closes each connection without an answer."""
        return False

    def cut_short(self, request: Request) -> bool:
        """The server closes in the middle of its answer."""
        self.read_body(request)
        self.tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY)
        return False

    def expect_continue(self, request: Request) -> bool:
        """The server says 100 (Continue) to who asks for it."""
        if "100-continue" in request.headers.get("expect", "").lower():
            self.tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.read_body(request)
        self.answer("200 OK")
        return True

    def expect_refused(self, request: Request) -> bool:
        """The server decides on the head of the request alone."""
        self.answer("401 Unauthorized", REFUSED, "Connection: close")
        return False

    def early_refusal(self, request: Request) -> bool:
        """The server answers 401 to the first bytes of an upload, and closes as front ends do."""
        self.reader.read(1)
        self.answer("401 Unauthorized", REFUSED, "Connection: close")
        linger(self.tls)
        return False

    def early_reset(self, request: Request) -> bool:
        """The same without any manners: what comes after the answer is reset."""
        self.reader.read(1)
        self.answer("401 Unauthorized", REFUSED, "Connection: close")
        time.sleep(0.1)
        return False

    def events(self, request: Request) -> bool:
        """A stream of events, one every 0.15 s."""
        self.tls.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(PIECES):
            self.tls.sendall(b"%x\r\n%s\r\n" % (len(BODY), BODY))
            time.sleep(0.15)
        self.tls.sendall(b"0\r\n\r\n")
        return True

    def slow_refusal(self, request: Request) -> bool:
        """A 401 whose body comes in pieces."""
        size = PIECES * len(BODY)
        self.tls.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(PIECES):
            self.tls.sendall(BODY)
            time.sleep(0.15)
        return True

    def until_close(self, request: Request) -> bool:
        """An answer that ends with the connection."""
        self.tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
        return False

    def early_hints(self, request: Request) -> bool:
        """103 before the answer."""
        self.tls.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
        self.answer("200 OK")
        return True

    def blanks(self, request: Request) -> bool:
        """Blanks behind a field's name, which RFC 9112 forbids and clients take."""
        self.answer("200 OK", BODY, "X-Odd : yes")
        return True

    def large(self, request: Request) -> bool:
        """Two megabytes."""
        self.read_body(request)
        self.answer("200 OK", b"x" * 2_000_000)
        return True


def linger(tls: ssl.SSLSocket) -> None:
    """Close the own side, and read what the client still sends for a second, as nginx and IIS do."""
    with contextlib.suppress(OSError, ValueError):
        tls.settimeout(1.0)
        end = time.monotonic() + 1.0
        while time.monotonic() < end and tls.recv(65536):
            pass


class Http2:
    """One connection, its streams answered in the order in which they are complete."""

    def __init__(self, server: ToldServer, tls: ssl.SSLSocket) -> None:
        self.server, self.tls = server, tls
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.requests: dict[int, Request] = {}
        self.count = 0
        self.ended = False
        self.going = False

    def serve(self) -> None:
        self.h2.initiate_connection()
        self.flush()
        while not self.ended and (data := self.tls.recv(65536)):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields = dict(event.headers)
                    request = Request(fields[":method"], fields[":path"], fields)
                    self.requests[event.stream_id] = request
                    self.count += 1
                    if request.situation in ("early_refusal", "early_reset", "expect_refused"):
                        self.server.note(request)
                        self.refuse_early(event.stream_id)
                elif isinstance(event, h2.events.DataReceived):
                    with contextlib.suppress(Exception):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.requests:
                    request = self.requests.pop(event.stream_id)
                    handle = getattr(self, request.situation, self.plain)
                    handle(event.stream_id, request)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return
            self.flush()
        if self.going:
            linger(self.tls)

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.tls.sendall(data)

    def answer(self, stream: int, status: int = 200, body: bytes = BODY) -> None:
        self.h2.send_headers(stream, [(":status", str(status)), ("content-length", str(len(body)))])
        self.send(stream, body)
        self.h2.end_stream(stream)
        self.flush()

    def send(self, stream: int, body: bytes) -> None:
        while body:
            size = min(len(body), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if size:
                self.h2.send_data(stream, body[:size])
                body = body[size:]
                self.flush()
            else:
                self.flush()
                self.h2.receive_data(self.tls.recv(65536))

    def say_goaway(self, last: int) -> None:
        self.tls.sendall(GoAwayFrame(stream_id=0, last_stream_id=last, error_code=0).serialize())
        self.going = True

    def plain(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.answer(stream)

    def large(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.answer(stream, body=b"x" * 2_000_000)

    def goaway(self, stream: int, request: Request) -> None:
        """GOAWAY before the answer to the third call, which is still answered; then the connection ends."""
        self.server.note(request)
        if self.count >= 3:
            self.say_goaway(stream)
            self.ended = True
        self.answer(stream)

    def goaway_hundred(self, stream: int, request: Request) -> None:
        """GOAWAY before the answer to each connection's hundredth call."""
        self.server.note(request)
        if self.count >= 100:
            self.say_goaway(stream)
            self.ended = True
        self.answer(stream)

    def goaway_late(self, stream: int, request: Request) -> None:
        """GOAWAY that crosses the third call: it is not processed."""
        if self.count >= 3:
            self.say_goaway(stream - 2)
            self.ended = True
            return
        self.server.note(request)
        self.answer(stream)

    def refused_stream(self, stream: int, request: Request) -> None:
        """Each connection's second call is refused, unprocessed."""
        if self.count == 2:
            self.tls.sendall(RstStreamFrame(stream_id=stream, error_code=7).serialize())
            return
        self.server.note(request)
        self.answer(stream)

    def closed_between(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.answer(stream)
        time.sleep(0.05)
        self.ended = True

    def closed_meanwhile(self, stream: int, request: Request) -> None:
        self.server.note(request)
        if self.count > 1:
            self.ended = True
            return
        self.answer(stream)

    def no_answer(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.ended = True

    def cut_short(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.h2.send_headers(stream, [(":status", "200"), ("content-length", "1000")])
        self.send(stream, BODY)
        self.ended = True

    def expect_continue(self, stream: int, request: Request) -> None:
        self.plain(stream, request)

    def refuse_early(self, stream: int) -> None:
        self.answer(stream, 401, REFUSED)
        self.h2.reset_stream(stream)  # NO_ERROR: stop sending (RFC 9113, section 8.1)
        self.flush()
        self.requests.pop(stream, None)

    def early_hints(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self.h2.send_headers(stream, [(":status", "103"), ("link", "</a>; rel=preload")])
        self.answer(stream)

    def _slowly(self, stream: int, status: str) -> None:
        self.h2.send_headers(stream, [(":status", status)])
        for _ in range(PIECES):
            self.send(stream, BODY)
            self.flush()
            time.sleep(0.15)
        self.h2.end_stream(stream)

    def events(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self._slowly(stream, "200")

    def slow_refusal(self, stream: int, request: Request) -> None:
        self.server.note(request)
        self._slowly(stream, "401")

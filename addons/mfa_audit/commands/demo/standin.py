"""A stand-in for the Partner Center API on loopback, for the demonstration and the tests.

It speaks HTTP/1.1 over TLS with a certificate of its own and answers what Microsoft documents, as far as MFA
goes. Whoever calls it can ask for odd answers in the query string, on any path:

    bytes=N      a body of N bytes              chunked=1   in chunks instead of with a length
    delay=S      wait S seconds, then answer    pause=S     wait S seconds after each 64 KiB of the body
    status=N     another status                 cut=N       reset the connection after N bytes of the body
    hangup=1     close without any answer       enforcement=2026 or 2019   enforce the rule on this call
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from mfa_audit.commands.demo.sample_tokens import read_claims
from mfa_audit.exchanges.exchange import API_DOMAIN, API_HOSTS
from mfa_audit.machine import authorities

Enforcement = Literal["2019", "2026"]

HOST: Final = "127.0.0.1"
_ENFORCEMENTS: Final[Mapping[str, Enforcement]] = {"2019": "2019", "2026": "2026"}
PIECE: Final = 65536

# `MS-RequestId` and `MS-CorrelationId` come back as they were sent, or new.
_IDENTIFIERS: Final = ("ms-requestid", "ms-correlationid")
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type, ms-requestid, ms-correlationid",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What came: `target` with its query string; header names in lower case, the last of a repeated one."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    phrase: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def reply_to(request: Request, enforcement: Enforcement | None = None) -> Reply:
    """What the API answers, enforcing the rule in the given year's way or not at all. Pure."""
    headers = request.headers
    if request.method == "OPTIONS" and "authorization" not in headers:
        return Reply(204, "No Content", _CORS)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _refuse({"WWW-Authenticate": "Bearer"}, 401, "No token was sent.")
    claims = read_claims(token.strip())
    if claims is None:
        return _refuse({"WWW-Authenticate": 'Bearer error="invalid_token"'}, 401, "The token cannot be read.")
    compliant = _has_mfa(claims)
    if not compliant and (enforcement == "2019" or headers.get("ms-enforce-mfa", "").lower() == "true"):
        # In 2019 the reason stood in the reason phrase.
        return Reply(401, "Unauthorized - MFA required", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    told: dict[str, str] = {}
    if headers.get("validatemfa", "").lower() == "true" and not _is_app_only(claims):
        told["isMfaCompliant"] = "true" if compliant else "false"
    if not compliant and enforcement == "2026":
        return _refuse(told, 900421, "MFA is required for this request.")
    return Reply(
        200, "OK", told, b'{"totalCount": 0, "items": [], "attributes": {"objectType": "Collection"}}'
    )


def _refuse(headers: Mapping[str, str], code: int, description: str) -> Reply:
    body = {"code": code, "description": description, "data": [], "source": "PartnerCenterStandIn"}
    return Reply(401, "Unauthorized", headers, json.dumps(body).encode())


def _is_app_only(claims: Mapping[str, Any]) -> bool:
    return claims.get("idtyp") == "app" or ("roles" in claims and "scp" not in claims)


def _has_mfa(claims: Mapping[str, Any]) -> bool:
    amr = claims.get("amr")
    return _is_app_only(claims) or (isinstance(amr, list) and not {"mfa", "ngcmfa"}.isdisjoint(map(str, amr)))


class StandIn:
    """The running stand-in, on a thread of its own from `with` to the end of the block.

    `hosts` are the names in its certificate beside 127.0.0.1 and localhost. `enforcement` may change while
    it runs. `requests` holds the latest that came, `answered` counts those that it set out to answer in full.
    """

    def __init__(
        self,
        *,
        enforcement: Enforcement | None = None,
        hosts: tuple[str, ...] = (*API_HOSTS, f"*.{API_DOMAIN}"),
    ) -> None:
        self.enforcement = enforcement
        self.host = HOST
        self.port = 0
        self.answered = 0
        self.requests: deque[Request] = deque(maxlen=10_000)
        self._hosts = (HOST, "localhost", *hosts)
        self._folder = tempfile.TemporaryDirectory(prefix="mfa-audit-standin-")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def certificate_file(self) -> Path:
        """The certificate of the authority that vouches for the stand-in, as PEM."""
        return Path(self._folder.name) / authorities.PUBLIC_FILE

    @property
    def origin(self) -> str:
        """`https://127.0.0.1:PORT`."""
        return f"https://{self.host}:{self.port}"

    def instead_of(self, host: str = API_HOSTS[0]) -> dict[str, str]:
        """mitmproxy's options that lead calls for `host` here, without even looking the real one up."""
        return {
            # Some clients write the port into Host, from which mitmproxy makes the URL that it compares.
            "map_remote": f"|^https://{re.escape(host)}(:443)?/|{self.origin}/",
            "ssl_verify_upstream_trusted_ca": str(self.certificate_file),
            "connection_strategy": "lazy",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._folder.cleanup()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._folder.cleanup()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._connected, self.host, 0, ssl=self._tls(), backlog=2048, limit=4 * PIECE
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        # asyncio.run cancels the connections that are still open.

    def _tls(self) -> ssl.SSLContext:
        authority = authorities.create(Path(self._folder.name), [h for h in self._hosts if h[0] != "*"])
        pem = Path(self._folder.name) / "server.pem"
        pem.write_bytes(authority.leaf(self._hosts))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A client may go at any time, also in the middle of a line.
            with contextlib.suppress(OSError, EOFError, ValueError):
                async for request in _read_requests(reader, writer):
                    self.requests.append(request)
                    if not await self._answer(request, writer):
                        break
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Write the answer; False when the connection must end."""
        wish = dict(parse_qsl(urlsplit(request.target).query))
        await asyncio.sleep(float(wish.get("delay", 0)))
        if "hangup" in wish:
            return False
        enforcement = _ENFORCEMENTS.get(wish.get("enforcement", ""), self.enforcement)
        reply = reply_to(request, enforcement)
        body = b"x" * int(wish["bytes"]) if "bytes" in wish and reply.status == 200 else reply.body
        if request.method == "HEAD":
            body = b""
        cut = int(wish.get("cut", len(body) + 1))
        # Counted first: whoever has read as much as the answer's head finds it counted.
        self.answered += cut > len(body)
        writer.write(
            _head(request, reply, int(wish.get("status", reply.status)), len(body), "chunked" in wish)
        )
        for start in range(0, min(len(body), cut), PIECE):
            piece = body[start : min(start + PIECE, cut)]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if "chunked" in wish else piece)
            await writer.drain()
            await asyncio.sleep(float(wish.get("pause", 0)))
        if cut <= len(body):
            await asyncio.sleep(0.05)  # so that what was written is on its way before the reset
            writer.transport.abort()
            return False
        if "chunked" in wish:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return request.headers.get("connection", "").lower() != "close"


async def _read_requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[Request]:
    """The requests of one connection; their bodies are read and dropped."""
    while line := await reader.readline():
        method, target, _ = line.decode("latin-1").split()
        headers: dict[str, str] = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await _drop_body(reader, headers)
        yield Request(method, target, headers)


async def _drop_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while (await reader.readline()).strip():
            pass
        return
    left = int(headers.get("content-length", 0))
    while left > 0:
        left -= len(await reader.readexactly(min(left, PIECE)))


def _head(request: Request, reply: Reply, status: int, length: int, chunked: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {reply.phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines += [f"{name}: {request.headers.get(name) or uuid.uuid4()}" for name in _IDENTIFIERS]
    if status != 204:  # which has no body, nor a length (RFC 9110, section 8.6)
        lines.append("Content-Type: application/json")
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

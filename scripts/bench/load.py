"""The benchmark's clients: as many calls as get answered, through the proxy, in a process of their own.

    python scripts/bench/load.py JSON

JSON: {"proxy": port, "ca": file, "host": name, "connections": n, "seconds": s, "http2": bool,
"pause": seconds between calls, "tokens": file}.
Prints {"calls": n, "seconds": s, "latency_ms": [p50, p99]}. Each connection has one call under way at a time.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import frames

PATHS = ("/v1/customers", "/v1/customers/0b8e7d2c-1f55-4c1c-9d35-2a6f9d9f0c11/users", "/v1/invoices")
AGENT = "bench-client/1.0"


async def main(plan: dict[str, Any]) -> None:
    tokens = json.loads(Path(plan["tokens"]).read_text())
    context = ssl.create_default_context(cafile=plan["ca"])
    context.set_alpn_protocols(["h2"] if plan["http2"] else ["http/1.1"])
    ready = asyncio.Barrier(plan["connections"])
    latencies: list[float] = []
    began: list[float] = []

    async def connection(number: int) -> None:
        reader, writer = await tunnel(plan["proxy"], plan["host"], context)
        call = Http2(plan["host"]) if plan["http2"] else Http1(plan["host"])
        call.prepare([tokens[number % len(tokens)]], reader, writer)
        await call()  # the handshakes are not measured
        await ready.wait()
        began.append(time.perf_counter())
        end = began[0] + plan["seconds"]
        while (start := time.perf_counter()) < end:
            await call()
            latencies.append(time.perf_counter() - start)
            if plan["pause"]:
                await asyncio.sleep(plan["pause"])
        writer.transport.abort()

    await asyncio.gather(*(connection(number) for number in range(plan["connections"])))
    latencies.sort()
    shown = [round(latencies[int(len(latencies) * part)] * 1000, 3) for part in (0.5, 0.99)]
    print(
        json.dumps({"calls": len(latencies), "seconds": time.perf_counter() - began[0], "latency_ms": shown})
    )


async def tunnel(
    proxy: int, host: str, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
    writer.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head:
        raise ConnectionError(head)
    await writer.start_tls(context, server_hostname=host)
    return reader, writer


class Http1:
    def __init__(self, host: str) -> None:
        self.host = host
        self.sent = 0

    def prepare(self, tokens: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.requests = [
            f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: {AGENT}\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
            for token in tokens
            for path in PATHS
        ]

    async def __call__(self) -> None:
        self.writer.write(self.requests[self.sent % len(self.requests)])
        self.sent += 1
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head:
            raise ConnectionError(head)
        await self.reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r")[0]))


class Http2:
    def __init__(self, host: str) -> None:
        self.host = host
        self.stream = -1

    def prepare(self, tokens: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.blocks = [
            frames.header_block(
                [
                    *((":method", "GET"), (":scheme", "https"), (":authority", self.host), (":path", path)),
                    *(("user-agent", AGENT), ("accept", "application/json")),
                    ("authorization", f"Bearer {token}"),
                ]
            )
            for token in tokens
            for path in PATHS
        ]
        writer.write(frames.PREFACE + frames.OPENING)

    async def __call__(self) -> None:
        self.stream += 2
        block = self.blocks[self.stream // 2 % len(self.blocks)]
        flags = frames.END_HEADERS | frames.END_STREAM
        self.writer.write(frames.encode(frames.HEADERS, flags, self.stream, block))
        while True:
            frame = await frames.read(self.reader)
            if frame.stream == self.stream and frame.kind in (frames.HEADERS, frames.DATA):
                if frame.flags & frames.END_STREAM:
                    return
            elif frame.kind == frames.GOAWAY or frame.kind == 3:  # RST_STREAM
                raise ConnectionError(frame)
            elif out := frames.reply(frame):
                self.writer.write(out)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

"""The benchmark's server: one fixed answer over TLS, HTTP/1.1 or HTTP/2. Prints its port.

python scripts/bench/upstream.py PEM
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

import frames

BODY = b'{"totalCount":0,"items":[]}'.ljust(200)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
BLOCK = frames.header_block(
    [(":status", "200"), ("content-type", "application/json"), ("content-length", str(len(BODY)))]
)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError):
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            await answer_http2(reader, writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    writer.close()


async def answer_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(len(frames.PREFACE))
    writer.write(frames.OPENING)
    while True:
        frame = await frames.read(reader)
        out = frames.reply(frame)
        if frame.kind in (frames.HEADERS, frames.DATA) and frame.flags & frames.END_STREAM:
            out = frames.encode(frames.HEADERS, frames.END_HEADERS, frame.stream, BLOCK)
            out += frames.encode(frames.DATA, frames.END_STREAM, frame.stream, BODY)
        if out:
            writer.write(out)


async def main(pem: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

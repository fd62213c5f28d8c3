"""Make many mixed calls directly and through the proxy while the server goes away, refuses, closes and is slow.

    python scripts/passive_soak.py [--calls 50000] [--seconds 600] [--authority-seconds S]

Six kinds of clients (requests, httpx with HTTP/1.1 and HTTP/2, urllib, raw kept connections, curl) call at once, each
call once directly and once through the proxy. The server sends GOAWAY every 100 calls and across calls, refuses
streams, closes kept connections, and answers slowly. Ends after so many calls or seconds, whichever comes first, and
prints how many calls failed that worked directly. With --authority-seconds the proxy's authority ends meanwhile. Calls
change nothing (GET), so each is answered or fails on its own.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import importlib.metadata
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
TESTS: Final = HERE.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "passive")]

import httpx  # noqa: E402
import requests  # noqa: E402
from plain_tunnels import Tunnels  # noqa: E402
from situations import HOST, UNSURE  # noqa: E402
from told_server import ToldServer  # noqa: E402

from endpoints import Issuer  # noqa: E402
from mfa_audit.machine import authorities  # noqa: E402
from mfa_audit.proxy.serving import ProxySettings, serve  # noqa: E402

# What the server is asked to do, by its share of all calls.
MIX: Final = {
    "plain": 600,
    "goaway-hundred": 200,
    "goaway-late": 40,
    "refused-stream": 40,
    "closed-between": 50,
    "closed-meanwhile": 50,
    "early-hints": 10,
    "large": 10,
    "events": 2,
}
WORKERS: Final = 6
Call = Callable[[str], int]  # a path to the status of its answer; raises what the client raises


def by_requests(proxy: str, bundle: Path) -> Call:
    """A session that keeps its connections."""
    session = requests.Session()
    session.trust_env, session.verify, session.proxies = False, str(bundle), {"https": proxy}
    return lambda path: len(session.get(f"https://{HOST}{path}", timeout=30).content) and 200


def by_httpx(proxy: str, bundle: Path, *, http2: bool) -> Call:
    """A client that keeps its connections."""
    trust = ssl.create_default_context(cafile=bundle)
    client = httpx.Client(proxy=proxy, verify=trust, http2=http2, timeout=30, trust_env=False)

    def call(path: str) -> int:
        answer = client.get(f"https://{HOST}{path}")
        if not answer.content:
            raise OSError("empty")
        return answer.status_code

    return call


def by_urllib(proxy: str, bundle: Path) -> Call:
    """A connection for each call."""
    trust = ssl.create_default_context(cafile=bundle)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"https": proxy}), urllib.request.HTTPSHandler(context=trust)
    )

    def call(path: str) -> int:
        with opener.open(f"https://{HOST}{path}", timeout=30) as answer:
            answer.read()
            return int(answer.status)

    return call


def by_curl(proxy: str, bundle: Path) -> Call:
    """A process for each call."""

    def call(path: str) -> int:
        command = [
            "curl",
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--proxy",
            proxy,
            "--cacert",
            bundle,
        ]
        ran = subprocess.run(
            [*command, "--max-time", "30", f"https://{HOST}{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise OSError(ran.stderr)
        return int(ran.stdout)

    return call


class Kept:
    """A connection of HTTP/1.1 that is kept, opened anew when it turns out to be closed, as careful clients do."""

    def __init__(self, proxy: str, bundle: Path) -> None:
        self._proxy = proxy.removeprefix("http://").split(":")
        self._trust = ssl.create_default_context(cafile=bundle)
        self._tls: ssl.SSLSocket | None = None

    def __call__(self, path: str) -> int:
        for fresh in (False, True):
            try:
                if self._tls is None or fresh:
                    self._open()
                assert self._tls is not None
                self._tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                return self._receive()
            except OSError:
                self._tls = None
                if fresh:
                    raise
        raise AssertionError

    def _open(self) -> None:
        raw = socket.create_connection((self._proxy[0], int(self._proxy[1])), 30)
        raw.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        if b" 200 " not in raw.recv(1000):
            raise OSError("no tunnel")
        self._tls = self._trust.wrap_socket(raw, server_hostname=HOST)

    def _receive(self) -> int:
        assert self._tls is not None
        got = b""
        ending = b"0\r\n\r\n"
        while True:
            piece = self._tls.recv(65536)
            if not piece:
                raise OSError("closed")
            got += piece
            head, separator, body = got.partition(b"\r\n\r\n")
            while separator and head.split()[1].startswith(b"1"):  # an interim answer
                got = body
                head, separator, body = got.partition(b"\r\n\r\n")
            if not separator:
                continue
            lower = head.lower()
            if b"content-length:" in lower:
                if len(body) >= int(lower.split(b"content-length:")[1].split(b"\r\n")[0]):
                    return int(head.split()[1])
            elif body.endswith(ending):
                return int(head.split()[1])


KINDS: Final[dict[str, Callable[[str, Path], Call]]] = {
    "requests": by_requests,
    "httpx": lambda proxy, bundle: by_httpx(proxy, bundle, http2=False),
    "httpx-2": lambda proxy, bundle: by_httpx(proxy, bundle, http2=True),
    "urllib": by_urllib,
    "kept": Kept,
    "curl": by_curl,
}


@contextlib.contextmanager
def recording(folder: Path, issuer: Issuer, port: int, seconds: float | None) -> Iterator[tuple[str, Path]]:
    """A recording proxy in a thread of its own: its address, and its authority's certificate."""
    days = authorities.KEPT_DAYS if seconds is None else seconds / 86_400
    authority = authorities.create(folder / "authority", days=days)  # type: ignore[arg-type]
    settings = ProxySettings(
        kind="proxy",
        database=folder / "audit.db",
        authority=authority,
        port=0,
        extra=(f"ssl_verify_upstream_trusted_ca={issuer.file('roots.pem')}",),
    )
    ready: list[str] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        ask = loop.getaddrinfo

        async def look_up(host: str, wanted: int, **named: object) -> object:
            return await ask(*(("127.0.0.1", port) if host == HOST else (host, wanted)), **named)  # type: ignore[arg-type]

        loop.getaddrinfo = look_up  # type: ignore[assignment,method-assign]
        async with serve(settings, lambda text: print(f"  {text}")) as proxy:
            ready.append(proxy.url)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    while not ready:
        time.sleep(0.05)
    try:
        yield ready[0], authority.certificate_file
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


def main() -> int:
    """Soak; 1 when a call failed through us and worked directly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--authority-seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="passive-soak-"))
    issuer = Issuer("A root of the machine", folder)
    context = issuer.server(HOST)
    deadline = time.monotonic() + given.seconds
    counts: collections.Counter[str] = collections.Counter()
    lost: list[str] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        chance = random.Random(given.seed * 100 + number)
        kind = list(KINDS)[number % len(KINDS)]
        ways = {
            name: KINDS[kind](url, bundle) for name, url in (("direct", direct), ("through", url_of_ours))
        }
        while time.monotonic() < deadline:
            with lock:
                if counts["calls"] >= given.calls:
                    return
                counts["calls"] += 1
            situation = chance.choices(list(MIX), list(MIX.values()))[0]
            if situation in UNSURE.get(kind, ()):
                situation = "plain"
            results = {}
            for way, call in ways.items():
                try:
                    results[way] = str(call(f"/{situation}/0?run={way}-{kind}"))
                except Exception as error:
                    results[way] = f"{type(error).__name__}: {str(error)[-160:]}"
            for way, result in results.items():
                counts[f"{way} {'answered' if result == '200' else 'failed'}"] += 1
            if results["direct"] == "200" != results["through"]:
                with lock:
                    lost.append(f"{kind} {situation}: {results['through']}")

    with (
        ToldServer(context) as server,
        Tunnels({(HOST, 443): server.port}) as tunnels,
        recording(folder, issuer, server.port, given.authority_seconds) as (url_of_ours, certificate),
    ):
        direct = f"http://127.0.0.1:{tunnels.port}"
        bundle = folder / "bundle.pem"
        bundle.write_bytes(issuer.pem + certificate.read_bytes())
        began = time.monotonic()
        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    print(f"mitmproxy {importlib.metadata.version('mitmproxy')}, {took:.0f} s: {dict(counts)}")
    print(f"{len(lost)} failed through us and worked directly")
    for text, times in collections.Counter(lost).most_common(20):
        print(f"  {times} x {text}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the addon costs: bare mitmdump, an empty addon, ours and a plain one on the same HTTPS traffic.

    python scripts/bench/overhead.py [--rounds 5] [--seconds 3]

The four proxies run all the time and take the load in turn, in each round in another order; every figure is
the median over the rounds, a ratio the median of the ratios within a round. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.machine import authorities

HERE = Path(__file__).parent
HOST = "api.partnercenter.microsoft.com"
VARIANTS: dict[str, Path | None] = {
    "bare": None,
    "empty": HERE / "empty_addon.py",
    "mfa-audit": HERE.parents[1] / "addons" / "partner_center_mfa.py",
    "plain": HERE / "plain_addon.py",
}
MITMDUMP = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"]


@dataclass(frozen=True)
class Measured:
    """One variant under one load: calls per second, CPU microseconds of the proxy per call, p50 in ms."""

    rate: float
    cpu: float
    latency: float


@dataclass
class Proxy:
    """A running mitmdump."""

    process: psutil.Process
    port: int
    database: Path
    calls: int = 0


class Bench:
    """The surroundings of a run: certificates, tokens, the upstream, and the folder that they are in."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.started = 0
        authority = authorities.create(folder / "ca")
        upstream = authorities.create(folder / "upstream", ["127.0.0.1"])
        pem = folder / "upstream.pem"
        pem.write_bytes(upstream.leaf(["127.0.0.1", HOST]))
        process = stack.enter_context(child([sys.executable, str(HERE / "upstream.py"), str(pem)], {}))
        assert process.stdout is not None
        self.tokens = folder / "tokens.json"
        # Real ones have about 1.8 kB.
        self.tokens.write_text(
            json.dumps([make_user_token("pwd", "mfa", n=n, wids="w" * 500) for n in range(20)])
        )
        self.ca = authority.certificate_file
        self.options = {
            "confdir": str(folder / "ca"),
            "map_remote": f"|https://{HOST}/|https://127.0.0.1:{int(process.stdout.readline())}/",
            "ssl_verify_upstream_trusted_ca": str(upstream.certificate_file),
            "connection_strategy": "lazy",
        }

    @contextmanager
    def proxy(self, addon: Path | None, **variables: str) -> Iterator[Proxy]:
        """mitmdump with the addon's file, ended by SIGTERM so that it writes what it has to."""
        self.started += 1
        database = self.folder / f"{self.started}.db"
        options = dict(self.options)
        if addon is not None and "partner_center" in variables.get("BENCH_TIMED", addon.name):
            options["mfa_audit_db"] = str(database)
        port = free_port()
        command = [*MITMDUMP, "-q", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
        command += [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
        command += ["-s", str(addon)] if addon else []
        variables |= {"BENCH_PLAIN_DB": str(database)}
        with child(command, variables) as process:
            wait_for(port, process)
            yield Proxy(psutil.Process(process.pid), port, database)

    def load(self, proxy: Proxy, *, connections: int, http2: bool, seconds: float) -> Measured:
        """Put one load on one proxy."""
        plan = {
            "proxy": proxy.port,
            "ca": str(self.ca),
            "host": HOST,
            "connections": connections,
            "seconds": seconds,
            "http2": http2,
            "tokens": str(self.tokens),
        }
        before = proxy.process.cpu_times()
        done = subprocess.run(
            [sys.executable, str(HERE / "load.py"), json.dumps(plan)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
        after = proxy.process.cpu_times()
        result: dict[str, Any] = json.loads(done.stdout)
        calls = result["calls"] + connections  # each connection's first call is not timed
        proxy.calls += calls
        cpu = after.user + after.system - before.user - before.system
        return Measured(result["calls"] / result["seconds"], cpu / calls * 1e6, result["latency_ms"][0])


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the process listens."""
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} did not start")


@contextmanager
def child(command: Sequence[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process with piped output; ended when the block ends."""
    environment = {**os.environ, **variables, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def measure(bench: Bench, rounds: int, seconds: float) -> None:
    """Every load on every variant, `rounds` times; prints a table a load."""
    results: dict[tuple[bool, int], dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(bench.proxy(addon)) for name, addon in VARIANTS.items()}
        for number in range(rounds):
            order = list(proxies)[number % 4 :] + list(proxies)[: number % 4]
            for http2 in (False, True):
                for connections in (1, 32):
                    for name in order:
                        measured = bench.load(
                            proxies[name], connections=connections, http2=http2, seconds=seconds
                        )
                        results[http2, connections][name].append(measured)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
        # Read while the proxy runs: what was answered is on disk already.
        calls = proxies["mfa-audit"].calls
        stored = count_rows(proxies["mfa-audit"].database)
    for (http2, connections), by_name in results.items():
        print(f"\n{'HTTP/2' if http2 else 'HTTP/1.1'}, {connections} connection{'s' * (connections > 1)}\n")
        print("| | calls/s | of bare | CPU/call | above bare | p50 |\n|---|--:|--:|--:|--:|--:|")
        for name, series in by_name.items():
            pairs = list(zip(series, by_name["bare"], strict=True))
            print(
                f"| {name} | {statistics.median(each.rate for each in series):.0f} "
                f"| {statistics.median(each.rate / bare.rate for each, bare in pairs):.3f} "
                f"| {statistics.median(each.cpu for each in series):.0f} µs "
                f"| {statistics.median(each.cpu - bare.cpu for each, bare in pairs):+.0f} µs "
                f"| {statistics.median(each.latency for each in series):.2f} ms |"
            )
    print(f"\nmfa-audit answered {calls} calls and had {stored} of them on disk at the end.")


def time_hooks(bench: Bench, seconds: float) -> None:
    """The time inside the hooks, in proxies of their own since the stopwatch costs too."""
    print("\n| hooks, 32 connections | | p50 | p95 | p99 | waited p50 |\n|---|---|--:|--:|--:|--:|")
    for name, addon in VARIANTS.items():
        if addon is None:
            continue
        for http2 in (False, True):
            times = bench.folder / f"{name}{http2}.json"
            variables = {"BENCH_TIMED": str(addon), "BENCH_TIMES": str(times)}
            with bench.proxy(HERE / "timed_addon.py", **variables) as proxy:
                bench.load(proxy, connections=32, http2=http2, seconds=seconds)
            sums = json.loads(times.read_text())
            inside, waited = sorted(sums["inside"]), sorted(sums["waited"]) or [0.0]
            quantiles = " | ".join(f"{inside[int(len(inside) * part)]:.0f} µs" for part in (0.5, 0.95, 0.99))
            shown = "HTTP/2" if http2 else "HTTP/1.1"
            print(f"| {name} | {shown} | {quantiles} | {waited[len(waited) // 2]:.0f} µs |")


def count_rows(database: Path) -> int:
    """The calls in a database of ours."""
    connection = sqlite3.connect(database)
    try:
        return int(connection.execute("select count(*) from calls").fetchone()[0])
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory(prefix="mfa-audit-bench-") as name, ExitStack() as stack:
        bench = Bench(Path(name), stack)
        measure(bench, arguments.rounds, arguments.seconds)
        time_hooks(bench, arguments.seconds)


if __name__ == "__main__":
    main()

"""What the addon costs: bare mitmdump, an empty addon, ours and a plain one on the same HTTPS traffic.

    python scripts/bench/overhead.py [--rounds 5] [--seconds 3]

The four proxies run all the time and take the load in turn, in each round in another order; every figure is
the median over the rounds, a ratio or difference the median of those within a round, with its spread. Loads: one
connection as fast as it can, one with 20 ms between calls, and 32. At the end each addon runs once more with a
stopwatch in its hooks, and once with one for the event loop: how late is a timer of 2 ms. Where the empty addon
does not come out at 1.00 ± 0.03 of bare, the machine was too noisy to judge, and that is said. See
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
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
from mfa_audit.store import files

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
    """One variant under one load: calls per second, CPU microseconds of the proxy per call, p50 and p99 in ms."""

    rate: float
    cpu: float
    latency: float
    slow: float


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
    def proxy(self, *addons: Path | None, **variables: str) -> Iterator[Proxy]:
        """mitmdump with the addons' files, ended by SIGTERM so that it writes what it has to."""
        self.started += 1
        database = self.folder / f"{self.started}.db"
        options = dict(self.options)
        scripts = [addon for addon in addons if addon is not None]
        if any("partner_center" in variables.get("BENCH_TIMED", addon.name) for addon in scripts):
            options["mfa_audit_db"] = str(database)
        port = free_port()
        command = [*MITMDUMP, "-q", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
        command += [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
        command += [word for addon in scripts for word in ("-s", str(addon))]
        variables |= {"BENCH_PLAIN_DB": str(database)}
        with child(command, variables) as process:
            wait_for(port, process)
            yield Proxy(psutil.Process(process.pid), port, database)

    def load(
        self, proxy: Proxy, *, connections: int, http2: bool, seconds: float, pause: float = 0.0
    ) -> Measured:
        """Put one load on one proxy."""
        plan = {
            "proxy": proxy.port,
            "ca": str(self.ca),
            "host": HOST,
            "connections": connections,
            "seconds": seconds,
            "pause": pause,
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
        return Measured(result["calls"] / result["seconds"], cpu / calls * 1e6, *result["latency_ms"])


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


LOADS = ((1, 0.0), (1, 0.02), (32, 0.0))
NOISE = 0.03


def measure(bench: Bench, rounds: int, seconds: float) -> None:
    """Every load on every variant, `rounds` times; prints a table a load."""
    results: dict[tuple[bool, int, float], dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(bench.proxy(addon)) for name, addon in VARIANTS.items()}
        for number in range(rounds):
            order = list(proxies)[number % 4 :] + list(proxies)[: number % 4]
            for http2 in (False, True):
                for connections, pause in LOADS:
                    for name in order:
                        measured = bench.load(
                            proxies[name], connections=connections, http2=http2, seconds=seconds, pause=pause
                        )
                        results[http2, connections, pause][name].append(measured)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
        # Read while the proxy runs: what was answered is on disk already.
        calls = proxies["mfa-audit"].calls
        stored = count_rows(proxies["mfa-audit"].database)
    for (http2, connections, pause), by_name in results.items():
        gaps = f", {pause * 1000:.0f} ms between calls" if pause else ""
        print(
            f"\n{'HTTP/2' if http2 else 'HTTP/1.1'}, {connections} connection{'s' * (connections > 1)}{gaps}\n"
        )
        print("| | calls/s | of bare | of empty | CPU above empty | p50 above empty | p99 above empty |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name, series in by_name.items():
            bare, empty = (list(zip(series, by_name[one], strict=True)) for one in ("bare", "empty"))
            print(
                f"| {name} | {statistics.median(each.rate for each in series):.0f} "
                f"| {spread([each.rate / other.rate for each, other in bare], '.2f')} "
                f"| {spread([each.rate / other.rate for each, other in empty], '.2f')} "
                f"| {spread([each.cpu - other.cpu for each, other in empty], '+.0f')} µs "
                f"| {spread([each.latency - other.latency for each, other in empty], '+.2f')} ms "
                f"| {spread([each.slow - other.slow for each, other in empty], '+.2f')} ms |"
            )
        ratio = statistics.median(
            each.rate / other.rate for each, other in zip(by_name["empty"], by_name["bare"], strict=True)
        )
        if abs(ratio - 1) > NOISE:
            print(
                f"\nThe empty addon came out at {ratio:.2f} of bare: the machine was too noisy to judge by this."
            )
    print(f"\nmfa-audit answered {calls} calls and had {stored} of them on disk at the end.")


def spread(values: Sequence[float], form: str) -> str:
    """The median, and the least and most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def time_loop(bench: Bench, seconds: float) -> None:
    """How late the event loop's timers are, in proxies of their own."""
    print("\n| the loop's delay, 32 connections | p50 | p99 | longest |\n|---|--:|--:|--:|")
    for name, addon in VARIANTS.items():
        times = bench.folder / f"{name}.delays"
        scripts = [HERE / "loop_addon.py", *([addon] if addon else [])]
        with bench.proxy(*scripts, BENCH_DELAYS=str(times)) as proxy:
            bench.load(proxy, connections=32, http2=False, seconds=seconds)
        delays = sorted(json.loads(times.read_text()))
        shown = " | ".join(f"{delays[int(len(delays) * part)]:.1f} ms" for part in (0.5, 0.99))
        print(f"| {name} | {shown} | {delays[-1]:.1f} ms |")


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
    """The calls in a database of ours and its journals."""
    return files.read(
        database, lambda connection: int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])
    )


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
        time_loop(bench, arguments.seconds)


if __name__ == "__main__":
    main()

"""A long session: memory, many tokens, many connections, hostile callers, a locked database.

    python scripts/bench/soak.py                                     a short one, some minutes
    python scripts/bench/soak.py --calls 1000000 --tokens 50000 --connections 10000 --lock 30

Each phase goes through a real `mfa-audit proxy` in front of the API's stand-in; the proxy's resident memory (RSS) is
read after each. `--bare` runs bare mitmdump instead, for comparison.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tests"), str(HERE.parent)]

import psutil  # noqa: E402
from kill import start  # noqa: E402

from mfa_audit.commands.demo.sample_tokens import make_user_token  # noqa: E402
from mfa_audit.commands.demo.standin import StandIn  # noqa: E402
from traffic import Connection, Load, percentile  # noqa: E402

THREADS = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=2_000, help="connections open at once")
    parser.add_argument("--lock", type=float, default=10.0, help="seconds that the database is locked")
    parser.add_argument("--bare", action="store_true")
    plan = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, StandIn() as standin:
        os.environ["MFA_AUDIT_HOME"] = folder
        database = Path(folder) / "audit.db"
        process, port, authority = (
            start_bare(Path(folder), standin) if plan.bare else start(database, standin)
        )
        threading.Thread(target=lambda: process.stderr and process.stderr.read(), daemon=True).start()
        soak = Soak(process.pid, port, authority)
        try:
            soak.run(f"{min(1000, plan.calls):,} calls", min(1000, plan.calls), 10)
            soak.run(f"{plan.calls:,} calls, {plan.tokens:,} tokens", plan.calls, plan.tokens)
            soak.run(f"{plan.connections:,} connections", plan.connections, 10, each=1)
            soak.run(f"{plan.hostile:,} calls, each of a caller of its own", plan.hostile, 10, hostile=True)
            soak.hold_open(plan.open)
            if not plan.bare:
                soak.lock(database, plan.lock)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # bare mitmdump, after 2,000 open connections
                process.kill()
                print("It had to be killed.")
        if not plan.bare:
            soak.compare(database)


class Soak:
    """What was asked of one proxy, and its memory."""

    def __init__(self, pid: int, port: int, authority: Path) -> None:
        self.process = psutil.Process(pid)
        self.port, self.authority = port, authority
        self.answered = 0

    def say(self, what: str) -> None:
        print(f"{self.process.memory_info().rss / 1e6:7.1f} MB  {what}", flush=True)

    def run(self, what: str, calls: int, tokens: int, *, each: int = 100, hostile: bool = False) -> None:
        """`calls` calls in order, `each` on a connection, with so many different tokens."""
        numbers = itertools.count()
        took: list[float] = []

        def work() -> None:
            while (first := next(numbers) * each) < calls:
                connection = Connection(self.port, self.authority)
                for number in range(first, min(first + each, calls)):
                    token = make_user_token("pwd", "mfa", uti=f"{number % tokens}", iat=1, nbf=1, exp=1 << 31)
                    agent = "load/1.0"
                    if hostile:
                        token = make_user_token("pwd", "mfa", appid=str(uuid.uuid4()), oid=str(uuid.uuid4()))
                        agent = f"agent {uuid.uuid4()} " + "x y" * 200
                    began = time.perf_counter()
                    connection.call(token, agent=agent, path=f"/v1/{'customers' if not hostile else number}")
                    took.append(time.perf_counter() - began)
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.answered += len(took)
        self.say(f"after {what}: {len(took) / (time.monotonic() - began):.0f}/s, "
                 f"p99 {percentile(took, 0.99) * 1000:.0f} ms, {calls - len(took)} failed")  # fmt: skip

    def hold_open(self, count: int) -> None:
        """Connections that all stay open, and one call on each."""
        token = make_user_token("pwd", "mfa")
        opened: list[Connection] = []
        with suppress(OSError):
            for _ in range(count):
                opened.append(Connection(self.port, self.authority))
        answered = sum(one.call(token) == 200 for one in opened)
        self.answered += answered
        self.say(f"with {len(opened):,} connections open, {answered:,} calls answered on them")
        for one in opened:
            one.close()

    def lock(self, database: Path, seconds: float) -> None:
        """The same load with the database free and with it locked."""
        import sqlite3

        token = make_user_token("pwd", "mfa")
        free = Load(self.port, self.authority, lambda _: token, connections=8, pause=0.01)
        time.sleep(min(10.0, seconds))
        free.stop()
        holder = sqlite3.connect(database, isolation_level=None, timeout=10)
        holder.execute("BEGIN IMMEDIATE")
        held = Load(self.port, self.authority, lambda _: token, connections=8, pause=0.01)
        time.sleep(seconds)
        held.stop()
        holder.execute("ROLLBACK")
        holder.close()
        self.answered += len(free.answered) + len(held.answered)
        times = [percentile(list(one.answered.values()), 0.99) * 1000 for one in (free, held)]
        self.say(f"after a lock of {seconds:.0f} s: {len(held.answered):,} calls meanwhile, "
                 f"p99 {times[1]:.0f} ms, unlocked {times[0]:.0f} ms")  # fmt: skip

    def compare(self, database: Path) -> None:
        import sqlite3

        connection = sqlite3.connect(database)
        stored = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
        lost, folded = connection.execute("SELECT lost, folded FROM sessions").fetchone()
        size = database.stat().st_size
        print(f"{self.answered:,} answered, {stored:,} stored, {lost} lost; {folded:,} folded; "
              f"{size:,} bytes, {size / stored:.0f} a call")  # fmt: skip


def start_bare(folder: Path, standin: StandIn) -> tuple[subprocess.Popen[str], int, Path]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [word for name, value in standin.instead_of().items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("mitmdump")), "-q", "-p", str(port)),
            *("--listen-host", "127.0.0.1", "--set", f"confdir={folder / 'conf'}", *options),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    authority = folder / "conf" / "mitmproxy-ca-cert.pem"
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            if authority.exists():
                return process, port, authority
        time.sleep(0.1)


if __name__ == "__main__":
    main()

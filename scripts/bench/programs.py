"""How long the first call of a connection waits for the name of its program.

    python scripts/bench/programs.py [--processes 300] [--rounds 50]

Real client processes connect over loopback; timed is `Programs.find`, from the question to the name: for a process
that just started, for one that made the connection before, and for one that has run for long and connects for the
first time, each beside a quiet event loop and beside one that is always busy. `--processes` idle ones, with 40
descriptors each, stand around.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median, quantiles

from mfa_audit.addon.programs import Programs

CLIENT = """
import socket, sys
for line in sys.stdin:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        print(connection.getsockname()[1], flush=True)
        sys.stdin.readline()
"""
IDLE = """
import os, socket, sys
opened = [open(os.devnull) for _ in range(30)] + [socket.socket() for _ in range(10)]
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
sys.stdin.read()
"""
BUSY = 0.002  # seconds that the busy loop keeps to itself each time


class Client:
    """A process that connects when told to."""

    def __init__(self, proxy: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(proxy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def connected(self) -> Iterator[int]:
        """The port of a connection that is open meanwhile."""
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        yield int(process.stdout.readline())
        process.stdin.write("\n")
        process.stdin.flush()

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


@contextmanager
def idle(processes: int) -> Iterator[None]:
    """So many processes with 40 descriptors each, younger than what was started before."""
    with subprocess.Popen([sys.executable, "-c", IDLE, str(processes)], stdin=subprocess.PIPE) as first:
        time.sleep(1)
        yield
        assert first.stdin
        first.stdin.close()


async def measure(processes: int, rounds: int, *, busy: bool) -> None:
    """Print one line for each kind of process."""
    spinning = asyncio.create_task(_spin()) if busy else None
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        proxy = server.getsockname()
        for kind in ("new process", "same process again", "old process, first connection"):
            programs = Programs()
            lasting = [Client(proxy[1]) for _ in range(rounds if kind.startswith("old") else 1)]
            with idle(processes):
                first = Client(proxy[1])
                await look_up(programs, first, proxy)  # the recorder has seen a connection before
                await asyncio.sleep(1)
                took = []
                for number in range(rounds):
                    client = Client(proxy[1]) if kind == "new process" else lasting[number % len(lasting)]
                    took.append(await look_up(programs, client, proxy))
                    if client not in lasting:
                        client.end()
                    await asyncio.sleep(0.005)
                for client in (first, *lasting):
                    client.end()
            *_, p95 = cuts = quantiles([wall for wall, _ in took], n=20)
            used = median(cpu for _, cpu in took)
            print(
                f"{'busy' if busy else 'quiet'} loop, {kind}: p50 {cuts[9] * 1000:.2f} ms, p95 {p95 * 1000:.2f} ms"
                + ("" if busy else f", CPU {used * 1000:.2f} ms")
            )
    if spinning is not None:
        spinning.cancel()
        with suppress(asyncio.CancelledError):
            await spinning


async def look_up(programs: Programs, client: Client, proxy: tuple[str, int]) -> tuple[float, float]:
    """How many seconds it takes to name the process at the other end of one connection, and of this CPU."""
    with client.connected() as port:
        began, used = time.perf_counter(), time.process_time()
        found = await programs.find(("127.0.0.1", port), proxy)
        took = time.perf_counter() - began, time.process_time() - used
    assert found is not None
    return took


async def _spin() -> None:
    while True:
        until = time.perf_counter() + BUSY
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


def main() -> None:
    """Measure beside a quiet and a busy loop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    print(f"{arguments.processes} idle processes, load {os.getloadavg()[0]:.1f}")
    for busy in (False, True):
        asyncio.run(measure(arguments.processes, arguments.rounds, busy=busy))


if __name__ == "__main__":
    main()

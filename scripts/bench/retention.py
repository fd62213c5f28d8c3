"""Retention under load: does deleting old calls, and what only they used, hold up the calls of today?

    python scripts/bench/retention.py --calls 300000 --tokens 100000

A database with so many calls and tokens of 500 days ago is made; then `mfa-audit proxy` records on it, under a steady
load, until all of that is deleted. The same load goes on afterwards, for comparison.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tests"), str(HERE.parent)]

from kill import start  # noqa: E402

from mfa_audit.commands.demo.sample_tokens import make_user_token  # noqa: E402
from mfa_audit.commands.demo.standin import StandIn  # noqa: E402
from mfa_audit.store.session_writer import Recording  # noqa: E402
from mfa_audit.store.sessions import Session  # noqa: E402
from observed import observe, query  # noqa: E402
from traffic import Load, percentile  # noqa: E402

CHUNK = 1_000
DAY = 86_400
COMPARED = 20.0  # seconds of load after all is deleted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=30_000)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=8)
    plan = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, StandIn() as standin:
        os.environ["MFA_AUDIT_HOME"] = folder
        database = Path(folder) / "audit.db"
        fill(database, plan.calls, plan.tokens)
        print(f"{count(database, 'calls'):,} calls and {count(database, 'tokens'):,} tokens, 500 days old")
        process, port, authority = start(database, standin)
        threading.Thread(target=lambda: process.stderr and process.stderr.read(), daemon=True).start()
        token = make_user_token("pwd", "mfa")
        try:
            began = time.monotonic()
            during = Load(port, authority, lambda _: token, connections=plan.connections, pause=0.01)
            while count(database, "tokens") > 2:
                time.sleep(1)
            during.stop()
            took = time.monotonic() - began
            after = Load(port, authority, lambda _: token, connections=plan.connections, pause=0.01)
            time.sleep(COMPARED)
            after.stop()
        finally:
            process.terminate()
            process.wait(30)
        for what, load, seconds in (("while deleting", during, took), ("afterwards", after, COMPARED)):
            times = list(load.answered.values())
            print(
                f"{what}: {len(times) / seconds:.0f} calls/s for {seconds:.0f} s, "
                f"p50 {percentile(times, 0.5) * 1000:.0f} ms, p99 {percentile(times, 0.99) * 1000:.0f} ms"
            )
        answered = len(during.answered) + len(after.answered)
        late, lost = query(database, "SELECT late, lost FROM sessions ORDER BY id DESC")[0]
        whole = not query(database, "PRAGMA foreign_key_check")
        print(
            f"{answered:,} answered, {late} rows late, {lost} lost; every reference leads to a row: {whole}"
        )


def fill(database: Path, calls: int, tokens: int) -> None:
    """A session of 500 days ago."""
    then = time.time() - 500 * DAY
    recording = Recording(database, Session("proxy", then), "NORMAL")
    for first in range(0, calls, CHUNK):
        recording.transact(
            [
                observe(
                    then + number / 100,
                    token=make_user_token(
                        "pwd", uti=f"{number % tokens}", oid=f"{number % 500}", iat=1, nbf=1, exp=2
                    ),
                )
                for number in range(first, min(first + CHUNK, calls))
            ],
            [],
        )
    recording.sign("stopped", lost=0, late=0, programs_denied=0)
    recording.close()


def count(database: Path, table: str) -> int:
    return int(query(database, f"SELECT count(*) FROM {table}")[0][0])


if __name__ == "__main__":
    main()

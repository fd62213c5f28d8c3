"""`kill -9` of the proxy at random moments under load: does a report find every answered call?

    python scripts/bench/kill.py --rounds 50
    python scripts/bench/kill.py --rounds 100 --busy 3     three processes beside it that never rest
    python scripts/bench/kill.py --rounds 50 --locked      another process holds the database's lock all the time
    python scripts/bench/kill.py --rounds 20 --full        its disk is full (root on Linux: a small file system)

In each round `mfa-audit proxy` starts on one and the same database, 8 connections call the API's stand-in through
it as fast as they can, and after a random time of up to a second the proxy is killed. A call counts as answered
once the client has all of its answer; it is looked for by its MS-RequestId, as a report does: in the database and in
what the dead recorders left. On a full disk calls wait in memory, so there the loss is a figure and not a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tests")]

from mfa_audit.commands.demo.sample_tokens import make_user_token  # noqa: E402
from mfa_audit.commands.demo.standin import StandIn  # noqa: E402
from mfa_audit.store import files  # noqa: E402
from traffic import Load  # noqa: E402


def start(database: Path, standin: StandIn) -> tuple[subprocess.Popen[str], int, Path]:
    """A proxy that listens; its port and its authority's certificate."""
    options = [word for name, value in standin.instead_of().items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mfa_audit", "proxy", "--db", str(database)),
            *("--listen", "127.0.0.1:0", *options),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    assert process.stderr is not None
    while "Listening" not in said:
        line = process.stderr.readline()
        if not line:
            sys.exit(said)
        said += line
    authority = Path(re.search(r"Certificate authority: (.+)", said)[1])  # type: ignore[index]
    return process, int(re.search(r"Listening at \S+:(\d+)", said)[1]), authority  # type: ignore[index]


def stored_ids(database: Path) -> set[str]:
    return files.read(
        database, lambda found: {row[0] for row in found.execute("SELECT request_id FROM calls")}
    )


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the database's write lock."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30);"
        "c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate()


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte is left on the disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, wanted: bool) -> Iterator[None]:
    if wanted:
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)])
    try:
        yield
    finally:
        if wanted:
            subprocess.check_call(["umount", "-l", str(folder)])


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--locked", action="store_true")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    answered = lost = 0
    with tempfile.TemporaryDirectory() as home, StandIn() as standin, neighbours(arguments.busy):
        os.environ["MFA_AUDIT_HOME"] = home  # the authority of this script's own
        folder = Path(home) / "disk"
        folder.mkdir()
        database = folder / "audit.db"
        tokens = [make_user_token("pwd", "mfa", uti=str(number)) for number in range(20)]
        with small_disk(folder, arguments.full):
            for number in range(arguments.rounds):
                process, port, authority = start(database, standin)
                with contextlib.ExitStack() as trouble:
                    if arguments.locked:
                        trouble.enter_context(locked(database))
                    if arguments.full:
                        trouble.enter_context(full(folder))
                    load = Load(port, authority, lambda n: tokens[n % len(tokens)], connections=8)
                    while not load.answered:
                        time.sleep(0.01)
                    time.sleep(chance.random())
                    process.kill()
                    process.wait()
                    load.wait()
                missing = set(load.answered) - stored_ids(database)
                answered += len(load.answered)
                lost += len(missing)
                print(f"round {number + 1}: {len(load.answered)} answered, {len(missing)} lost", flush=True)
    print(f"{arguments.rounds} rounds, {answered} answered calls, {lost} lost (seed {arguments.seed})")
    sys.exit(1 if lost and not arguments.full else 0)


if __name__ == "__main__":
    main()

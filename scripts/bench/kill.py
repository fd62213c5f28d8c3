"""`kill -9` of the proxy at random moments under load: is every answered call in the database?

    python scripts/bench/kill.py --rounds 50

In each round `mfa-audit proxy` starts on one and the same database, 8 connections call the API's stand-in through
it as fast as they can, and after a random time of up to a second the proxy is killed. A call counts as answered
once the client has all of its answer; it is looked for in the database by its MS-RequestId.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tests")]

from mfa_audit.commands.demo.sample_tokens import make_user_token  # noqa: E402
from mfa_audit.commands.demo.standin import StandIn  # noqa: E402
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
    import sqlite3

    connection = sqlite3.connect(database)
    found = {row[0] for row in connection.execute("SELECT request_id FROM calls")}
    connection.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    answered = lost = 0
    with tempfile.TemporaryDirectory() as folder, StandIn() as standin:
        database = Path(folder) / "audit.db"
        os.environ["MFA_AUDIT_HOME"] = folder  # the authority of this script's own
        tokens = [make_user_token("pwd", "mfa", uti=str(number)) for number in range(20)]
        for number in range(arguments.rounds):
            process, port, authority = start(database, standin)
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
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()

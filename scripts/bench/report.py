"""How long a report takes over a large database, and how many bytes a call takes in it.

    python scripts/bench/report.py                  1 million calls
    python scripts/bench/report.py --calls 10000000 --tokens 50000

The workload: calls evenly over the last 35 days up to now, written in the order of their time by the recorder's
own code, 1,000 in a transaction. Each token is used for two hours, so it has a row in three of the hourly totals.
60 clients (40 of them with a program of their own), 50 users, 30 operations; a fifth of the clients without MFA.

Further loads, each once had a report that took 5 to 32 seconds; `--twice` doubles one, which shows that time grows with
the rows and not with their square:

    python scripts/bench/report.py --load users         2,000 users with tokens of both kinds, 40,000 tokens
    python scripts/bench/report.py --load blind-spots   5,000 different blind spots beside 20,000 tokens
    python scripts/bench/report.py --load microsoft     2,000 applications in 50,000 rows of Microsoft's list
    python scripts/bench/report.py --load users --twice

Times are of whole processes: the fastest and the median of 15 runs of `mfa-audit report` and of
`mfa-audit report --since 24h`, less those of `mfa-audit --version`, all run in turn. On a machine with other work
to do, the fastest is the truer one.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Program, Secret
from mfa_audit.judging.clients import Client, client_of
from mfa_audit.judging.observations import Observation
from mfa_audit.judging.tokens import Token, User, read
from mfa_audit.store.imports import Importer
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session

PERIOD = 35 * 24 * 3600.0
LIFETIME = 2 * 3600.0
CHUNK = 1_000
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=5_000)
    parser.add_argument("--load", choices=LOADS, help="One of the further loads, instead of calls.")
    parser.add_argument("--twice", action="store_true", help="Twice as much of that load.")
    parser.add_argument("--db", type=Path, help="Keep the database here, and use it again if it is there.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.db or Path(folder) / "audit.db"
        if not path.exists():
            if arguments.load:
                LOADS[arguments.load](path, 2 if arguments.twice else 1)
            else:
                fill(path, arguments.calls, arguments.tokens)
        size = path.stat().st_size
        totals, calls = rows_of(path)
        print(f"{calls:,} calls, {totals:,} rows of totals, {size:,} bytes: {size / calls:.0f} bytes a call")
        output = ("--db", str(path), "--output", str(Path(folder) / "out.txt"))
        version, report, day = measure(
            ("--version",), ("report", *output), ("report", *output, "--since", "24h")
        )
        print(f"                             fastest   median   of {ROUNDS}")
        print(f"mfa-audit --version          {min(version):.3f} s   {statistics.median(version):.3f} s")
        for name, taken in (("report", report), ("report --since 24h", day)):
            fastest = min(taken) - min(version)
            median = statistics.median(taken) - statistics.median(version)
            print(f"mfa-audit {name:<18} {fastest:.3f} s   {median:.3f} s   above that")


def fill(path: Path, calls: int, tokens: int) -> None:
    """Write `calls` calls that used `tokens` tokens into a new database at `path`."""
    chance = random.Random(1)
    end = time.time()
    start = end - PERIOD
    recording = Recording(path, Session("proxy", start), "NORMAL")
    callers = [make_caller(number) for number in range(60)]
    operations = [f"GET /v1/customers/*/{'x' * number}" for number in range(30)]
    every = PERIOD / tokens
    together = max(1, round(LIFETIME / every))
    known: dict[int, Token] = {}
    chunk: list[Observation] = []
    began = time.monotonic()
    for number in range(calls):
        at = start + PERIOD * number / calls
        latest = int((at - start) / every)
        chosen = max(0, latest - chance.randrange(together))
        client, program = callers[chosen % len(callers)]
        token = known.get(chosen)
        if token is None:
            known.pop(chosen - 2 * together, None)
            token = known[chosen] = make_token(chosen, start + chosen * every)
        chunk.append(
            Observation(
                at,
                client._replace(app_id=token.app_id),
                token,
                program,
                operations[number % len(operations)],
                *(200, True, False, False, False, None),
                *(str(uuid.UUID(int=chance.getrandbits(128))) if number % 4 == 0 else None for _ in "12"),
            )
        )
        if len(chunk) == CHUNK:
            recording.transact(chunk, [])
            chunk.clear()
            if number % 100_000 < CHUNK:
                recording.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    recording.transact(chunk, [])
    recording.sign("stopped", lost=0, late=0, programs_denied=0)
    recording.close()
    print(f"filled in {time.monotonic() - began:.0f} s")


def make_caller(number: int) -> tuple[Client, Program | None]:
    client = client_of(None, None, None, f"Partner-Tool-{number}/1.0", None)
    return client, Program(f"nightly-{number}.ps1") if number < 40 else None


def make_token(number: int, issued: float) -> Token:
    caller = number % 60
    amr = ("pwd",) if caller % 5 == 0 else ("pwd", "mfa")
    token = make_user_token(
        *amr,
        iat=int(issued),
        nbf=int(issued),
        exp=int(issued + LIFETIME),
        appid=str(uuid.UUID(int=caller)),
        oid=str(uuid.UUID(int=number % 50)),
        upn=f"user{number % 50}@contoso.example",
        uti=sha256(str(number).encode()).hexdigest()[:22],
    )
    return read([Secret(f"Bearer {token}".encode())])


def fill_users(path: Path, times: int) -> None:
    """2,000 users of one program, each with ten tokens with MFA and ten without, over 35 days."""
    program = Program("dashboard.exe", "svc")
    client = client_of(None, None, None, "Dashboard/1.0", None)
    start = time.time() - PERIOD
    with_mfa, without = make_token(1, start), make_token(0, start)
    recording = Recording(path, Session("proxy", start), "NORMAL")
    users, each = 2_000 * times, 20
    chunk: list[Observation] = []
    for number in range(users * each):
        person, turn = number % users, number // users
        at = start + PERIOD * number / (users * each)
        user = User("contoso", str(uuid.UUID(int=person)), f"user{person}@contoso.example")
        token = replace(
            with_mfa if turn % 2 else without,
            fingerprint=sha256(str(number).encode()).hexdigest(),
            user=user,
            issued=at,
            expires=at + LIFETIME,
        )
        chunk.append(make_call(at, client._replace(app_id=token.app_id), token, program))
    write(recording, chunk)


def fill_blind_spots(path: Path, times: int) -> None:
    """5,000 different blind spots, and 20,000 tokens of 60 programs."""
    start = time.time() - PERIOD
    plain = make_token(1, start)
    recording = Recording(path, Session("proxy", start), "NORMAL")
    chunk = []
    for number in range(20_000 * times):
        at = start + PERIOD * number / (20_000 * times)
        token = replace(
            plain, fingerprint=sha256(str(number).encode()).hexdigest(), issued=at, expires=at + LIFETIME
        )
        client = client_of(plain.app_id, None, None, f"tool-{number % 60}/x", None)
        chunk.append(make_call(at, client, token, Program(f"tool-{number % 60}.exe")))
    for number in range(5_000 * times):
        at = start + PERIOD * number / (5_000 * times)
        recording.rows.add_not_audited(
            at,
            "api.partnercenter.microsoft.com",
            f"agent-{number}",
            Program(f"tool-{number % 60}.exe"),
            "no-request",
        )
    write(recording, chunk)


def fill_microsoft(path: Path, times: int) -> None:
    """50,000 rows of Microsoft's list of requests, of 2,000 applications, beside some calls of our own."""
    fill(path, 10_000, 100)
    now = time.time()
    with Importer(path) as importer:
        importer.add_requests(
            (
                now - number % 600_000,
                str(uuid.UUID(int=number)),
                None,
                "GET /v1/customers",
                None,
                str(uuid.UUID(int=number % (2_000 * times))),
                number % 5 > 0,
            )
            for number in range(50_000 * times)
        )


LOADS = {"users": fill_users, "blind-spots": fill_blind_spots, "microsoft": fill_microsoft}


def make_call(at: float, client: Client, token: Token, program: Program) -> Observation:
    return Observation(
        at, client, token, program, "GET /v1/customers", *(200, True, False, False, False, None), None, None
    )


def write(recording: Recording, calls: list[Observation]) -> None:
    for start in range(0, len(calls), CHUNK):
        recording.transact(calls[start : start + CHUNK], [])
    recording.sign("stopped", lost=0, late=0, programs_denied=0)
    recording.close()


def rows_of(path: Path) -> tuple[int, int]:
    import sqlite3

    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    return tuple(connection.execute("SELECT count(*), sum(calls) FROM totals").fetchone())  # type: ignore[return-value]


def measure(*commands: tuple[str, ...]) -> list[list[float]]:
    """The seconds that each of the commands takes, run in turn."""
    program = shutil.which("mfa-audit", path=str(Path(sys.executable).parent))
    start = [program] if program else [sys.executable, "-m", "mfa_audit"]
    taken: list[list[float]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for arguments, times in zip(commands, taken, strict=True):
            began = time.perf_counter()
            done = subprocess.run([*start, *arguments], capture_output=True, check=False)
            times.append(time.perf_counter() - began)
            if done.returncode not in (0, 1, 3):
                sys.exit(done.stderr.decode())
    return taken


if __name__ == "__main__":
    main()

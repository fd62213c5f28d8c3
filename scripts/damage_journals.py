"""Damages a journal in a million ways: nothing may raise, hang, or lose an intact record before the damage.

    python scripts/damage_journals.py --count 1000000

Each time a segment of a few calls is cut, flipped, overwritten, shortened, emptied or repeated at a random place and
read back; every thousandth one also lies on the disk and is folded into a database.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "tests")]

from journals import damage, read_all, write_segment  # noqa: E402
from mfa_audit.exchanges.exchange import Program  # noqa: E402
from mfa_audit.store import files  # noqa: E402
from mfa_audit.store.folding import fold_left  # noqa: E402
from mfa_audit.store.records import Decoder, Ended, Named, Recorded, Unread, read_records  # noqa: E402
from mfa_audit.store.sessions import Session  # noqa: E402
from observed import observe  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    session = Session("proxy", 1_700_000_000.0)
    entries = [Recorded(number, observe(user_agent=f"tool/{number % 3}")) for number in range(1, 9)]
    others = [
        Named(3, Program("x")),
        Unread(1.0, "h", None, None, "no-request"),
        Ended(1.0, "stopped", 0, 0, 0),
    ]
    data = write_segment(session, 1, 0, [*entries, *others])
    decoder = Decoder()
    whole = [
        (event, end)
        for kind, content, end in read_records(data)
        if (event := decoder.decode(kind, content)) is not None
    ]
    slowest = lost = told = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.count):
            broken, intact = damage(data, chance)
            began = time.perf_counter()
            events, damaged = read_all(broken)
            slowest = max(slowest, time.perf_counter() - began)
            told += damaged
            before = [event for event, end in whole if end <= intact]
            lost += before != events[: len(before)]
            if number % 1_000 == 0:
                fold(
                    Path(folder) / f"{number}.db",
                    session,
                    broken,
                    sum(isinstance(e, Recorded) for e in before),
                )
    print(
        f"{arguments.count:,} damaged segments: {lost:.0f} lost an intact record, {told:,.0f} were told, "
        f"the slowest took {slowest * 1000:.1f} ms (seed {arguments.seed})"
    )
    sys.exit(1 if lost else 0)


def fold(database: Path, session: Session, segment: bytes, least: int) -> None:
    """Put the segment beside a new database and fold it: at least so many calls must be in there."""
    folder = database.with_name(f"{database.name}.journal")
    folder.mkdir()
    (folder / f"{session.uuid}-000001.journal").write_bytes(segment)
    connection = files.open_for_writing(database)
    fold_left(connection, database)
    (calls,) = connection.execute("SELECT count(*) FROM calls").fetchone()
    connection.close()
    assert calls >= least, (calls, least)
    for path in database.parent.glob(f"{database.name}*"):
        if path.is_file():
            path.unlink()


if __name__ == "__main__":
    main()

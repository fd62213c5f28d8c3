"""A machine's clock that is set while a recording runs: a real process, whose clock libfaketime moves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from observed import query
from processes import Audit
from traffic import Connection

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
HOUR = 3600

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not on this machine")


@pytest.mark.parametrize(
    "jumps",
    [(2 * HOUR, 0), (-2 * HOUR,), (-26 * HOUR, 26 * HOUR)],
    ids=["ahead and back", "back", "far"],
)
def test_a_clock_that_jumps_loses_nothing(
    audit: Audit, upstream: list[str], database: Path, tmp_path: Path, with_mfa: str, jumps: tuple[int, ...]
) -> None:
    """Each call is stored and counted once, nobody waits, no sleep is invented, and it stops as always."""
    offset = tmp_path / "offset"
    offset.write_text("+0s")
    running = audit.start(
        *("proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream),
        LD_PRELOAD=str(LIBRARY),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    authority = Path(running.wait_for(r"Certificate authority: (.+)")[1])
    running.wait_for("Listening at")
    port = running.wait_for_port()
    slowest = 0.0
    for seconds in (0, *jumps):
        offset.write_text(f"{seconds:+d}s")
        for _ in range(5):
            connection = Connection(port, authority)
            began = time.monotonic()
            assert 200 == connection.call(with_mfa)
            slowest = max(slowest, time.monotonic() - began)
            connection.close()
    done = running.stop()
    assert slowest < 5
    calls = 5 * (1 + len(jumps))
    report = json.loads(audit.run("report", "--db", database, "--since", "all", "--format", "json").stdout)
    assert calls == report["totals"]["requests"]
    assert f"{calls} calls" in done.stderr
    times = {round((at / 1000 - time.time()) / HOUR) for (at,) in query(database, "SELECT at FROM calls")}
    assert {round(seconds / HOUR) for seconds in (0, *jumps)} == times
    assert 0 == report["recorder"]["lost"]
    assert 0 <= report["recorder"]["recorded_seconds"] <= 120
    assert [] == [gap for gap in report["recorder"]["gaps"] if gap["reason"] != "stopped"]
    assert [("stopped",)] == query(database, "SELECT ended_how FROM sessions")
    assert 0 == done.returncode

"""`mfa-audit backup`, and how durable a recording is asked to be, as processes."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from clients import API
from processes import Audit


def calls(path: Path) -> int:
    """How many calls a database holds."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM calls").fetchone()
    return int(count)


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_a_backup_is_whole_while_a_proxy_writes(
    audit: Audit,
    upstream: list[str],
    database: Path,
    tmp_path: Path,
    curl: str,
    without_mfa: str,
    synchronous: str,
) -> None:
    """The copy is one private file with every stored call in it, and its SHA-256 is the one that is printed."""
    running = audit.start(
        *("proxy", "--db", database, "--listen", "127.0.0.1:0", "--synchronous", synchronous, *upstream)
    )
    authority = running.wait_for(r"Certificate authority: (.+)")[1]
    port = running.wait_for_port()
    options = ("-sS", "-o", os.devnull, "--cacert", authority, "-x", f"http://127.0.0.1:{port}")
    os.spawnlp(
        os.P_WAIT, curl, curl, *options, "-H", f"Authorization: Bearer {without_mfa}", f"{API}/v1/customers"
    )
    copy = tmp_path / "copy.db"
    done = audit.run("backup", copy, "--db", database)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(copy.read_bytes()).hexdigest() in re.findall(r"[0-9a-f]{64}", done.stdout)
    assert 1 == calls(copy)
    if os.name != "nt":
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert running.stop().returncode == 0
    assert audit.run("report", "--db", copy).returncode == 1

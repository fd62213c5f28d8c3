"""`mfa-audit show`: one tool in full."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mfa_audit.exchanges.exchange import Program
from observed import fill, observe
from processes import Audit

REQUEST = "1f0c8a52-0000-4000-8000-00000000abcd"


@pytest.fixture
def recorded(database: Path) -> Path:
    """A script that was refused, another that is fine, and a hostile one."""
    now = time.time()
    script = Program("nightly-sync.ps1", "svc-sync", "a scheduled task")
    calls = [
        observe(now - day * 86_400, amr=("pwd",), program=script, request_id=REQUEST if day == 1 else None)
        for day in range(5, 0, -1)
    ]
    fine = [observe(now - 60, program=Program("good.ps1", "svc", None))]
    odd = [observe(now - 30, amr=("pwd",), program=Program("evil\x1b[31m.exe", None, None))]
    fill(database, [*calls, *fine, *odd], started=now - 6 * 86_400)
    return database


def test_a_tool_is_shown_in_full(audit: Audit, recorded: Path) -> None:
    """Machine, account, starter, credentials, reasons, clock, calls, operations and what to type next are there."""
    done = audit.run("show", "nightly-sync.ps1", "--db", recorded)
    assert (0, "") == (done.returncode, done.stderr)
    told = " ".join(done.stdout.split())
    for wanted in (
        "as svc-sync, started by a scheduled task",
        "Without MFA since",
        "Usually every day",
        "90 days later",
        "GET /v1/customers",
        "Last calls without MFA",
        f"request id {REQUEST}",
        "--fixed",
        "SigninLogs",
    ):
        assert wanted in told, wanted


def test_links_and_lines_to_copy_are_whole(audit: Audit, recorded: Path) -> None:
    """No link and no command is broken across lines, and no command holds a name from the network."""
    lines = audit.run("show", "nightly-sync.ps1", "--db", recorded).stdout.splitlines()
    assert any(line.strip().startswith("https://learn.microsoft.com/") for line in lines)
    commands = [line for line in lines if line.strip().startswith("mfa-audit ")]
    assert commands
    assert not [line for line in commands if "nightly" in line]


def test_a_wrong_name_gets_suggestions(audit: Audit, recorded: Path) -> None:
    """A name that nothing has ends in one sentence with the likeliest; a part that several have, with all of them."""
    wrong = audit.run("show", "nightly-synk.ps1", "--db", recorded)
    assert (2, "") == (wrong.returncode, wrong.stdout)
    assert "Did you mean nightly-sync.ps1" in wrong.stderr
    several = audit.run("show", ".ps1", "--db", recorded)
    assert 2 == several.returncode
    assert "good.ps1" in several.stderr
    assert "nightly-sync.ps1" in several.stderr


def test_hostile_names_do_not_act(audit: Audit, recorded: Path) -> None:
    """What a program calls itself is spelled out."""
    done = audit.run("show", "evil", "--db", recorded)
    assert (0, False) == (done.returncode, "\x1b" in done.stdout)
    assert "evil\\x1b" in done.stdout


def test_several_databases_show_each_call_once(audit: Audit, recorded: Path, tmp_path: Path) -> None:
    """A copy of a database adds no call to the list."""
    copy = tmp_path / "copy.db"
    copy.write_bytes(recorded.read_bytes())
    one = audit.run("show", "nightly-sync.ps1", "--db", recorded).stdout
    two = audit.run("show", "nightly-sync.ps1", "--db", recorded, "--db", copy).stdout
    assert one.count("GET /v1/customers: ") == two.count("GET /v1/customers: ") == 5

"""Programs and names as rows: each once, derived anew by better rules, and bounded however they vary."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from mfa_audit.exchanges.exchange import Program
from mfa_audit.store import rows
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session
from observed import fill, observe, query


def test_a_name_of_one_run_has_that_of_all(database: Path) -> None:
    """A program is stored as it came, beside the name that its runs share."""
    names = ["sync-20261124.py", "sync-20261125.py", "nightly.ps1"]
    fill(database, [observe(program=Program(name, "svc", "cron")) for name in names])
    assert [("sync-<date>.py", names[0]), ("sync-<date>.py", names[1]), ("nightly.ps1", names[2])] == query(
        database, "SELECT stable_name, name FROM programs WHERE id > 1"
    )


def test_runs_beyond_the_first_share_a_row(database: Path) -> None:
    """An agent that names each script anew fills no table; another account or starter has runs of its own."""
    count = rows.RUNS_KEPT + 15
    for starter in ("cron", None):
        fill(
            database,
            [observe(program=Program(f"{uuid.uuid4()}.ps1", "svc", starter)) for _ in range(count)],
        )
    assert [(None, "<guid>.ps1", 15), ("cron", "<guid>.ps1", 15)] == query(
        database,
        "SELECT started_by, name, count(*) FROM calls JOIN programs ON programs.id = program_id"
        " WHERE name = stable_name GROUP BY 1, 2",
    )
    assert [(1 + 2 * (rows.RUNS_KEPT + 1),)] == query(database, "SELECT count(*) FROM programs")


def test_names_are_derived_anew(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What older rules derived is brought up to date when a recorder starts, once, also where no token is stale."""
    fill(database, [observe(program=Program("sync-20261125.py"), user_agent="Contoso Sync 3.1")])
    query(database, "UPDATE programs SET stable_name = 'old', naming = 0")
    query(database, "UPDATE clients SET naming = 0")
    query(database, "UPDATE tools SET name = 'old'")
    derived = "SELECT stable_name, tools.name FROM calls JOIN programs ON programs.id = program_id"
    derived += " JOIN clients ON clients.id = client_id JOIN tools ON tools.id = tool_id"
    Recording(database, Session("proxy", 0.0), "NORMAL").close()
    assert [("sync-<date>.py", "Contoso Sync")] == query(database, derived)
    query(database, "UPDATE programs SET stable_name = 'own'")
    Recording(database, Session("proxy", 0.0), "NORMAL").close()
    assert [("own", "Contoso Sync")] == query(database, derived)
    monkeypatch.setattr(rows, "NAMING_VERSION", rows.NAMING_VERSION + 1)
    Recording(database, Session("proxy", 0.0), "NORMAL").close()
    assert [("sync-<date>.py", "Contoso Sync")] == query(database, derived)

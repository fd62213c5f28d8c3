"""A recorded database in Datasette, as an analyst opens it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from processes import COMMAND


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's database: three tools, eight calls, one of them blocked."""
    database = tmp_path_factory.mktemp("datasette") / "audit.db"
    subprocess.run([*COMMAND, "demo", "--quiet", "--keep", str(database)], check=True, capture_output=True)
    return database


@pytest.fixture
def rows(recording: Path, tmp_path: Path) -> Any:
    """Rows of a table or view by Datasette's own API: `rows("calls", _labels="on")`."""
    database = shutil.copyfile(recording, tmp_path / "audit.db")

    def get(name: str, **parameters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{key}={value}" for key, value in ({"_shape": "objects"} | parameters).items())
        path = f"/audit/{name}.json?{query}"
        command = [sys.executable, "-m", "datasette", str(database), "--get", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
        return found

    return get


def labels(rows: list[dict[str, Any]], column: str) -> set[str]:
    """What Datasette shows in place of the ids of a column."""
    return {row[column]["label"] for row in rows}


def test_calls_show_names_for_ids(rows: Any) -> None:
    """Client, program, operation, token and session of a call are words."""
    calls = rows("calls", _labels="on")
    assert 8 == len(calls)
    assert "nightly-sync.py" in labels(calls, "program_id")
    assert "GET /v1/customers" in labels(calls, "operation_id")
    assert {True} == {label.startswith("run on ") for label in labels(calls, "session_id")}
    for column in ("client_id", "token_id"):
        assert [] == [label for label in labels(calls, column) if label.isdigit()]


def test_clients_and_tokens_show_names_for_ids(rows: Any) -> None:
    """The tool of a client and the user of a token are words too."""
    assert "Python urllib" in labels(rows("clients", _labels="on"), "tool_id")
    users = [row["user_id"] for row in rows("tokens", _labels="on")]
    assert {"dana@contoso.example"} == {user["label"] for user in users if isinstance(user, dict)}


def test_views_answer_in_words(rows: Any) -> None:
    """Which tools, which calls, which were blocked: without a single id or number for a time."""
    tools = {row["program"]: row for row in rows("tools_in_words")}
    nightly = tools["nightly-sync.py"]
    assert ("non-compliant", 4, 1) == (nightly["token_verdict"], nightly["requests"], nightly["blocked"])
    assert nightly["last_seen"].endswith("Z")
    assert {"compliant", "exempt", "non-compliant"} == {row["token_verdict"] for row in tools.values()}
    assert 8 == len(rows("calls_in_words"))
    blocked = rows("blocked_calls")
    assert [("nightly-sync.py", 401)] == [(row["program"], row["status"]) for row in blocked]

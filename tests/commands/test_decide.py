"""`mfa-audit decide`: entries that are printed and written, and reports that follow them."""

from __future__ import annotations

import getpass
import json
import os
import stat
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from mfa_audit.formats import FORMATS
from observed import fill, observe
from processes import Audit

HOSTILE = "Dana \x1b[31m<b>=1+1`|\u202e"


@pytest.fixture
def failing(database: Path) -> Path:
    """A database with one tool that fails."""
    fill(database, [observe(amr=("pwd",), user_agent="sync/1.0")])
    return database


def report(audit: Audit, database: Path, *options: str) -> Any:
    return json.loads(audit.run("report", "--db", database, "--format", "json", *options).stdout)


def test_an_entry_is_printed_and_written_only_when_asked(audit: Audit, failing: Path) -> None:
    """Without --write nothing changes; with it the entry stands in a private file, with who decided and when."""
    printed = audit.run("decide", "sync", "--db", failing, "--owner", "Dana")
    path = failing.with_name("decisions.toml")
    assert (0, False) == (printed.returncode, path.exists())
    written = audit.run("decide", "sync", "--db", failing, "--owner", "Dana", "--write")
    assert printed.stdout == written.stdout == path.read_text("utf-8")
    [entry] = tomllib.loads(path.read_text("utf-8"))["tool"]
    assert ("Dana", getpass.getuser(), datetime.now().astimezone().date()) == (
        entry["owner"],
        entry["decided_by"],
        entry["decided_at"],
    )
    assert os.name != "posix" or 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_what_was_written_before_stays(audit: Audit, failing: Path) -> None:
    """A further entry is added after what is there, comments included, and both are followed."""
    path = failing.with_name("decisions.toml")
    path.write_text("# ours\n[[tool]]\nmatch = { tool = 'sync' }\nticket = 'OPS-7'", "utf-8")
    path.chmod(0o600)
    assert 0 == audit.run("decide", "sync", "--db", failing, "--owner", "Dana", "--write").returncode
    assert path.read_text("utf-8").startswith(
        "# ours\n[[tool]]\nmatch = { tool = 'sync' }\nticket = 'OPS-7'\n\n[[tool"
    )
    [tool] = report(audit, failing)["tools"]
    assert ("OPS-7", "Dana") == (tool["decided"]["ticket"], tool["decided"]["owner"])


def test_a_tool_is_named_by_its_key_too(audit: Audit, failing: Path) -> None:
    """The key that reports show is enough, and nothing of the network's text has to be copied."""
    [tool] = report(audit, failing)["tools"]
    done = audit.run("decide", tool["key"], "--db", failing, "--fixed", "today")
    assert 0 == done.returncode
    assert 'tool = "sync"' in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Say what is decided"),
        (("--accept-until", "2026-12-31"), "--accept-until and --reason go together"),
        (("--fixed", "soon"), "soon is no date"),
        (("--expect", "often"), "'often' is not one of"),
    ],
)
def test_a_wrong_decision_is_wrong_usage(
    audit: Audit, failing: Path, options: tuple[str, ...], said: str
) -> None:
    """One sentence says what is missing, and nothing is printed or written."""
    done = audit.run("decide", "sync", "--db", failing, *options, "--write")
    assert (2, "", False) == (done.returncode, done.stdout, failing.with_name("decisions.toml").exists())
    assert said in " ".join(done.stderr.split())


def test_a_broken_file_is_left_alone(audit: Audit, failing: Path) -> None:
    """A file with a mistake is not followed and not added to: report and decide end in one sentence."""
    path = failing.with_name("decisions.toml")
    path.write_text("[[tool]]\nmatch = { tool = 'sync' }\nowned = 'x'\n", "utf-8")
    path.chmod(0o600)
    for command in (("report",), ("decide", "sync", "--owner", "Dana", "--write")):
        done = audit.run(*command, "--db", failing)
        assert 2 == done.returncode
        assert "entry 1: 'owned' is not a key" in done.stderr
    assert path.read_text("utf-8").endswith("owned = 'x'\n")


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_a_file_that_others_can_write_is_not_followed(audit: Audit, failing: Path) -> None:
    """The default file is read only where nobody else may write it; a file that is named is."""
    path = failing.with_name("decisions.toml")
    path.write_text("[[tool]]\nmatch = { tool = 'sync' }\nowner = 'Mallory'\n", "utf-8")
    path.chmod(0o666)
    found = report(audit, failing)
    assert (None, None) == (found["tools"][0]["decided"], found["decisions"]["sha256"])
    assert "others can write it" in found["decisions"]["sentences"][0]
    assert "others can write it" in audit.run("report", "--db", failing).stdout
    refused = audit.run("decide", "sync", "--db", failing, "--owner", "Dana", "--write")
    assert (2, True) == (refused.returncode, "can be written by others" in refused.stderr)
    named = report(audit, failing, "--decisions", str(path))
    assert "Mallory" == named["tools"][0]["decided"]["owner"]


def test_accepted_tools_decide_only_the_exit_code(audit: Audit, failing: Path) -> None:
    """The answer stays no; with --fail-on unaccepted the report of accepted tools exits 0, and of others 1."""
    assert 1 == audit.run("report", "--db", failing, "--fail-on", "unaccepted").returncode
    until = date.today().replace(year=date.today().year + 1, day=1)
    audit.run(
        "decide", "sync", "--db", failing, "--accept-until", str(until), "--reason", "vendor", "--write"
    )
    plain = audit.run("report", "--db", failing)
    assert (1, True) == (plain.returncode, "Accepted until" in plain.stdout)
    passed = audit.run("report", "--db", failing, "--fail-on", "unaccepted", "--format", "json")
    assert (0, "no") == (passed.returncode, json.loads(passed.stdout)["answer"])


def test_every_format_says_which_decisions_it_followed(audit: Audit, failing: Path) -> None:
    """Each names the file's SHA-256, and shows owner and ticket without letting their text act."""
    audit.run("decide", "sync", "--db", failing, "--owner", HOSTILE, "--ticket", "OPS-7", "--write")
    sha256 = report(audit, failing)["decisions"]["sha256"]
    for name in FORMATS:
        text = audit.run("report", "--db", failing, "--format", name).stdout
        assert sha256 in "".join(text.split()), name
        assert "OPS-7" in text, name
        assert not {"\x1b", "\u202e"} & set(text), name
        assert "<b>" not in text or name not in ("html", "junit"), name


def test_a_decided_name_is_shown_and_the_row_is_still_found(audit: Audit, failing: Path) -> None:
    """The name replaces the tool's in reports; entries, the key and --tool still know the row."""
    [before] = report(audit, failing)["tools"]
    audit.run("decide", "sync", "--db", failing, "--name", "Nightly sync", "--write")
    [after] = report(audit, failing, "--tool", "nightly")["tools"]
    assert ("Nightly sync", before["key"]) == (after["name"], after["key"])
    assert 0 == audit.run("decide", "sync", "--db", failing, "--owner", "Dana").returncode

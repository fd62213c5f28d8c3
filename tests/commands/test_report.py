"""`mfa-audit report`: periods, exit codes, files."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import platform
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Exchange, Secret
from mfa_audit.formats import FORMATS
from mfa_audit.judging.observations import Judge
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.sessions import Session
from processes import COMMAND, Audit


def record(path: Path, *amr: str, at: float | None = None, agent: str = "sync/1.0") -> None:
    """A recording of one call at `at` (seconds since 1970; default: now) with a user token of these amr values."""

    async def run() -> None:
        recorder = Recorder(path, Session("run", time.time()))
        secret = Secret(b"Bearer " + make_user_token(*amr, iat=int(at or time.time()) - 60).encode())
        exchange = Exchange(
            at or time.time(),
            "GET",
            "api.partnercenter.microsoft.com",
            "/v1/customers",
            (secret,),
            user_agent=agent,
            status=200,
        )
        recorder.record(Judge().observe(exchange))
        recorder.close()

    asyncio.run(run())


def test_a_report_leaves_its_database_as_it_is(audit: Audit, database: Path) -> None:
    """Reading makes no file beside the database and changes no byte of it; twice gives the same answer."""
    record(database, "pwd")
    before = database.read_bytes()
    names = sorted(path.name for path in database.parent.iterdir())
    codes = [audit.run("report", "--db", database).returncode for _ in range(2)]
    assert [1, 1] == codes
    assert before == database.read_bytes()
    assert names == sorted(path.name for path in database.parent.iterdir())


def test_the_period_chooses_the_calls(audit: Audit, database: Path) -> None:
    """A call 40 days ago is out of the default period, in with --since all, and out again with --until."""
    record(database, "pwd", "mfa")
    record(database, "pwd", at=time.time() - 40 * 86400, agent="old/1.0")

    def tools(*options: str) -> list[str]:
        report = json.loads(audit.run("report", "--db", database, "--format", "json", *options).stdout)
        return sorted(tool["user_agents"][0] for tool in report["tools"])

    assert ["sync/1.0"] == tools()
    assert ["old/1.0", "sync/1.0"] == tools("--since", "all")
    assert ["old/1.0"] == tools("--since", "all", "--until", "24h")


def test_a_failing_tool_that_went_quiet_is_listed(audit: Audit, database: Path) -> None:
    """A tool that failed before the period and was not seen since is named; the answer is no yes until it retires."""
    record(database, "pwd", "mfa")
    record(database, "pwd", at=time.time() - 40 * 86400, agent="monthly/1.0")
    done = audit.run("report", "--db", database, "--format", "json")
    report = json.loads(done.stdout)
    assert ("unclear", 3) == (report["answer"], done.returncode)
    assert ["monthly"] == [tool["name"] for tool in report["quiet"]]
    assert any("monthly" in sentence for sentence in report["answer_because"])
    assert 0 == audit.run("report", "--db", database, "--retired", "Monthly").returncode


def test_a_checkout_reports_without_being_installed(audit: Audit, database: Path, tmp_path: Path) -> None:
    """scripts/report.py says what the command says, of the database it is given and no other."""
    record(database, "pwd")
    other = tmp_path / "other.db"
    record(other, "pwd", "mfa", agent="other/1.0")
    script = Path(__file__).parents[2] / "scripts" / "report.py"
    done = subprocess.run(
        [sys.executable, script, database, "--format", "json"],
        env=os.environ | {"MFA_AUDIT_DB": str(other)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("", 1) == (done.stderr, done.returncode)
    assert [["sync/1.0"]] == [tool["user_agents"] for tool in json.loads(done.stdout)["tools"]]


def test_a_checkout_says_which_package_is_missing(tmp_path: Path) -> None:
    """Without the dependencies there is one sentence, and no traceback."""
    script = Path(__file__).parents[2] / "scripts" / "report.py"
    done = subprocess.run(
        [sys.executable, "-S", "-E", script, "audit.db"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The Python package click is missing: run `pip install .` in the checkout first.\n" == done.stderr
    assert 2 == done.returncode


def test_several_databases_are_one_report(audit: Audit, tmp_path: Path) -> None:
    """Two databases count together, and a copy of one of them counts once."""
    first, second, copy = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "c.db"
    record(first, "pwd", agent="one/1.0")
    record(second, "pwd", "mfa", agent="two/1.0")
    copy.write_bytes(first.read_bytes())
    options = ("--db", first, "--db", second, "--db", copy, "--format", "json")
    report = json.loads(audit.run("report", *options).stdout)
    assert {"one": 1, "two": 1} == {tool["name"]: tool["requests"] for tool in report["tools"]}


@pytest.mark.parametrize(
    "options", [["--since", "yesterday"], ["--until", "30x"], ["--since", "1h", "--until", "2h"]]
)
def test_a_wrong_time_is_one_sentence(audit: Audit, database: Path, options: list[str]) -> None:
    """A time that cannot be read is said in one line, exit 2."""
    done = audit.run("report", "--db", database, *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_missing_database_is_never_made(audit: Audit, database: Path) -> None:
    """A database that is not there is a clear error, exit 2, and stays not there."""
    done = audit.run("report", "--db", database)
    assert done.returncode == 2
    assert f"there is no database {database}" in done.stderr
    assert not database.exists()


def test_output_is_whole_and_private(audit: Audit, database: Path, tmp_path: Path) -> None:
    """--output replaces a file at once, readable by its owner only, and says where; a missing folder is said."""
    record(database, "pwd", "mfa")
    page = tmp_path / "report.html"
    page.write_text("old")
    done = audit.run("report", "--db", database, "--format", "html", "--output", page)
    assert (0, "") == (done.returncode, done.stdout)
    assert str(page) in done.stderr
    assert page.read_text(encoding="utf-8").startswith("<!")
    if os.name != "nt":
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
    missing = tmp_path / "missing" / "report.html"
    done = audit.run("report", "--db", database, "--format", "html", "--output", missing)
    assert done.returncode == 2
    assert "cannot write" in done.stderr


def test_fail_on_no_passes_what_is_unclear(audit: Audit, database: Path) -> None:
    """--fail-on no turns 3 into 0, and leaves 1."""
    record(database, "pwd", at=time.time() - 86400)
    assert audit.run("report", "--db", database, "--fail-on", "no", "--since", "1h").returncode == 0
    assert audit.run("report", "--db", database, "--since", "1h").returncode == 3
    assert audit.run("report", "--db", database, "--fail-on", "no").returncode == 1


def test_the_partners_own_names_are_shown(audit: Audit, database: Path, tmp_path: Path) -> None:
    """--names gives a tool the name that its owner uses."""
    record(database, "pwd", agent="sync/1.0")
    names = tmp_path / "names.csv"
    names.write_text("sync,Nightly customer sync\n", encoding="utf-8")
    report = json.loads(audit.run("report", "--db", database, "--format", "json", "--names", names).stdout)
    assert ["Nightly customer sync"] == [tool["name"] for tool in report["tools"]]


def test_report_and_help_load_no_proxy() -> None:
    """Neither --help nor a report loads mitmproxy, which takes most of a second."""
    import subprocess

    code = (
        "import sys, mfa_audit.commands, mfa_audit.commands.report, mfa_audit.commands.check\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mitmproxy', 'psutil')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_report_helps(audit: Audit, database: Path) -> None:
    """Nothing seen: which database was looked at, as whom and where, and what to try; with none at all too."""
    here = f"{getpass.getuser()} on {platform.node()}"
    missing = audit.run("report", "--db", database)
    assert (2, True) == (missing.returncode, f"{database}, looked at as {here}" in missing.stderr)
    audit.run("run", "--db", database, "--", sys.executable, "-c", "")
    for since in ("35d", "all"):
        told = " ".join(audit.run("report", "--db", database, "--since", since).stdout.split())
        assert told.startswith("CANNOT TELL YET - no call to Partner Center with a token was seen.")
        # A path longer than a line is broken anywhere.
        assert f"Looked at {database}, as {here}".replace(" ", "") in told.replace(" ", "")
        assert "mfa-audit run -- COMMAND" in told
        assert ("mfa-audit report --since all" in told) is (since != "all")


def test_data_goes_out_as_it_is(audit: Audit, database: Path) -> None:
    """CSV on stdout keeps its byte order mark and its newlines, whatever encoding stdout has."""
    audit.run("run", "--db", database, "--", sys.executable, "-c", "")
    done = subprocess.run(
        [*COMMAND, "report", "--db", str(database), "--format", "csv"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )
    assert done.stdout.startswith(b"\xef\xbb\xbf")
    assert done.stdout.count(b"\n") == done.stdout.count(b"\r\n") > 0


@pytest.mark.skipif(os.name == "nt", reason="BROWSER names a program only on POSIX")
def test_open_shows_the_report_in_the_browser(audit: Audit, database: Path, tmp_path: Path) -> None:
    """--open hands the HTML report, private to its owner, to the user's browser; its folder goes afterwards."""
    record(database, "pwd", "mfa")
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\ncp "${{1#file://}}" {tmp_path}/seen.html\n'
    )
    browser.chmod(0o700)
    code = (
        "import sys; from mfa_audit.commands import main, output; output.OPEN_SECONDS = 0.2;"
        f"sys.argv = ['mfa-audit', 'report', '--db', {str(database)!r}, '--open']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "BROWSER": str(browser), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    page = Path((tmp_path / "opened").read_text().removeprefix("file://"))
    assert str(page) in done.stderr
    assert "<h1" in (tmp_path / "seen.html").read_text(encoding="utf-8")
    assert 0o600 == stat.S_IMODE((tmp_path / "seen.html").stat().st_mode)
    deadline = time.monotonic() + 60
    while page.parent.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not page.parent.exists()


@pytest.mark.parametrize(
    ("file_name", "start"),
    [
        ("r.html", "<!doctype html>"),
        ("R.JSON", "{"),
        ("r.csv", '"tool",'),
        ("r.md", "# "),
        ("r.xml", "<?xml"),
        ("r", "CANNOT TELL"),
    ],
)
def test_the_name_of_the_file_chooses_the_format(
    audit: Audit, database: Path, tmp_path: Path, file_name: str, start: str
) -> None:
    """--output alone takes the format from the file's ending; a name without a known one gets the table."""
    record(database, "pwd", "mfa")
    file = tmp_path / file_name
    done = audit.run("report", "--db", database, "--until", "2020-01-01", "--since", "all", "--output", file)
    assert 3 == done.returncode, done.stderr
    assert file.read_text("utf-8").lstrip("\ufeff").lower().startswith(start.lower())


def test_a_format_that_the_file_name_contradicts_is_refused(
    audit: Audit, database: Path, tmp_path: Path
) -> None:
    """--format json into r.html is a mistake that is told; nothing is written. Other endings take any format."""
    record(database, "pwd", "mfa")
    wrong = tmp_path / "r.html"
    done = audit.run("report", "--db", database, "--format", "json", "--output", wrong)
    assert (2, False) == (done.returncode, wrong.exists())
    assert "--format json and a file named *.html disagree" in done.stderr
    right = tmp_path / "r.txt"
    assert 0 == audit.run("report", "--db", database, "--format", "json", "--output", right).returncode
    assert "yes" == json.loads(right.read_text("utf-8"))["answer"]


@pytest.mark.parametrize("name", FORMATS)
def test_people_are_pseudonyms_where_a_report_travels(audit: Audit, database: Path, name: str) -> None:
    """A format that travels names nobody unless --users says so; any other names the user."""
    record(database, "pwd")
    options = ("--db", database, "--format", name)
    assert ("dana@contoso.example" in audit.run("report", *options).stdout) is not FORMATS[name].travels
    assert "dana@contoso.example" in audit.run("report", *options, "--users", "name").stdout
    assert "dana" not in audit.run("report", *options, "--users", "none").stdout


def test_the_docs_list_the_formats() -> None:
    """docs/reports.md has a row for each format with the endings that choose it."""
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")
    for name, row in FORMATS.items():
        endings = ", ".join(f"`{ending}`" for ending in row.endings) or "anything else"
        assert f"| `{name}` | {endings} |" in text


def test_what_changed_since_a_week(audit: Audit, database: Path) -> None:
    """--compare says which tools are new without MFA or have gone quiet; --fail-on new goes by that alone."""
    now = time.time()
    record(database, "pwd", at=now - 20 * 86400, agent="known/1.0")
    record(database, "pwd", at=now - 86400, agent="known/1.0")
    record(database, "pwd", "mfa", at=now - 10 * 86400, agent="gone/1.0")
    options = ("report", "--db", database, "--format", "json", "--compare", "7d", "--fail-on", "new")
    done = audit.run(*options)
    found = json.loads(done.stdout)["comparison"]
    assert (0, [], ["gone"]) == (
        done.returncode,
        found["new"],
        [row["title"] for row in found["quiet"]],
    )
    record(database, "pwd", at=now - 3600, agent="fresh/1.0")
    done = audit.run(*options)
    assert (1, ["fresh"]) == (
        done.returncode,
        [row["title"] for row in json.loads(done.stdout)["comparison"]["new"]],
    )


def test_what_changed_since_a_kept_report(audit: Audit, database: Path, tmp_path: Path) -> None:
    """A report that was kept as JSON can be compared with; every format says what changed since."""
    record(database, "pwd", at=time.time() - 3600, agent="known/1.0")
    kept = tmp_path / "kept.json"
    audit.run("report", "--db", database, "--output", kept)
    time.sleep(1.1)  # a report's time is in whole seconds
    record(database, "pwd", agent="fresh/1.0")
    done = audit.run("report", "--db", database, "--format", "json", "--compare", kept, "--fail-on", "new")
    found = json.loads(done.stdout)["comparison"]
    assert (1, ["fresh"], [], []) == (
        done.returncode,
        [row["title"] for row in found["new"]],
        found["fixed"],
        found["quiet"],
    )
    for name in ("table", "html", "markdown", "junit"):
        assert "1 new without MFA" in audit.run(
            "report", "--db", database, "--format", name, "--compare", kept
        ).stdout.replace("`", "")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"period": 1, "tools": []}', "[" * 100_000])
def test_what_is_no_report_is_not_compared_with(
    audit: Audit, database: Path, tmp_path: Path, content: str
) -> None:
    """Any other JSON ends in one sentence that says how to make a report to compare with."""
    record(database, "pwd")
    file = tmp_path / "other.json"
    file.write_text(content, "utf-8")
    done = audit.run("report", "--db", database, "--compare", file)
    assert (2, "") == (done.returncode, done.stdout)
    assert "is no report that can be compared with" in done.stderr


def test_compare_and_fail_on_need_what_they_say(audit: Audit, database: Path) -> None:
    """--fail-on new without --compare, and a time that is no time, are wrong usage."""
    record(database, "pwd")
    alone = audit.run("report", "--db", database, "--fail-on", "new")
    assert (2, True) == (alone.returncode, "--fail-on new needs --compare" in alone.stderr)
    for wrong in ("lately", "all", "2999-01-01"):
        assert 2 == audit.run("report", "--db", database, "--compare", wrong).returncode


def test_filters_choose_what_is_listed_only(audit: Audit, database: Path) -> None:
    """Answer, totals and exit code are of all tools; how many are left out is said, also where all are."""
    record(database, "pwd", agent="bad/1.0")
    record(database, "pwd", "mfa", agent="fine/1.0")
    record(database, "mfa", agent="fine-too/1.0")

    def listed(*options: str) -> list[str]:
        done = audit.run("report", "--db", database, "--format", "json", *options)
        found = json.loads(done.stdout)
        names = [tool["name"] for tool in found["tools"]]
        assert (1, "no", 3, 3) == (
            done.returncode,
            found["answer"],
            found["totals"]["tools"],
            len(names) + (found["filtered"] or 0),
        )
        return sorted(names)

    assert ["bad", "fine", "fine-too"] == listed()
    assert ["fine", "fine-too"] == listed("--tool", "FINE")
    assert ["bad"] == listed("--verdict", "non-compliant")
    assert ["bad", "fine"] == listed("--tool", "bad", "--tool", "*fine")
    assert ["bad", "fine", "fine-too"] == listed("--machine", platform.node(), "--user", "dana@*")
    assert [] == listed("--machine", "elsewhere")
    for name in ("table", "html", "markdown", "junit"):
        done = audit.run("report", "--db", database, "--format", name, "--tool", "fine", "--tool", "nobody")
        assert "1 of 3 tools calls Partner Center without MFA" in done.stdout, name
        assert "Filters leave 1 tool out of the list" in " ".join(done.stdout.split()), name


def test_a_filtered_report_is_not_compared_with(audit: Audit, database: Path, tmp_path: Path) -> None:
    """What was left out of it would look new."""
    record(database, "pwd")
    kept = tmp_path / "kept.json"
    audit.run("report", "--db", database, "--tool", "nobody", "--output", kept)
    done = audit.run("report", "--db", database, "--compare", kept)
    assert (2, True) == (done.returncode, "lists only some of its tools" in done.stderr)

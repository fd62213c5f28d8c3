"""What must never be a YES: each case once was one."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest

from mfa_audit.captures.importer import import_capture
from mfa_audit.captures.recognition import read
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.judging.people import NAMES
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.model import ToolRow
from mfa_audit.store.imports import Importer
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "captures"))
from producers import entry, har
from recordings import SCRIPT, ago, bad, good, only, record, report

POWERSHELL = Program("powershell.exe", "svc", None)
REQUEST_ID = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e{:04x}"


@pytest.mark.parametrize("program", [None, POWERSHELL, SCRIPT], ids=["unnamed", "shell", "script"])
@pytest.mark.parametrize("days", [(33, 26, 19, 12, 5), (33, 3)], ids=["weekly", "monthly"])
def test_a_rare_job_beside_daily_good_use(
    database: Path, program: Program | None, days: tuple[float, ...]
) -> None:
    """A weekly or monthly job without MFA stays NO beside daily good use of the same app, shell and account."""
    daily = good(*[day + 0.4 for day in range(35)], each=3, program=program)
    record(database, daily, bad(*days, each=40, program=program))
    found = report(database)
    row = only(found)
    assert (Answer.NO, Verdict.NON_COMPLIANT, True) == (found.answer, row.verdict, row.side_by_side)


def test_tokens_without_mfa_that_are_refused_for_an_unknown_cause(database: Path) -> None:
    """A token without MFA needs no acceptance: 50 calls of today, each refused with an unknown 401, are a NO."""
    refused = bad(0.02, each=50, status=401, body=b'{"code": "unheard-of"}')
    record(database, good(1, each=5), refused)
    found = report(database)
    assert (Answer.NO, 50) == (found.answer, only(found).counts.refused)


@pytest.mark.parametrize("program", [SCRIPT, POWERSHELL, None], ids=["script", "shell", "unnamed"])
def test_one_script_on_two_machines(database: Path, tmp_path: Path, program: Program | None) -> None:
    """The machine that was mended never turns the failing one's NO into YES, in any order of the files."""
    record(database, bad(20, 15, 10, program=program), good(*range(9), program=program), machine="PC1")
    other = tmp_path / "other.db"
    record(other, bad(30, 20, 10, program=program), machine="PC2")
    for databases in permutations((database, other)):
        found = report(*databases)
        assert Answer.NO is found.answer
        assert {"PC1": False, "PC2": True} == {
            row.machine: row.verdict is Verdict.NON_COMPLIANT for row in found.tools
        }
        assert 2 == len({row.title for row in found.tools})


def test_two_machines_of_one_name(database: Path, tmp_path: Path) -> None:
    """A fix on one of two machines of the same host name is none on the other, whose crash stays visible too."""
    record(
        database,
        bad(*range(20, 32)),
        machine="mac.local",
        machine_id="aaaa11112222",
        since=40,
        until=19,
        crashed=True,
    )
    other = tmp_path / "other.db"
    record(other, good(*range(1, 30)), machine="mac.local", machine_id="bbbb33334444", since=31)
    for databases in permutations((database, other)):
        found = report(*databases)
        assert Answer.NO is found.answer
        assert {"mac.local (aaaa)", "mac.local (bbbb)"} == {row.machine for row in found.tools}
        assert ["mac.local (aaaa)"] == [
            gap.machine for gap in found.recording.gaps if gap.reason == "crashed"
        ]
    renamed = tmp_path / "renamed.db"
    record(renamed, good(*range(1, 30)), machine="pc17", machine_id="bbbb33334444", since=31)
    assert {"mac.local", "pc17"} == {row.machine for row in report(database, renamed).tools}


def test_a_crash_is_not_hidden_by_another_machine(database: Path, tmp_path: Path) -> None:
    """A recorder that crashed for ten days makes the answer unclear, whatever ran elsewhere meanwhile."""
    record(database, good(30, 29), machine="PC1", since=31, until=12, crashed=True)
    record(database, good(1), machine="PC1", since=2)
    other = tmp_path / "other.db"
    record(other, good(*range(1, 30)), machine="PC2")
    for databases in permutations((database, other)):
        found = report(*databases)
        assert Answer.UNCLEAR is found.answer
        assert [("PC1", "crashed", 10)] == [
            (gap.machine, gap.reason, (gap.end - gap.start).days)
            for gap in found.recording.gaps
            if gap.reason != "stopped"  # between the recording and the report, on a slow machine
        ]


def test_a_run_that_was_killed(database: Path) -> None:
    """`mfa-audit run` killed in the middle saw only a part of its command."""
    record(database, good(1), kind="run", since=1.001, until=0.999, crashed=True)
    found = report(database)
    assert (Answer.UNCLEAR, ["crashed"]) == (found.answer, [gap.reason for gap in found.recording.gaps])


@pytest.mark.parametrize("since", ["24h", "7d", "35d"])
def test_a_failing_tool_on_the_day_that_the_period_cuts(database: Path, since: str) -> None:
    """A tool whose last call lies just before the period is named, and keeps the answer from being yes."""
    days = {"24h": 1, "7d": 7, "35d": 35}[since]
    record(database, bad(days + 0.2, user_agent="monthly/1.0"), good(0.1, user_agent="daily/1.0"))
    found = report(database, since=since)
    assert (Answer.UNCLEAR, ["monthly"]) == (found.answer, [row.name for row in found.quiet])


def unread(database: Path, reason: str, program: Program, agent: str | None = None, count: int = 5) -> None:
    """So many connections of this program that could not be read, in the database's only session."""
    with closing(sqlite3.connect(database)) as connection:
        (session,) = connection.execute("SELECT uuid FROM sessions").fetchone()
    recording = Recording(database, Session("proxy", ago(3), machine="PC1", account="ada"), "NORMAL")
    recording.connection.execute("DELETE FROM sessions WHERE id = ?", [recording.rows.session_id])
    (identifier,) = recording.connection.execute(
        "SELECT id FROM sessions WHERE uuid = ?", [session]
    ).fetchone()
    recording.rows.session_id = identifier
    for _ in range(count):
        recording.rows.add_not_audited(ago(1), "api.partnercenter.microsoft.com", agent, program, reason)
    recording.close()


@pytest.mark.parametrize(
    "reason", ["certificate-refused", "no-request", "tls-version", "proxy-password", "unreachable"]
)
def test_a_namesake_never_excuses_what_could_not_be_read(database: Path, reason: str) -> None:
    """A script that works by hand does not excuse the same script by cron, which refuses the certificate."""
    record(database, good(1, 2, program=Program("sync.py")))
    unread(database, reason, Program("sync.py"))
    found = report(database)
    assert (Answer.UNCLEAR, [("sync.py", reason, 5)]) == (
        found.answer,
        [(row.program, row.reason, row.count) for row in found.not_audited],
    )


def test_a_healthy_browsers_unused_connections_stay_unreported(database: Path) -> None:
    """Chromium and Firefox open connections that they do not use; that others could be read shows they trust us."""
    chrome = Program("chrome.exe")
    record(database, good(1, program=chrome))
    unread(database, "no-request", chrome)
    assert Answer.YES is report(database).answer
    unread(database, "certificate-refused", chrome)
    assert Answer.UNCLEAR is report(database).answer


def rows(path: Path, ids: list[str], *, compliant: bool, days: float = 1) -> Path:
    """A file as Microsoft's `partnerRequests` gives it."""
    at = datetime.fromtimestamp(ago(days), UTC).isoformat()
    items = [
        {
            "requestId": one,
            "requestDateTime": at,
            "operationName": "GET /v1/customers",
            "applicationId": "5d2b6f60-0000-4000-8000-0000000c1133",
            "mfaCompliant": compliant,
        }
        for one in ids
    ]
    path.write_text(json.dumps({"items": items}), encoding="utf-8")
    return path


def bring_in(database: Path, path: Path) -> None:
    """Import a capture or list."""
    with Importer(database) as importer, read(path) as capture:
        import_capture(capture, importer, NAMES)


def test_microsofts_word_call_by_call_decides_the_row(database: Path, tmp_path: Path) -> None:
    """Matched on request ids, Microsoft says "without MFA" 40 times: the row is a NO, though its tokens name MFA."""
    ids = [REQUEST_ID.format(number) for number in range(40)]
    seen = [
        replace_id(one, request) for one, request in zip(good(1, each=40, program=SCRIPT), ids, strict=True)
    ]
    record(database, seen)
    bring_in(database, rows(tmp_path / "requests.json", ids, compliant=False))
    found = report(database)
    row = only(found)
    assert (Answer.NO, ("microsoft-says-no", "mfa"), 40) == (
        found.answer,
        row.reasons,
        row.counts.microsoft_non_compliant,
    )
    # What a recorder saw too decides the row, and is not told a second time as what only Microsoft saw.
    assert found.microsoft is not None
    assert [False] == [one.failing for one in found.microsoft.applications]


def replace_id(seen: Observation, request_id: str) -> Observation:
    return seen._replace(request_id=request_id)


def test_an_application_that_only_microsoft_saw(database: Path, tmp_path: Path) -> None:
    """4,000 of 4,000 calls without MFA twelve days ago, and none since: it was not mended by not calling."""
    record(database, good(1, 2))
    day = datetime.fromtimestamp(ago(12), UTC).date().isoformat()
    path = tmp_path / "adoption.json"
    item = {
        "loginDate": day,
        "applicationId": "14f38d7d-c4fc-448a-b2df-0fc60e75465a",
        "applicationName": "Billing",
        "mfaCompliantRequestCount": 0,
        "totalRequestCount": 4_000,
    }
    path.write_text(json.dumps({"items": [item]}), encoding="utf-8")
    bring_in(database, path)
    assert Answer.NO is report(database).answer
    assert Answer.NO is report(database, since="7d").answer


def test_a_capture_never_mends_what_was_recorded_live(database: Path, tmp_path: Path) -> None:
    """Good tokens in an imported capture are a row of their own."""
    record(database, bad(20, 10))
    entries = [
        entry(
            headers={
                "User-Agent": "tool/1.0",
                "Authorization": "Bearer "
                + make_user_token("pwd", "mfa", iat=int(ago(day)), exp=int(ago(day)) + 3900),
            },
            at=datetime.fromtimestamp(ago(day), UTC).isoformat(),
        )
        for day in (5, 3, 1)
    ]
    for one in entries:
        one["response"]["headers"] = []
    path = tmp_path / "portal.har"
    path.write_bytes(har(*entries))
    bring_in(database, path)
    found = report(database)
    assert Answer.NO is found.answer
    assert {(None, Verdict.NON_COMPLIANT), ("portal.har", Verdict.COMPLIANT)} == {
        (row.capture, row.verdict) for row in found.tools
    }


def test_since_never_chooses_what_counts(database: Path) -> None:
    """A monthly job that failed eight days ago also fails in a report of the last seven days that lists its row."""
    record(database, bad(38, 8, program=SCRIPT), good(*[day + 0.4 for day in range(38)], program=SCRIPT))
    found = report(database, since="7d")
    assert (Answer.NO, 7) == (found.answer, only(found).requests)


def test_splitting_the_files_changes_nothing(database: Path, tmp_path: Path) -> None:
    """The same sessions in one file or in three, in any order, give the same report."""
    parts = [
        (bad(30, 20, program=SCRIPT), 40.0, 15.0),
        (good(14, 12, program=SCRIPT), 15.0, 9.0),
        (good(8, 2, 1, program=SCRIPT), 9.0, 0.0),
    ]
    files = []
    for number, (some, since, until) in enumerate(parts):
        record(database, some, since=since, until=until)
        files.append(tmp_path / f"{number}.db")
        record(files[-1], some, since=since, until=until)
    whole = report(database)
    for order in permutations(files):
        found = report(*order)
        assert [timeless(row) for row in whole.tools] == [timeless(row) for row in found.tools]
        assert (whole.answer, whole.totals) == (found.answer, found.totals)


def timeless(row: ToolRow) -> ToolRow:
    """The row without what depends on the second in which a report is made."""
    return replace(row, waiting_until=None, why=row.why and row.why._replace(until=None))

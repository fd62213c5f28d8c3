"""A database of the first version, and what today's report says of it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging.tokens import read
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period
from mfa_audit.store import migrations, schema

DAY_MS = 86_400_000
NOW_MS = round(time.time() * 1000)


def write_old(path: Path, calls: list[tuple[int, str, int | None, int]]) -> None:
    """A file as version 0.1 wrote it: (days ago, amr, status, flags) of each call."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        migrations.migrations.apply(Database(connection), stop_before="m003_accounts_of_programs")
        start = NOW_MS - 60 * DAY_MS
        connection.execute(
            "INSERT INTO sessions (id, uuid, name, kind, machine, account, version, started, last_beat, ended,"
            " ended_how) VALUES (1, 'u', 'proxy', 'proxy', 'PC1', 'ada', '0.1.0', ?, ?, ?, 'stopped')",
            [start, NOW_MS, NOW_MS],
        )
        connection.execute("INSERT INTO tools (id, name) VALUES (1, 'tool')")
        connection.execute(
            "INSERT INTO clients (id, tool_id, name, app_id, user_agent) VALUES (1, 1, 'tool', 'app', 'tool/1.0')"
        )
        connection.execute("INSERT INTO operations (id, name) VALUES (1, 'GET /v1/customers')")
        connection.execute("INSERT INTO programs (id, name) VALUES (2, 'sync.ps1')")
        for number, (days, amr, status, flags) in enumerate(calls, 1):
            at = NOW_MS - days * DAY_MS - 3_600_000
            token = read([Secret(b"Bearer " + make_user_token(*amr.split(), iat=at // 1000).encode())])
            connection.execute(
                "INSERT INTO tokens (id, name, key, form, issued, verdict, reason, rules, claims)"
                " VALUES (?, '', ?, 'v1.0', ?, ?, ?, 99, '{\"amr\": []}')",
                [number, f"{number}", at, token.verdict, token.reason],
            )
            connection.execute(
                "INSERT INTO calls (session_id, at, client_id, token_id, program_id, operation_id, status, flags)"
                " VALUES (1, ?, 1, ?, 2, 1, ?, ?)",
                [at, number, status, flags],
            )
            connection.execute(
                "INSERT INTO totals VALUES (?, 1, 1, ?, 2, 1, ?, ?, 0, 0, 0, 0, ?, ?)",
                [at // 3_600_000, number, flags & 1, flags >> 1 & 1, at, at],
            )
            connection.execute(
                "INSERT INTO operation_totals VALUES (?, 1, 1, 2, 1, 1) ON CONFLICT DO UPDATE SET calls = calls + 1",
                [at // DAY_MS],
            )


def answer(path: Path) -> Answer:
    return report_on([path], Period(None, None)).answer


def test_a_weekly_job_of_an_old_file_is_seen(tmp_path: Path) -> None:
    """What the first version took for mended, daily good use beside a weekly job without MFA, is a NO now."""
    path = tmp_path / "audit.db"
    write_old(
        path,
        [(days, "pwd mfa", 200, 1) for days in range(34)]
        + [(days, "pwd", 200, 1) for days in (5, 12, 19, 26, 33)],
    )
    before = path.read_bytes()
    assert Answer.NO is answer(path)
    assert before == path.read_bytes()


def test_counts_of_an_old_file_are_found_in_its_calls(tmp_path: Path) -> None:
    """Calls without an answer, unknown refusals and redirections of an old file are told as what they are."""
    path = tmp_path / "audit.db"
    write_old(path, [(3, "pwd mfa", None, 0), (2, "pwd mfa", 401, 0), (1, "pwd mfa", 302, 1)])
    [row] = report_on([path], Period(None, None)).tools
    assert (3, 0, 1, 1) == (row.counts.calls, row.counts.accepted, row.counts.unanswered, row.counts.refused)
    assert Answer.UNCLEAR is answer(path)

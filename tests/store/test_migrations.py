"""The schema, stated whole: whoever changes a table changes this test, docs/data.md and writes a migration."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database, Migrations

from mfa_audit.exchanges.exchange import Program
from mfa_audit.store import migrations, schema
from observed import fill, observe, query

COLUMNS = {
    "sessions": "id uuid name kind source sha256 machine account version started last_beat ended ended_how validate"
    " enforce late lost programs_denied folded sanitised journal_segment journal_offset machine_id",
    "gaps": "id session_id started ended reason lost",
    "tools": "id name app_id client application product",
    "clients": "id tool_id name app_id application client user_agent sdk_version naming",
    "programs": "id name account started_by stable_name naming",
    "operations": "id name",
    "users": "id name tenant object_id",
    "tokens": "id name key form user_id app_id issued expires verdict reason rules claims",
    "calls": "id session_id at client_id token_id program_id operation_id status flags request_id correlation_id"
    " import_key number",
    "totals": "hour session_id client_id token_id program_id calls accepted blocked blocked_by_test expired"
    " server_compliant server_non_compliant first last unanswered refused",
    "operation_totals": "day session_id client_id program_id operation_id calls",
    "not_audited": "id name hour session_id host user_agent program_id reason count first last",
    "microsoft_requests": "id name at request_id correlation_id operation_id user_id application_id mfa_compliant",
    "microsoft_adoption": "id name day application_id mfa_requests requests",
    "microsoft_principals": "id name user_id at",
    "fetches": "id name covered_from covered_to rows",
    "sign_ins": "id name at request_id unique_token_id application_id application resource_id resource tenant user_id"
    " kind protocol requirement required_by conditional_access policies mfa error trusted_network",
}
INDEXES = {
    "tools_identity", "clients_identity", "programs_identity", "programs_stable_name",
    "users_identity", "tokens_rules", "tokens_facts",
    "calls_at",
    "calls_import_key", "not_audited_identity", "microsoft_requests_identity", "microsoft_adoption_identity",
    "microsoft_principals_identity", "sign_ins_identity", "sign_ins_token",
}  # fmt: skip
VIEWS = {"calls_in_words", "tools_in_words", "blocked_calls"}
REFERENCES = {
    ("gaps", "session_id", "sessions"), ("clients", "tool_id", "tools"), ("tokens", "user_id", "users"),
    *((table, f"{one}_id", f"{one}s") for table in ("calls", "totals")
      for one in ("session", "client", "token", "program")),
    ("calls", "operation_id", "operations"),
    *(("operation_totals", f"{one}_id", f"{one}s") for one in ("session", "client", "program", "operation")),
    ("microsoft_requests", "operation_id", "operations"), ("microsoft_requests", "user_id", "users"),
    ("microsoft_principals", "user_id", "users"),
    ("sign_ins", "user_id", "users"), ("not_audited", "session_id", "sessions"),
    ("not_audited", "program_id", "programs"),
}  # fmt: skip


def test_the_whole_schema(database: Path) -> None:
    """A new database has exactly these tables, columns, indexes, views and references."""
    fill(database, [])
    db = Database(database)
    ours = {name for name in db.table_names() if not name.startswith("_")}
    assert set(COLUMNS) == ours
    for table, columns in COLUMNS.items():
        assert columns.split() == [column.name for column in db[table].columns], table
    rows = query(database, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql > ''")
    found = {row[0] for row in rows if not row[0].startswith("idx__sqlite")}
    assert INDEXES == found
    assert set(db.view_names()) == VIEWS
    assert REFERENCES == {
        (table, key.column, key.other_table) for table in ours for key in db[table].foreign_keys
    }
    db.close()


def test_every_table_is_explained() -> None:
    """docs/data.md has a heading for each table, and names each of its columns and each view."""
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`[^\n]*\n(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL))
    for table, columns in COLUMNS.items():
        missing = [column for column in columns.split() if f"`{column}`" not in sections.get(table, "")]
        assert missing == [], table
    assert {view for view in VIEWS if f"`{view}`" not in text} == set()


def test_the_version_is_the_number_of_migrations() -> None:
    """A report that loads no migrations knows their number and where it is kept."""
    assert schema.VERSION == len(migrations.migrations.pending(Database(memory=True)))
    assert Migrations.migrations_table == schema.MIGRATIONS_TABLE


def test_queries_in_the_documentation_work(database: Path) -> None:
    """Each SQL block of docs/data.md runs on a database with calls in it."""
    fill(
        database, [observe(), observe(amr=("pwd",), status=401, reason_phrase="Unauthorized - MFA required")]
    )
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    assert len(queries) >= 5
    with closing(sqlite3.connect(database)) as connection:
        for sql in queries:
            assert connection.execute(sql).description, sql


def test_an_older_files_programs_keep_their_calls(tmp_path: Path) -> None:
    """Programs of a file from before accounts were told keep their ids, and what refers to them still does."""
    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        migrations.migrations.apply(Database(connection), stop_before="m003_accounts_of_programs")
        connection.execute("INSERT INTO programs (id, name) VALUES (7, 'nightly.ps1')")
        for reason, program in (("tunnelled", 7), ("no-request", 1)):
            connection.execute(
                "INSERT INTO not_audited (name, hour, session_id, host, program_id, reason, count, first, last)"
                " VALUES ('', 0, 1, 'host', ?, ?, 1, 0, 0)",
                [program, reason],
            )
    fill(path, [observe(program=Program("nightly.ps1", "CONTOSO\\svc", "cron"))])
    assert [(1, "(not known)", None, None), (7, "nightly.ps1", None, None)] == query(
        path, "SELECT id, name, account, started_by FROM programs WHERE id < 8"
    )
    assert [("nightly.ps1", "tunnelled"), ("(not known)", "no-request")] == query(
        path,
        "SELECT programs.name, reason FROM not_audited JOIN programs ON programs.id = program_id ORDER BY 2 DESC",
    )
    assert [("nightly.ps1", "CONTOSO\\svc", "cron")] == query(
        path, "SELECT program, account, started_by FROM calls_in_words"
    )
    assert [] == query(path, "PRAGMA integrity_check('programs')")[1:]

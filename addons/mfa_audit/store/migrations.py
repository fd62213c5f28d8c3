"""The tables, as the migrations that make them.

Times are whole milliseconds since 1970 (UTC); hours and days are whole hours and days since then. What each
table and column means is told to users in docs/data.md.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlite_utils import Database, Migrations

from mfa_audit.store.schema import MIGRATION_SET

migrations: Final = Migrations(MIGRATION_SET)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file up to date, inside a transaction if one is open. Raises sqlite3.Error."""
    migrations.apply(Database(connection))


def create(db: Database, statements: str) -> None:
    """Run several statements inside the present transaction (`executescript` would commit it)."""
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()
def m001_first_tables(db: Database) -> None:
    """Everything that a recorder needs."""
    create(
        db,
        """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT,
    sha256 TEXT,
    machine TEXT NOT NULL,
    account TEXT NOT NULL,
    version TEXT NOT NULL,
    started INTEGER NOT NULL,
    last_beat INTEGER NOT NULL,
    ended INTEGER,
    ended_how TEXT,
    validate INTEGER NOT NULL DEFAULT 0,
    enforce INTEGER NOT NULL DEFAULT 0,
    late INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    programs_denied INTEGER NOT NULL DEFAULT 0,
    folded INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    reason TEXT NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE tools (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    app_id TEXT,
    client TEXT,
    application TEXT,
    product TEXT
);
CREATE UNIQUE INDEX tools_identity ON tools (
    name, ifnull(app_id, ''), ifnull(client, ''), ifnull(application, ''), ifnull(product, '')
);
CREATE TABLE clients (
    id INTEGER PRIMARY KEY,
    tool_id INTEGER NOT NULL REFERENCES tools (id),
    name TEXT NOT NULL,
    app_id TEXT,
    application TEXT,
    client TEXT,
    user_agent TEXT,
    sdk_version TEXT
);
CREATE UNIQUE INDEX clients_identity ON clients (
    ifnull(app_id, ''), ifnull(application, ''), ifnull(client, ''), ifnull(user_agent, ''), ifnull(sdk_version, '')
);
CREATE TABLE programs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO programs (id, name) VALUES (1, '(not known)');
CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT,
    tenant TEXT,
    object_id TEXT
);
CREATE UNIQUE INDEX users_identity ON users (ifnull(tenant, ''), ifnull(object_id, ''), ifnull(name, ''));
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    form TEXT NOT NULL,
    user_id INTEGER REFERENCES users (id),
    app_id TEXT,
    issued INTEGER,
    expires INTEGER,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    rules INTEGER NOT NULL,
    claims TEXT NOT NULL
);
CREATE INDEX tokens_rules ON tokens (rules);
CREATE INDEX tokens_facts ON tokens (id, form, user_id, issued, verdict, reason);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    at INTEGER NOT NULL,
    client_id INTEGER NOT NULL REFERENCES clients (id),
    token_id INTEGER NOT NULL REFERENCES tokens (id),
    program_id INTEGER NOT NULL REFERENCES programs (id),
    operation_id INTEGER NOT NULL REFERENCES operations (id),
    status INTEGER,
    flags INTEGER NOT NULL,
    request_id TEXT,
    correlation_id TEXT,
    import_key BLOB
);
CREATE INDEX calls_at ON calls (at);
CREATE UNIQUE INDEX calls_import_key ON calls (import_key) WHERE import_key IS NOT NULL;
CREATE TABLE totals (
    hour INTEGER NOT NULL,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    client_id INTEGER NOT NULL REFERENCES clients (id),
    token_id INTEGER NOT NULL REFERENCES tokens (id),
    program_id INTEGER NOT NULL REFERENCES programs (id),
    calls INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    blocked_by_test INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    server_compliant INTEGER NOT NULL,
    server_non_compliant INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (hour, session_id, client_id, token_id, program_id)
) WITHOUT ROWID;
CREATE TABLE operation_totals (
    day INTEGER NOT NULL,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    client_id INTEGER NOT NULL REFERENCES clients (id),
    program_id INTEGER NOT NULL REFERENCES programs (id),
    operation_id INTEGER NOT NULL REFERENCES operations (id),
    calls INTEGER NOT NULL,
    PRIMARY KEY (day, session_id, client_id, program_id, operation_id)
) WITHOUT ROWID;
CREATE TABLE not_audited (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hour INTEGER NOT NULL,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    host TEXT NOT NULL,
    user_agent TEXT,
    program_id INTEGER NOT NULL REFERENCES programs (id),
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
);
CREATE UNIQUE INDEX not_audited_identity ON not_audited (
    hour, session_id, host, ifnull(user_agent, ''), program_id, reason
);
""",
    )
    # For people with SQL and for Datasette: the same facts in words. docs/data.md has the questions they answer.
    db.create_view(
        "calls_in_words",
        """
        SELECT calls.id, strftime('%Y-%m-%dT%H:%M:%fZ', calls.at / 1000.0, 'unixepoch') AS time,
            tools.name AS tool, programs.name AS program, users.name AS user, operations.name AS operation,
            calls.status, tokens.verdict, tokens.reason, calls.flags & 2 > 0 AS blocked,
            calls.flags & 4 > 0 AS blocked_by_test, calls.flags & 8 > 0 AS expired,
            CASE WHEN calls.flags & 16 THEN 'compliant' WHEN calls.flags & 32 THEN 'non-compliant' END
                AS server_says,
            calls.request_id, calls.correlation_id, sessions.name AS session
        FROM calls JOIN clients ON clients.id = calls.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = calls.token_id JOIN programs ON programs.id = calls.program_id
            JOIN operations ON operations.id = calls.operation_id
            JOIN sessions ON sessions.id = calls.session_id
            LEFT JOIN users ON users.id = tokens.user_id
        """,
    )
    db.create_view(
        "tools_in_words",
        """
        SELECT tools.name AS tool, tools.app_id, programs.name AS program, users.name AS user,
            tokens.verdict, tokens.reason, sum(totals.calls) AS calls, sum(totals.blocked) AS blocked,
            count(DISTINCT totals.token_id) AS tokens,
            strftime('%Y-%m-%dT%H:%M:%SZ', min(totals.first) / 1000, 'unixepoch') AS first_seen,
            strftime('%Y-%m-%dT%H:%M:%SZ', max(totals.last) / 1000, 'unixepoch') AS last_seen
        FROM totals JOIN clients ON clients.id = totals.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = totals.token_id JOIN programs ON programs.id = totals.program_id
            LEFT JOIN users ON users.id = tokens.user_id
        WHERE tokens.form <> 'none'
        GROUP BY tools.id, totals.program_id, tokens.user_id, tokens.verdict, tokens.reason
        """,
    )
    db.create_view(
        "blocked_calls",
        "SELECT * FROM calls_in_words WHERE blocked ORDER BY time DESC",
    )


@migrations()
def m002_captures(db: Database) -> None:
    """What imports add: calls whose tokens were taken out of a capture, and Microsoft's own lists."""
    create(
        db,
        """
ALTER TABLE sessions ADD COLUMN sanitised INTEGER NOT NULL DEFAULT 0;
CREATE TABLE microsoft_requests (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    at INTEGER,
    request_id TEXT,
    correlation_id TEXT,
    operation_id INTEGER REFERENCES operations (id),
    user_id INTEGER REFERENCES users (id),
    application_id TEXT,
    mfa_compliant INTEGER
);
CREATE UNIQUE INDEX microsoft_requests_identity ON microsoft_requests (
    ifnull(request_id, ''), ifnull(at, 0), ifnull(application_id, ''), ifnull(operation_id, 0), ifnull(user_id, 0)
);
CREATE TABLE microsoft_adoption (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    day INTEGER,
    application_id TEXT NOT NULL,
    mfa_requests INTEGER NOT NULL,
    requests INTEGER NOT NULL
);
CREATE UNIQUE INDEX microsoft_adoption_identity ON microsoft_adoption (application_id, ifnull(day, 0));
CREATE TABLE microsoft_principals (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    at INTEGER
);
CREATE UNIQUE INDEX microsoft_principals_identity ON microsoft_principals (user_id);
""",
    )


@migrations()
def m003_accounts_of_programs(db: Database) -> None:
    """The account that a program ran under and what started it; the three together tell programs apart."""
    # SQLite keeps a column's UNIQUE as long as the table; foreign keys are off while a file is migrated.
    create(
        db,
        """
DROP VIEW blocked_calls;
DROP VIEW calls_in_words;
DROP VIEW tools_in_words;
CREATE TABLE programs_anew (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    account TEXT,
    started_by TEXT
);
INSERT INTO programs_anew (id, name) SELECT id, name FROM programs;
DROP TABLE programs;
ALTER TABLE programs_anew RENAME TO programs;
CREATE UNIQUE INDEX programs_identity ON programs (name, ifnull(account, ''), ifnull(started_by, ''));
""",
    )
    db.create_view(
        "calls_in_words",
        """
        SELECT calls.id, strftime('%Y-%m-%dT%H:%M:%fZ', calls.at / 1000.0, 'unixepoch') AS time,
            tools.name AS tool, programs.name AS program, programs.account, programs.started_by,
            users.name AS user, operations.name AS operation,
            calls.status, tokens.verdict, tokens.reason, calls.flags & 2 > 0 AS blocked,
            calls.flags & 4 > 0 AS blocked_by_test, calls.flags & 8 > 0 AS expired,
            CASE WHEN calls.flags & 16 THEN 'compliant' WHEN calls.flags & 32 THEN 'non-compliant' END
                AS server_says,
            calls.request_id, calls.correlation_id, sessions.name AS session
        FROM calls JOIN clients ON clients.id = calls.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = calls.token_id JOIN programs ON programs.id = calls.program_id
            JOIN operations ON operations.id = calls.operation_id
            JOIN sessions ON sessions.id = calls.session_id
            LEFT JOIN users ON users.id = tokens.user_id
        """,
    )
    db.create_view(
        "tools_in_words",
        """
        SELECT tools.name AS tool, tools.app_id, programs.name AS program, programs.account, programs.started_by,
            users.name AS user, tokens.verdict, tokens.reason, sum(totals.calls) AS calls,
            sum(totals.blocked) AS blocked,
            count(DISTINCT totals.token_id) AS tokens,
            strftime('%Y-%m-%dT%H:%M:%SZ', min(totals.first) / 1000, 'unixepoch') AS first_seen,
            strftime('%Y-%m-%dT%H:%M:%SZ', max(totals.last) / 1000, 'unixepoch') AS last_seen
        FROM totals JOIN clients ON clients.id = totals.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = totals.token_id JOIN programs ON programs.id = totals.program_id
            LEFT JOIN users ON users.id = tokens.user_id
        WHERE tokens.form <> 'none'
        GROUP BY tools.id, totals.program_id, tokens.user_id, tokens.verdict, tokens.reason
        """,
    )
    db.create_view(
        "blocked_calls",
        "SELECT * FROM calls_in_words WHERE blocked ORDER BY time DESC",
    )


@migrations()
def m004_more_counts(db: Database) -> None:
    """Calls that got no answer of Partner Center, and refusals of unknown cause, counted also for the calls kept."""
    create(
        db,
        """
ALTER TABLE totals ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
CREATE TEMP TABLE counted_anew AS SELECT at / 3600000 AS hour, session_id, client_id, token_id, program_id,
    count(*) FILTER (WHERE status IS NULL OR status IN (407, 502, 503, 504)) AS unanswered,
    count(*) FILTER (WHERE status = 401 AND flags & 14 = 0) AS refused,
    -- A redirection is a cache's or a sign-in page's as well: it no longer shows that a token was taken.
    count(*) FILTER (WHERE flags & 1 AND status BETWEEN 300 AND 399) AS redirected
    FROM calls WHERE status IS NULL OR status IN (401, 407, 502, 503, 504) OR status BETWEEN 300 AND 399
    GROUP BY 1, 2, 3, 4, 5;
UPDATE totals SET unanswered = found.unanswered, refused = found.refused,
    accepted = max(0, accepted - found.redirected)
    FROM temp.counted_anew AS found WHERE found.hour = totals.hour AND found.session_id = totals.session_id
    AND found.client_id = totals.client_id AND found.token_id = totals.token_id
    AND found.program_id = totals.program_id;
DROP TABLE temp.counted_anew;
UPDATE calls SET flags = (flags & ~1) | 64 WHERE status IS NULL OR status IN (407, 502, 503, 504);
UPDATE calls SET flags = flags | 128 WHERE status = 401 AND flags & 14 = 0;
UPDATE calls SET flags = flags & ~1 WHERE flags & 1 AND status BETWEEN 300 AND 399;
DROP VIEW blocked_calls;
DROP VIEW calls_in_words;
DROP VIEW tools_in_words;
""",
    )
    # Facts under the report's names. The verdict on a tool is the report's alone: a view can say what a token says.
    db.create_view(
        "calls_in_words",
        """
        SELECT calls.id, strftime('%Y-%m-%dT%H:%M:%fZ', calls.at / 1000.0, 'unixepoch') AS time,
            tools.name AS tool, programs.name AS program, sessions.machine,
            ifnull(programs.account, sessions.account) AS account, programs.started_by,
            iif(sessions.kind = 'import', sessions.source, NULL) AS capture,
            users.name AS user, operations.name AS operation, calls.status,
            tokens.verdict AS token_verdict, tokens.reason AS token_reason,
            calls.flags & 1 > 0 AS accepted, calls.flags & 2 > 0 AS blocked,
            calls.flags & 4 > 0 AS blocked_by_test, calls.flags & 8 > 0 AS expired,
            CASE WHEN calls.flags & 16 THEN 'compliant' WHEN calls.flags & 32 THEN 'non-compliant' END
                AS server_says,
            calls.flags & 64 > 0 AS unanswered, calls.flags & 128 > 0 AS refused,
            calls.request_id, calls.correlation_id, sessions.name AS session
        FROM calls JOIN clients ON clients.id = calls.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = calls.token_id JOIN programs ON programs.id = calls.program_id
            JOIN operations ON operations.id = calls.operation_id
            JOIN sessions ON sessions.id = calls.session_id
            LEFT JOIN users ON users.id = tokens.user_id
        """,
    )
    db.create_view(
        "tools_in_words",
        """
        SELECT tools.name AS tool, tools.app_id, programs.name AS program, sessions.machine,
            ifnull(programs.account, sessions.account) AS account, programs.started_by,
            iif(sessions.kind = 'import', sessions.source, NULL) AS capture, users.name AS user,
            tokens.verdict AS token_verdict, tokens.reason AS token_reason, sum(totals.calls) AS requests,
            sum(totals.accepted) AS accepted, sum(totals.blocked) AS blocked,
            sum(totals.blocked_by_test) AS blocked_by_test, sum(totals.expired) AS expired,
            sum(totals.server_compliant) AS server_compliant,
            sum(totals.server_non_compliant) AS server_non_compliant,
            sum(totals.unanswered) AS unanswered, sum(totals.refused) AS refused,
            count(DISTINCT totals.token_id) AS tokens,
            strftime('%Y-%m-%dT%H:%M:%SZ', min(totals.first) / 1000, 'unixepoch') AS first_seen,
            strftime('%Y-%m-%dT%H:%M:%SZ', max(totals.last) / 1000, 'unixepoch') AS last_seen
        FROM totals JOIN clients ON clients.id = totals.client_id JOIN tools ON tools.id = clients.tool_id
            JOIN tokens ON tokens.id = totals.token_id JOIN programs ON programs.id = totals.program_id
            JOIN sessions ON sessions.id = totals.session_id LEFT JOIN users ON users.id = tokens.user_id
        WHERE tokens.form <> 'none'
        GROUP BY tools.id, totals.program_id, sessions.machine, sessions.account, capture, tokens.user_id,
            tokens.verdict, tokens.reason
        """,
    )
    db.create_view("blocked_calls", "SELECT * FROM calls_in_words WHERE blocked ORDER BY time DESC")


@migrations()
def m005_sign_ins(db: Database) -> None:
    """Entra's sign-in logs: what was asked of a sign-in, beside the token that came of it (`unique_token_id`)."""
    create(
        db,
        """
CREATE TABLE sign_ins (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    request_id TEXT,
    unique_token_id TEXT,
    application_id TEXT NOT NULL,
    application TEXT,
    resource_id TEXT,
    resource TEXT,
    tenant TEXT,
    user_id INTEGER REFERENCES users (id),
    kind TEXT,
    protocol TEXT,
    requirement TEXT,
    required_by TEXT,
    conditional_access TEXT,
    policies TEXT,
    mfa TEXT,
    error INTEGER,
    trusted_network INTEGER
);
CREATE UNIQUE INDEX sign_ins_identity ON sign_ins (
    application_id, at, ifnull(request_id, ''), ifnull(unique_token_id, ''), ifnull(user_id, 0)
);
CREATE TABLE fetches (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    covered_from INTEGER NOT NULL,
    covered_to INTEGER NOT NULL,
    rows INTEGER NOT NULL
);
CREATE INDEX sign_ins_token ON sign_ins (unique_token_id) WHERE unique_token_id IS NOT NULL;
""",
    )


@migrations()
def m006_derived_names(db: Database) -> None:
    """What a program is called in each of its runs, and the version of the rules that names were derived by."""
    create(
        db,
        """
ALTER TABLE programs ADD COLUMN stable_name TEXT NOT NULL DEFAULT '';
ALTER TABLE programs ADD COLUMN naming INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN naming INTEGER NOT NULL DEFAULT 0;
CREATE INDEX programs_stable_name ON programs (stable_name);
UPDATE programs SET stable_name = name;
""",
    )


@migrations()
def m007_journal(db: Database) -> None:
    """How far the journal of a session is in the tables, and the number of each call in its session."""
    create(
        db,
        """
ALTER TABLE sessions ADD COLUMN journal_segment INTEGER NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN journal_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN number INTEGER;
""",
    )


@migrations()
def m008_machine_ids(db: Database) -> None:
    """What tells machines of one name apart."""
    create(
        db,
        """
ALTER TABLE sessions ADD COLUMN machine_id TEXT;
""",
    )

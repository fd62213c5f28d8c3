"""Opening, reading and copying database files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.store import files, schema
from mfa_audit.store.reading import read_ledger
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session
from mfa_audit.store.snapshot import copy_database
from observed import fill, observe, query

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
FOREIGN = {
    "text": b"not a database",
    "long text": b"not a database\n" * 1000,
    "one byte": b"x",
    "cut header": b"SQLite for",
}


def names_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@posix
def test_all_files_are_private(tmp_path: Path) -> None:
    """Database, log, shared memory, backup and folder can be read by their owner only, whatever the umask."""
    before = os.umask(0)
    try:
        path = tmp_path / "new" / "audit.db"
        recording = Recording(path, Session("proxy", 0.0), "NORMAL")
        recording.transact([observe()], [])
        copy_database(path, tmp_path / "new" / "copy.db")
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
        recording.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("audit.db", "audit.db-shm", "audit.db-wal", "copy.db"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_reading_a_missing_file_makes_none(tmp_path: Path) -> None:
    """A report on a database that is not there says so and creates nothing."""
    with pytest.raises(AuditError, match="there is no database"):
        read_ledger(tmp_path / "audit.db")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(database: Path, content: bytes) -> None:
    """A file that is no SQLite database is refused for reading and for writing, and stays as it is."""
    database.write_bytes(content)
    with pytest.raises(AuditError, match="not an audit database"):
        read_ledger(database)
    with pytest.raises(AuditError, match="not an audit database"):
        files.open_for_writing(database)
    assert content == database.read_bytes()
    assert names_in(database.parent) == ["audit.db"]


def test_another_programs_database_is_refused(database: Path) -> None:
    """An SQLite database of another program is refused for reading and for writing, and stays as it is."""
    query(database, "CREATE TABLE theirs (x)")
    before = database.read_bytes()
    with pytest.raises(AuditError, match="not an audit database"):
        read_ledger(database)
    with pytest.raises(AuditError, match="not an audit database"):
        files.open_for_writing(database)
    assert before == database.read_bytes()


def test_a_newer_file_is_refused(database: Path) -> None:
    """A database of a newer mfa-audit is refused, with the advice to upgrade."""
    fill(database, [observe()])
    query(
        database,
        f"INSERT INTO {schema.MIGRATIONS_TABLE} (migration_set, name, applied_at) VALUES (?, 'm999', '')",
        schema.MIGRATION_SET,
    )
    for use in (read_ledger, files.open_for_writing):
        with pytest.raises(AuditError, match="newer mfa-audit"):
            use(database)


def test_an_older_file_is_migrated_with_a_backup(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an older schema is read as it is, and migrated by the first that writes, with a backup beside it."""
    from sqlite_utils import Database, Migrations

    from mfa_audit.store import migrations

    fill(database, [observe(), observe()])
    newer = Migrations(schema.MIGRATION_SET)
    for migration in migrations.migrations.pending(Database(memory=True)):
        newer(name=migration.name)(migration.fn)

    @newer()
    def more(db: Database) -> None:
        db.execute("ALTER TABLE sessions ADD COLUMN more TEXT")

    monkeypatch.setattr(migrations, "migrations", newer)
    version = schema.VERSION + 1
    monkeypatch.setattr(schema, "VERSION", version)
    assert 2 == sum(use.stretch.counts.calls for use in read_ledger(database).uses)
    assert names_in(database.parent) == ["audit.db"]

    fill(database, [observe()])
    assert names_in(database.parent) == ["audit.db", f"audit.db.before-v{version}"]
    assert [(2,)] == query(database.with_name(f"audit.db.before-v{version}"), "SELECT count(*) FROM calls")
    assert [(3,)] == query(database, "SELECT count(*) FROM calls")
    assert query(database, "SELECT more FROM sessions") == [(None,), (None,)]


def test_an_empty_file_becomes_a_database(database: Path) -> None:
    """A file that a crash left empty is taken for a new one; a reader is told that it is none yet."""
    database.touch()
    with pytest.raises(AuditError, match="not an audit database"):
        read_ledger(database)
    fill(database, [observe()])
    assert 1 == read_ledger(database).tokens


def test_a_damaged_file_is_said_to_be(database: Path) -> None:
    """A database with broken pages gives one clear sentence, no traceback and no other file."""
    fill(database, [observe() for _ in range(50)])
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 20_000)
    with pytest.raises(AuditError, match="cannot read the database"):
        read_ledger(database)
    assert names_in(database.parent) == ["audit.db"]


@posix
def test_reading_leaves_nothing_behind() -> None:
    """Reading needs no right to write, neither to the file nor to its folder, and leaves no file there."""
    folder = Path(tempfile.mkdtemp())
    database = folder / "audit.db"
    fill(database, [observe()])
    code = (
        "import os, sys, urllib.request; from pathlib import Path\n"
        "from mfa_audit.store.reading import read_ledger\n"
        # Root may write anywhere, so give that up.
        "if os.getuid() == 0: os.setuid(65534)\n"
        "print(read_ledger(Path(sys.argv[1])).tokens, os.access(sys.argv[1], os.W_OK))"
    )
    database.chmod(0o444)
    folder.chmod(0o555)
    try:
        found = subprocess.run(
            [sys.executable, "-c", code, str(database)], capture_output=True, text=True, check=False
        )
        assert "1 False\n" == found.stdout, found.stderr
        assert names_in(folder) == ["audit.db"]
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_reader_in_the_writers_process_drops_no_locks(database: Path) -> None:
    """A recorder keeps its rows although its own process reads the file and another process closes it.

    On POSIX, closing any descriptor of a file drops the locks of the whole process; the other process would then
    remove the write-ahead log as the last user of the database.
    """
    recording = Recording(database, Session("proxy", 0.0), "NORMAL")
    recording.transact([observe()], [])
    other = (
        "import sys; from pathlib import Path; from mfa_audit.store.session_writer import *;"
        "r = Recording(Path(sys.argv[1]), Session('run', 0.0), 'NORMAL'); r.close()"
    )
    for _ in range(2):
        read_ledger(database)
        subprocess.run([sys.executable, "-c", other, str(database)], check=True)
        read_ledger(database)
        recording.transact([observe()], [])
    assert [(3,)] == query(database, "SELECT count(*) FROM calls")
    recording.close()


def test_two_recorders_start_at_once(database: Path) -> None:
    """Eight processes that start recording into the same new file at once all get their session into it."""
    code = (
        "import sys; from pathlib import Path; from mfa_audit.store.session_writer import *;"
        "Recording(Path(sys.argv[1]), Session('run', 0.0), 'NORMAL').close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(database)], stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    assert [""] * 8 == [one.communicate()[1] for one in started]
    assert [(8,)] == query(database, "SELECT count(*) FROM sessions")


def test_a_copy_is_whole_while_others_write(database: Path, tmp_path: Path) -> None:
    """A backup taken between commits is one file with all that was committed, and its SHA-256 is right."""
    import hashlib

    recording = Recording(database, Session("proxy", 0.0), "NORMAL")
    recording.transact([observe() for _ in range(100)], [])
    target = tmp_path / "copy.db"
    digest = copy_database(database, target)
    recording.transact([observe()], [])
    assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
    assert [("ok",)] == query(target, "PRAGMA integrity_check")
    assert [(100,)] == query(target, "SELECT count(*) FROM calls")
    assert not list(tmp_path.glob("copy.db?*"))
    recording.close()


def test_a_copy_replaces_only_an_audit_database(database: Path, tmp_path: Path) -> None:
    """A backup does not overwrite itself nor a file that is no audit database, but an earlier backup."""
    fill(database, [observe()])
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    with pytest.raises(AuditError, match="not an audit database"):
        copy_database(database, mine)
    assert "mine" == mine.read_text()
    with pytest.raises(AuditError, match="the database itself"):
        copy_database(database, database)
    target = tmp_path / "copy.db"
    copy_database(database, target)
    fill(database, [observe()])
    copy_database(database, target)
    assert [(2,)] == query(target, "SELECT count(*) FROM calls")
    with pytest.raises(AuditError, match="cannot copy"):
        copy_database(database, tmp_path / "nowhere" / "copy.db")


def test_full_synchronous_reaches_sqlite(database: Path) -> None:
    """`synchronous` is set on the connection: 1 is NORMAL, 2 is FULL."""
    found = []
    for level in ("NORMAL", "FULL"):
        with closing(files.open_for_writing(database, synchronous=level)) as connection:
            found.append(connection.execute("PRAGMA synchronous").fetchone()[0])
    assert [1, 2] == found


@posix
def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    """A database in a place where none can be made gives one sentence that names it."""
    with pytest.raises(AuditError, match="cannot write the database"):
        files.open_for_writing(Path("/proc/nowhere/audit.db"))
    with pytest.raises(AuditError, match="cannot write the database"):
        files.open_for_writing(tmp_path)


def test_a_database_outside_the_profile_is_warned_of(tmp_path: Path, home: Path) -> None:
    """On Windows, where a file takes its folder's permissions, a database outside the user's profile is warned of."""
    said: list[str] = []
    files.warn_if_shared(home / "audit.db", said.append, platform="win32")
    files.warn_if_shared(tmp_path / "audit.db", said.append, platform="linux")
    assert [] == said
    files.warn_if_shared(tmp_path / "audit.db", said.append, platform="win32")
    assert [
        f"{tmp_path / 'audit.db'} lies outside your profile folder: check who can read that folder."
    ] == said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can plant this")
def test_a_file_system_without_shared_memory(database: Path) -> None:
    """Where SQLite cannot share memory between programs, recording ends at its start with the cause and a remedy."""
    os.mknod(f"{database}-shm", stat.S_IFCHR | 0o600, os.makedev(1, 3))  # a device, which cannot be mapped
    with pytest.raises(
        AuditError, match=r"share no memory, .*; use a local disk\. Name another with --db\.$"
    ):
        Recording(database, Session("proxy", 0.0), "NORMAL")


@pytest.mark.parametrize("is_torn", [False, True])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_write_during_a_read_is_not_missed(database: Path, is_open: bool, is_torn: bool) -> None:
    """What is written while a quiet file is read is in the report, also where the reader came upon half a page."""
    fill(database, [observe()])
    with closing(sqlite3.connect(database)) as other:
        passes: list[int] = []

        def count(connection: sqlite3.Connection) -> int:
            (lost,) = connection.execute("SELECT sum(lost) FROM sessions").fetchone()
            passes.append(lost)
            if len(passes) == 1:
                other.execute("UPDATE sessions SET lost = 7")
                other.commit()
                if not is_open:
                    other.close()
                if is_torn:
                    raise sqlite3.DatabaseError("database disk image is malformed")
            return int(lost)

        assert 7 == files.read(database, count)

"""Finding and reading journals: in order, from a position on, while they are written, whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from journals import write_segment
from mfa_audit.store import journal as journal_module
from mfa_audit.store.journal import Journal, choose_folder, journal_folders
from mfa_audit.store.records import Recorded
from mfa_audit.store.segments import Missing, Position, Reader, find_journals
from mfa_audit.store.sessions import Session
from observed import observe

SESSION = Session("proxy", 1_700_000_000.0)


def put(database: Path, number: int, content: bytes, session: Session = SESSION) -> Path:
    folder = journal_folders(database)[0]
    folder.mkdir(exist_ok=True)
    path = folder / f"{session.uuid}-{number:06}.journal"
    path.write_bytes(content)
    return path


def make_reader(database: Path) -> Reader:
    return Reader(SESSION.uuid, lambda: find_journals(database).sessions.get(SESSION.uuid, {}))


def calls(first: int, after: int) -> list[Recorded]:
    return [Recorded(number, observe()) for number in range(first, after)]


def numbers(events: list[object]) -> list[int | Missing]:
    return [event.number if isinstance(event, Recorded) else event for event in events]  # type: ignore[misc]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new segment after every few calls."""
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 1_200)


def test_what_a_journal_takes_is_read_in_order(database: Path, small_segments: None) -> None:
    """Over many segments, a few events at a time, and again from each position on."""
    journal = Journal(choose_folder(database), SESSION)
    reader = make_reader(database)
    positions = []
    for _ in range(30):
        journal.add_call(observe())
        positions.append(reader.position)
        assert [len(positions)] == numbers(reader.read(1))
    assert journal._segment > 3
    for number, position in enumerate(positions):
        reader.seek(position)
        assert list(range(number + 1, 31)) == numbers(reader.read(100))
    journal.close()


def test_a_journal_is_private(database: Path) -> None:
    """Folder and file are the user's alone."""
    journal = Journal(choose_folder(database), SESSION)
    journal.close()
    if os.name == "posix":
        assert (0o700, 0o600) == (
            journal.folder.stat().st_mode & 0o777,
            journal.path.stat().st_mode & 0o777,
        )
    assert database.with_name("audit.db.journal") == journal.folder


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda data: data[:-1], [1, 2, 3, Missing(1), 5, 6]),  # torn, but another segment follows
        (lambda data: data[:-50] + b"x" * 50, [1, 2, Missing(1), Missing(1), 5, 6]),
        (lambda data: b"", [Missing(4), 5, 6]),
        (lambda data: b"nonsense" * 100, [Missing(1), Missing(3), 5, 6]),
        (lambda data: write_segment(Session("run", 1.0), 1, 0, calls(1, 5)), [Missing(1), Missing(3), 5, 6]),
        (lambda data: write_segment(SESSION, 2, 0, calls(1, 5)), [Missing(1), Missing(3), 5, 6]),
    ],
    ids=["torn", "damaged", "empty", "nonsense", "foreign", "renamed"],
)
def test_calls_that_cannot_be_read_are_told(
    database: Path, spoil: Callable[[bytes], bytes], found: list[object]
) -> None:
    """What is before the damage and in later segments is read, and how many are missing between is known."""
    put(database, 1, spoil(write_segment(SESSION, 1, 0, calls(1, 5))))
    put(database, 2, write_segment(SESSION, 2, 4, calls(5, 7)))
    reader = make_reader(database)
    assert found == numbers(reader.read(100))
    assert [] == reader.read(100)
    reader.close()


def test_a_torn_end_is_dropped(database: Path) -> None:
    """The last record of the last segment was being written when its writer died."""
    put(database, 1, write_segment(SESSION, 1, 0, calls(1, 5))[:-1])
    reader = make_reader(database)
    assert [1, 2, 3] == numbers(reader.read(100))
    assert [] == reader.read(100)
    assert reader.is_left()
    reader.close()


def test_a_segment_that_is_gone_is_told(database: Path) -> None:
    """A reader that was in the middle of one that somebody deleted says so."""
    put(database, 1, write_segment(SESSION, 1, 0, calls(1, 5)))
    put(database, 3, write_segment(SESSION, 3, 9, calls(10, 12)))
    reader = make_reader(database)
    assert [1, 2, 3, 4, Missing(5), 10, 11] == numbers(reader.read(100))
    reader.seek(Position(2, 500))
    assert [Missing(1), 10, 11] == numbers(reader.read(100))
    reader.close()


def test_damage_before_the_position_is_told(database: Path) -> None:
    """A segment that broke where it was read before cannot be read on, and that is told once."""
    data = bytearray(write_segment(SESSION, 1, 0, calls(1, 5)))
    path = put(database, 1, bytes(data))
    reader = make_reader(database)
    reader.read(2)
    position = reader.position
    data[len(data) // 8] ^= 1
    path.write_bytes(bytes(data))
    reader.seek(position)
    assert [Missing(1)] == reader.read(100)
    assert [] == reader.read(100)
    reader.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows tells by a file that cannot be renamed")
def test_a_writer_that_lives_is_known(database: Path) -> None:
    """A journal that is open for writing is not left, also where that is in the same process."""
    journal = Journal(choose_folder(database), SESSION)
    reader = make_reader(database)
    reader.read(1)
    assert not reader.is_left()
    journal.close()
    assert reader.is_left()
    reader.close()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="needs to make another account's file")
def test_another_accounts_journal_is_not_read(database: Path) -> None:
    """A segment that belongs neither to the database's owner nor to us is counted, and not read."""
    database.touch()
    path = put(database, 1, write_segment(SESSION, 1, 0, calls(1, 5)))
    assert 0 == find_journals(database).closed
    os.chown(path, 12345, 12345)
    assert ({}, 1) == find_journals(database)
    os.chown(database, 12345, 12345)
    assert 0 == find_journals(database).closed


def test_links_and_odd_names_are_no_journals(database: Path, tmp_path: Path) -> None:
    """A link is counted as one that cannot be read; a file of another name is nobody's journal."""
    path = put(database, 1, write_segment(SESSION, 1, 0, calls(1, 5)))
    target = tmp_path / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    path.with_name("notes.txt").write_text("mine")
    path.with_suffix(".new").write_bytes(b"")
    assert ({}, 1) == find_journals(database)


def test_a_database_on_a_share_has_its_journal_here(
    database: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of a database on a network share lies in the local state folder, and is found there."""
    monkeypatch.setattr(journal_module, "is_local", lambda path: False)
    journal = Journal(choose_folder(database), SESSION)
    journal.add_call(observe())
    assert home in journal.folder.parents
    assert [SESSION.uuid] == list(find_journals(database).sessions)
    journal.close()

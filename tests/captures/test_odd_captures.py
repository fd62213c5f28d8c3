"""Every reader on captures that are broken in bytes or in structure: a sentence, and never an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from odd_captures import FORMATS, make_odd, read_corpus, read_odd

# Some seconds for all formats together; more are tried by scripts/grow_corpus.py.
SEEDS = range(400)


@pytest.mark.parametrize("kind", FORMATS)
def test_odd_captures_never_raise(tmp_path: Path, kind: str) -> None:
    """Whatever stands in a capture of any format, reading and judging it raises AuditError at most."""
    path = tmp_path / "odd"
    read = 0
    for seed in SEEDS:
        path.write_bytes(make_odd(kind, seed))
        try:
            read += bool(read_odd(path))
        except BaseException as error:
            error.add_note(f"make_odd({kind!r}, {seed})")
            raise
    assert kind in ("list", "sign-ins", "csv") or read > len(SEEDS) // 5


def test_what_once_reached_new_code_never_raises(tmp_path: Path) -> None:
    """The saved corpus, as the changes of good captures, costs no reading."""
    path = tmp_path / "odd"
    count = 0
    for data in read_corpus():
        path.write_bytes(data)
        read_odd(path)
        count += 1
    assert count > 50

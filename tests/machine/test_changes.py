"""changes: what was done to trust stores is remembered until it is gone, and believed only from who may say it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities, folders
from mfa_audit.machine.trust import Scope, changes
from mfa_audit.machine.trust.changes import Change


@pytest.fixture
def der(tmp_path: Path) -> bytes:
    """A certificate of ours."""
    authority = authorities.create(tmp_path / "ca", keeps_key=False)
    return ssl.PEM_cert_to_DER_cert(authority.pem().decode())


def test_the_last_change_counts(der: bytes) -> None:
    """A store is being changed, then trusts, then is clean; each store and scope by itself."""
    changes.note(Change.ADDING, "chromium", "/a", Scope.USER, der)
    assert frozenset() == changes.find_trusted()
    changes.note(Change.TRUSTED, "chromium", "/a", Scope.USER, der)
    changes.note(Change.TRUSTED, "chromium", "/b", Scope.USER, der)
    changes.note(Change.TRUSTED, "debian", "", Scope.MACHINE, der)
    assert 1 == len(changes.find_trusted())
    first, second = changes.read(Scope.USER)
    assert ("/a", "/b", der) == (first.place, second.place, first.certificate)
    changes.forget(first)
    assert [second] == changes.read(Scope.USER)
    changes.forget(second)
    assert not folders.trust_journal().exists()
    assert 1 == len(changes.read(Scope.MACHINE))


def test_what_cannot_be_read_loses_nothing_else(der: bytes) -> None:
    """A line that a power cut tore, or that another version wrote, is passed over; the others count."""
    changes.note(Change.TRUSTED, "chromium", "/a", Scope.USER, der)
    file = folders.trust_journal()
    whole = file.read_text()
    other = whole.replace('"schema_version": 1', '"schema_version": 99').replace('"/a"', '"/b"')
    file.write_text(f"{other}\n{whole[:50]}\n{whole.replace('/a', '/c')}{whole[:-20]}")
    assert ["/c"] == [entry.place for entry in changes.read(Scope.USER)]


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_who_may_read_and_write(der: bytes) -> None:
    """The account's journal is private; the machine's is read by all, and is not believed where others may write it."""
    for scope in Scope:
        changes.note(Change.TRUSTED, "debian", "", scope, der)
    machine = folders.machine_folder() / "trust.jsonl"
    assert (0o600, 0o644) == tuple(path.stat().st_mode & 0o777 for path in (folders.trust_journal(), machine))
    machine.chmod(0o666)
    with pytest.raises(AuditError, match="can write to it"):
        changes.read(Scope.MACHINE)
    folders.trust_journal().unlink()
    assert frozenset() == changes.find_trusted()

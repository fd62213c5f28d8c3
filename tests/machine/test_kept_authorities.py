"""kept_authorities: several are good at once, and which one a proxy takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities, folders, kept_authorities
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.kept_authorities import (
    KEPT_DAYS,
    RENEW_DAYS,
    choose,
    ensure,
    ensure_lasting,
    find_trusted,
)

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    """Authorities of different hosts and lengths of life."""
    folder = tmp_path_factory.mktemp("authorities")
    made: dict[str, tuple[Sequence[str], float]] = {
        "plain": ([], 80),
        "newer": ([], 90),
        "due": ([], RENEW_DAYS - 1),
        "ended": ([], -1),
        "wide": (["a.example"], 70),
    }
    return {name: authorities.create(folder / name, hosts, days=days) for name, (hosts, days) in made.items()}


@pytest.mark.parametrize(
    ("kept", "hosts", "trusted", "expected"),
    [
        ("", [], "", None),
        ("plain newer", [], "", "newer"),
        ("plain newer", [], "plain", "plain"),
        ("due", [], "", None),
        ("due", [], "due", "due"),  # its successor helps nobody until it is trusted
        ("due newer", [], "due", "due"),
        ("due newer", [], "due newer", "newer"),
        ("ended", [], "ended", None),
        ("plain", ["a.example"], "plain", None),
        ("plain wide", ["A.example."], "plain", "wide"),
        ("wide", [], "", None),  # untrusted, and good for more than was asked for
        ("wide plain", [], "wide", "wide"),
    ],
)
def test_choice(
    scene: dict[str, Authority], kept: str, hosts: list[str], trusted: str, expected: str | None
) -> None:
    """A trusted one that covers the hosts comes first, however near its end; then one for exactly these hosts."""
    chosen = choose(
        [scene[name] for name in kept.split()],
        hosts,
        {scene[name].fingerprint for name in trusted.split()},
        NOW,
    )
    assert expected == next((name for name in scene if scene[name] is chosen), None)


def test_a_kept_authority_is_kept() -> None:
    """The same hosts in any order and case give the same authority, ninety days valid, in a folder of its own."""
    started = datetime.now(UTC)
    first, second = ensure(["a.example", "b.example"]), ensure(["B.example", "a.example."])
    assert first.certificate == second.certificate
    assert timedelta(days=KEPT_DAYS - 1) < first.expires - started <= timedelta(days=KEPT_DAYS, minutes=5)
    assert folders.authorities_folder() / first.fingerprint == first.confdir


def test_other_hosts_change_nothing_for_the_first() -> None:
    """A second authority for other hosts is made beside the first, whose files stay as they are."""
    first = ensure()
    before = {path: path.read_bytes() for path in first.confdir.iterdir()}
    second = ensure(["b.example", "10.0.0.7"])
    assert ("10.0.0.7", "b.example") == second.hosts[-2:]
    assert before == {path: path.read_bytes() for path in first.confdir.iterdir()}
    assert [first.certificate, second.certificate] == [
        ensure().certificate,
        ensure(["10.0.0.7", "b.example"]).certificate,
    ]


def place(authority: Authority) -> Authority:
    """Put an authority where those are that are kept."""
    folder = folders.authorities_folder()
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    authority.confdir.rename(folder / authority.fingerprint)
    loaded = authorities.load(folder / authority.fingerprint)
    assert loaded is not None
    return loaded


def test_a_renewal_keeps_the_trusted_one_in_use(tmp_path: Path) -> None:
    """With fourteen days left a proxy takes the trusted one still; `trust` gets a new one; trusted, that is taken."""
    old = place(authorities.create(tmp_path / "old", days=RENEW_DAYS - 1))
    assert old.certificate == ensure((), {old.fingerprint}).certificate
    new = ensure_lasting((), {old.fingerprint})
    assert old.certificate != new.certificate
    assert old.certificate == ensure((), {old.fingerprint}).certificate
    assert new.certificate == ensure((), {old.fingerprint, new.fingerprint}).certificate


def test_ended_ones_are_deleted_unless_a_store_trusts_them(tmp_path: Path) -> None:
    """What has ended goes when a new one is made; one that a store still trusts stays, for `doctor` to name."""
    trusted = place(authorities.create(tmp_path / "a", days=-1))
    untrusted = place(authorities.create(tmp_path / "b", days=-2))
    ensure((), {trusted.fingerprint})
    assert (True, False) == (trusted.confdir.exists(), untrusted.confdir.exists())


def test_what_a_killed_process_was_making_is_deleted() -> None:
    """A key that a process left when it was killed in the middle goes when the next one is made."""
    draft = folders.authorities_folder() / ".new-1a2b3c4d"
    authorities.create(draft / "authority")
    kept = ensure()
    assert {kept.fingerprint, ".lock"} == {path.name for path in folders.authorities_folder().iterdir()}


def test_a_damaged_one_is_passed_over() -> None:
    """A damaged authority leads to a new one, not to an error; so does one under another's fingerprint."""
    first = ensure()
    (first.confdir / authorities.PRIVATE_FILE).write_bytes(b"")
    second = ensure()
    assert first.certificate != second.certificate
    second.confdir.rename(second.confdir.with_name("0" * 64))
    assert second.certificate != ensure().certificate


def test_for_run_only_a_trusted_one(tmp_path: Path) -> None:
    """`run` takes a kept one only where a store trusts it."""
    kept = ensure()
    assert find_trusted((), ()) is None
    found = find_trusted((), {kept.fingerprint})
    assert found is not None
    assert kept.certificate == found.certificate
    assert find_trusted(["other.example"], {kept.fingerprint}) is None


def test_processes_that_ask_at_once_agree() -> None:
    """Of several that start on an empty folder, one makes the authority and all use it."""
    with ThreadPoolExecutor(4) as pool:
        found = {one.certificate for one in pool.map(lambda _: ensure(), range(4))}
    assert 1 == len(found)


def test_an_unusable_folder_is_told(home: Path) -> None:
    """Where the folder cannot be made, the error says so in a sentence."""
    (home / "mfa-audit").touch()
    with pytest.raises(AuditError, match="cannot keep the proxy's certificate in"):
        ensure()


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
@pytest.mark.parametrize("what", ["key", "folder", "parent"])
def test_one_that_others_may_write_is_refused(what: str) -> None:
    """An authority that somebody else could have planted is not used, whichever of its folders is open to them."""
    kept = ensure()
    path = {
        "key": kept.confdir / authorities.PRIVATE_FILE,
        "folder": kept.confdir,
        "parent": kept.confdir.parent,
    }[what]
    path.chmod(path.stat().st_mode | 0o022)
    for take in (ensure, lambda: find_trusted((), {kept.fingerprint})):
        with pytest.raises(AuditError, match="its group, everybody can change"):
            take()


def test_when_one_is_due(tmp_path: Path) -> None:
    """An authority is due from fourteen days before its end on."""
    assert [True, False] == [
        kept_authorities.is_due(authorities.create(tmp_path / str(days), days=days))
        for days in (RENEW_DAYS - 1, RENEW_DAYS + 1)
    ]

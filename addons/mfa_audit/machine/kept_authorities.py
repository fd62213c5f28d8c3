"""The authorities that are kept: which there are, which one a proxy uses, and when a new one is made.

An authority never changes. Each that is kept has a folder named by its fingerprint, several are good at once, and a
new one takes nothing from a proxy that uses another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.machine.authorities import PRIVATE_FILE, Authority, create, load, permitted_hosts, writing
from mfa_audit.machine.folders import authorities_folder, machine_folder, make_private
from mfa_audit.machine.rights import strangers_of

# A kept one has to be trusted by hand again after each renewal, so a quarter of a year is a compromise between that
# chore and the harm of a stolen key.
KEPT_DAYS: Final = 90
RENEW_DAYS: Final = 14
_DRAFT: Final = ".new-"


def ensure(hosts: Sequence[str] = (), trusted: Container[str] = ()) -> Authority:
    """The authority that a proxy for the API hosts and the further `hosts` uses; a new one where `choose` has none.

    `trusted`: the fingerprints of those that a store trusts. Two processes that ask at once get the same one. Raises
    AuditError when the folder cannot be used, and when somebody else could have put the chosen one there.
    """
    return _ensure(hosts, trusted, lambda _: True)


def ensure_lasting(hosts: Sequence[str], trusted: Container[str]) -> Authority:
    """As `ensure`, but for `trust`: one that is not due for renewal."""
    return _ensure(hosts, trusted, lambda one: not is_due(one))


def find_lasting(hosts: Sequence[str], trusted: Container[str]) -> Authority | None:
    """What `ensure_lasting` would give without making one."""
    return choose([one for one in find_kept() if not is_due(one)], hosts, trusted, datetime.now(UTC))


def _ensure(hosts: Sequence[str], trusted: Container[str], suits: Callable[[Authority], bool]) -> Authority:
    chosen = choose(list(filter(suits, find_kept())), hosts, trusted, datetime.now(UTC))
    if chosen is None:
        folder = authorities_folder()
        with writing(folder):
            make_private(folder)
        with _locked(folder):
            known = list(filter(suits, _kept_in(folder)))
            chosen = choose(known, hosts, trusted, datetime.now(UTC)) or keep(folder, hosts)
            _clear(folder, trusted)
    check_owners(chosen)
    return chosen


def choose(
    kept: Sequence[Authority], hosts: Sequence[str], trusted: Container[str], now: datetime
) -> Authority | None:
    """The one of `kept` that a proxy for the further `hosts` is to use at `now`; None where a new one is needed.

    A trusted one that may sign for all of them comes first, however near its end: its successor helps nobody until
    it is trusted. Of the others one that may sign for exactly them and is not due for renewal. Of several the one that
    lasts longest. Pure.
    """
    wanted = permitted_hosts(hosts)
    valid = [one for one in kept if one.expires > now]
    for group in (
        [one for one in valid if one.fingerprint in trusted and set(wanted) <= set(one.hosts)],
        [one for one in valid if one.hosts == wanted and not is_due(one, now)],
    ):
        if group:
            return max(group, key=lambda one: one.expires)
    return None


def is_due(authority: Authority, now: datetime | None = None) -> bool:
    """Whether a kept authority is to be renewed, which begins `RENEW_DAYS` before its end."""
    return authority.expires < (now or datetime.now(UTC)) + timedelta(days=RENEW_DAYS)


def find_trusted(hosts: Sequence[str], trusted: Container[str]) -> Authority | None:
    """The kept authority for the further `hosts` that a store trusts, if there is one, for `run`.

    Raises AuditError as `check_owners` does.
    """
    chosen = choose(find_kept(), hosts, trusted, datetime.now(UTC))
    if chosen is None or chosen.fingerprint not in trusted:
        return None
    check_owners(chosen)
    return chosen


def keep(
    folder: Path,
    hosts: Sequence[str],
    *,
    prepare: Callable[[Path], None] = lambda _: None,
    finish: Callable[[Path], None] = lambda _: None,
) -> Authority:
    """Make an authority that is kept in `folder`, whole before it has its place there. Raises AuditError.

    `prepare` is given the empty folder in which it is made, before there is a key, and `finish` the authority's own.
    """
    draft = folder / f"{_DRAFT}{secrets.token_hex(4)}"
    with writing(folder):
        try:
            make_private(draft)
            prepare(draft)
            made = create(draft / "authority", hosts, days=KEPT_DAYS)
            finish(made.confdir)
            place = folder / made.fingerprint
            made.confdir.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Authority(place, made.hosts, made.certificate, made.key)


def find_kept() -> list[Authority]:
    """The authorities of this account: its own, and those that an administrator made for it."""
    found = [one for one in _kept_in(machine_folder() / "authorities") if _is_for_us(one)]
    with contextlib.suppress(AuditError):  # an account without a home may still have one of the machine
        found += _kept_in(authorities_folder())
    return found


def check_owners(authority: Authority) -> None:
    """Raise AuditError where anyone but this account or an administrator owns `authority` or may write to it.

    Where the system does not say who may, that is an error for an authority that an administrator made, and none for
    one in this account's own folder.
    """
    for path in (authority.confdir / PRIVATE_FILE, authority.confdir, authority.confdir.parent):
        try:
            strangers = strangers_of(path)
        except OSError as error:
            if not path.is_relative_to(machine_folder()):
                continue
            raise AuditError(f"cannot tell who may change {path} ({error.strerror or error}).") from error
        if strangers:
            raise AuditError(
                f"{', '.join(strangers)} can change {path}, and so put another authority there. Nothing was started. "
                "`mfa-audit doctor` says how to repair it."
            )


def _kept_in(folder: Path) -> list[Authority]:
    try:
        # Real paths: Python of the Microsoft Store sees a copy of AppData that other programs do not.
        real = folder.resolve() if os.name == "nt" else folder
        places = sorted(path for path in real.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    loaded = ((place, load(place)) for place in places)
    return [one for place, one in loaded if one is not None and one.fingerprint == place.name]


def _is_for_us(authority: Authority) -> bool:
    """Whether an authority of the machine is this account's. On Windows whoever can read it may use it."""
    return os.name != "posix" or (authority.confdir / PRIVATE_FILE).stat().st_uid == os.geteuid()


def _clear(folder: Path, trusted: Container[str]) -> None:
    """Delete the authorities that have ended and are trusted by no store, and what a killed process was making."""
    for draft in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)  # nobody makes one now: the folder is locked
    for one in _kept_in(folder):
        if one.expires < datetime.now(UTC) and one.fingerprint not in trusted:
            shutil.rmtree(one.confdir, ignore_errors=True)


@contextlib.contextmanager
def _locked(confdir: Path) -> Iterator[None]:
    """Let one process at a time look after the authority; the lock of a process that dies is freed."""
    with writing(confdir):
        file = (confdir / ".lock").open("wb")
    with file:
        with writing(confdir):
            if sys.platform == "win32":
                import msvcrt

                # Tries for ten seconds; making an authority takes less than one.
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Checks of the proxy's certificate authority: there, valid, kept private, and who trusts it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mfa_audit.doctor import Finding, State, Surroundings
from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities
from mfa_audit.machine.trust import Certificate, Store, load_certificate
from mfa_audit.machine.trust.known import known_certificates, stores_of, this_system


def check_authority(around: Surroundings) -> Finding:
    """Whether there is an authority, undamaged and valid now."""
    folder = around.authority_folder
    if not (folder / authorities.PUBLIC_FILE).exists():
        return Finding(
            "authority", State.RIGHT, "There is no authority yet; `mfa-audit proxy` makes it when it starts."
        )
    kept = authorities.load(folder)
    renew = around.delete_line(folder / authorities.PRIVATE_FILE, folder / authorities.PUBLIC_FILE)
    if kept is None:
        return Finding(
            "authority",
            State.WRONG,
            f"The authority in {folder} is damaged; the next `mfa-audit proxy` will make a new one.",
            "Delete it. What trusts it has to trust the new one: mfa-audit untrust, later mfa-audit trust.",
            renew,
        )
    if kept.expires < datetime.now(UTC) + timedelta(days=authorities.RENEW_DAYS):
        ended = kept.expires < datetime.now(UTC)
        return Finding(
            "authority",
            State.WRONG if ended else State.NOTE,
            f"The authority {'ended' if ended else 'ends'} on {kept.expires:%d %b %Y}; "
            "the next `mfa-audit proxy` will make a new one, which nothing trusts yet.",
            "Delete it. What trusts it has to trust the new one: mfa-audit untrust, later mfa-audit trust.",
            renew,
        )
    return Finding(
        "authority", State.RIGHT, f"The authority {kept.name} is valid until {kept.expires:%d %b %Y}."
    )


def check_authority_privacy(around: Surroundings) -> Finding:
    """Whether only this account can read the authority's key."""
    key = around.authority_folder / authorities.PRIVATE_FILE
    if around.windows or not key.exists():
        return Finding(
            "authority-privacy", State.RIGHT, "The authority's key is in your own folder, or not made yet."
        )
    status = key.stat()
    if status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
        return Finding(
            "authority-privacy",
            State.WRONG,
            f"Other accounts can read the authority's key ({key}): they could answer your programs in the API's place.",
            "Take their rights away; if others have been at this machine since, make a new one (mfa-audit untrust).",
            f"chmod 600 {around.quote(key)}",
        )
    return Finding("authority-privacy", State.RIGHT, "Only your account can read the authority's key.")


def check_trust(around: Surroundings) -> Finding:
    """Which stores trust the authority, and whether one still trusts an earlier one."""
    try:
        known = known_certificates(around.authority_folder)
    except AuditError as error:
        return Finding("trust", State.UNKNOWN, str(error))
    current = _current(around.authority_folder)
    stores = stores_of(this_system(), machine=False, home=around.home)
    stale = [store for store in stores for old in known if old != current and store.holds(old)]
    if stale:
        return Finding(
            "trust",
            State.WRONG,
            f"An earlier authority is still trusted by: {_titles(stale)}.",
            "Take it out; afterwards run `mfa-audit trust` if programs shall trust the present one.",
            "mfa-audit untrust",
        )
    holding = [store for store in stores if current is not None and store.holds(current)]
    untold = [store for store in stores if current is not None and store.holds(current) is None]
    rest = f" Could not ask: {_titles(untold)}." if untold else ""
    if holding:
        return Finding("trust", State.RIGHT, f"The authority is trusted by: {_titles(holding)}.{rest}")
    return Finding(
        "trust",
        State.NOTE,
        f"No store trusts the authority.{rest}",
        "`run`, `browse` and `env` need none. For programs that trust the system's store only: mfa-audit trust",
    )


def _current(folder: Path) -> Certificate | None:
    try:
        return load_certificate(folder / authorities.PUBLIC_FILE)
    except AuditError:
        return None


def _titles(stores: list[Store]) -> str:
    return ", ".join(dict.fromkeys(store.title for store in stores))

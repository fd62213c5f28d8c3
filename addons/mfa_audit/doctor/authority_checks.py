"""Checks of the proxy's certificate authorities: valid, kept private, and who trusts them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from mfa_audit.doctor import Finding, State, Surroundings
from mfa_audit.errors import AuditError
from mfa_audit.machine import kept_authorities
from mfa_audit.machine.authorities import PRIVATE_FILE, load
from mfa_audit.machine.folders import machine_folder
from mfa_audit.machine.rights import readers_of, strangers_of
from mfa_audit.machine.trust import Scope, changes
from mfa_audit.machine.trust.changes import Change


def check_authority(around: Surroundings) -> Finding:
    """Whether the authorities that are kept can be used, and how long the trusted ones last."""
    damaged = [place for place in _places(around) if load(place) is None]
    if damaged:
        return Finding(
            "authority",
            State.WRONG,
            f"The authority in {damaged[0]} is damaged. A proxy makes a new one, which nothing trusts yet.",
            "Delete it. Where it was trusted: mfa-audit untrust, then mfa-audit trust.",
            around.delete_line(*damaged, folders=True),
        )
    trusted = changes.find_trusted()
    used = [one for one in kept_authorities.find_kept() if one.fingerprint in trusted]
    last = max(used, key=lambda one: one.expires, default=None)
    if last is not None and kept_authorities.is_due(last):
        return Finding(
            "authority",
            State.WRONG,
            f"The authority {last.name}, the last one that a store trusts, ends on {last.expires:%d %b %Y}.",
            "Make the next one and have it trusted; proxies take it when they are started again.",
            _trust_line(last.fingerprint),
        )
    if last is not None:
        sentence = f"The trusted authority {last.name} is valid until {last.expires:%d %b %Y}."
    else:
        sentence = "No store trusts an authority of ours; `run`, `browse` and `env` need none."
    return Finding("authority", State.RIGHT, sentence)


def _trust_line(fingerprint: str) -> str:
    """The line that puts the next authority where the one of that fingerprint is."""
    entries = [entry for scope in Scope for entry in changes.read(scope) if entry.fingerprint == fingerprint]
    options = "".join(f" --store {key}" for key in dict.fromkeys(entry.store for entry in entries))
    machine = any(entry.store in ("windows-machine", "macos-system") for entry in entries)
    return f"mfa-audit trust{' --machine' * machine}{options}"


def check_authority_privacy(around: Surroundings) -> Finding:
    """Whether only this account can read an authority's key, and nobody else can put another in its place."""
    every = [*_places(around), *(one.confdir for one in kept_authorities.find_kept())]
    paths = [around.authorities, *(path for place in every for path in (place, place / PRIVATE_FILE))]
    for path in dict.fromkeys(paths):
        try:
            strangers, readers = strangers_of(path), readers_of(path) if path.name == PRIVATE_FILE else []
        except FileNotFoundError:
            continue
        except OSError as error:
            return Finding(
                "authority-privacy", State.UNKNOWN, f"Could not look at {path} ({error.strerror})."
            )
        if not strangers and not readers:
            continue
        who = ", ".join(dict.fromkeys([*strangers, *readers]))
        return Finding(
            "authority-privacy",
            State.WRONG,
            f"Not only your account can {'change' if strangers else 'read'} {path}, but: {who}. They could answer your "
            "programs in the API's place.",
            "Take it from them; if others have been at this machine since, delete the authority (mfa-audit untrust).",
            _own_line(around, path),
        )
    return Finding("authority-privacy", State.RIGHT, "Only your account can use the authorities' keys.")


def _own_line(around: Surroundings, path: Path) -> str:
    word = around.quote(path)
    if around.windows:
        return f'icacls {word} /inheritance:r /grant:r "$($env:USERNAME):F" "*S-1-5-18:F" "*S-1-5-32-544:F"'
    own, sudo = os.geteuid(), "sudo " if os.geteuid() else ""
    taking = "" if path.stat().st_uid in (0, own) else f"{sudo}chown {own} {word} && "
    return f"{taking}chmod go-rwx {word}"


def check_trust(around: Surroundings) -> Finding:
    """What the journal of trust says, and whether anything in it is of no use any more."""
    try:
        entries = [entry for scope in Scope for entry in changes.read(scope)]
    except AuditError as error:
        return Finding(
            "trust", State.WRONG, str(error), "Look who wrote it; then delete it.", _journal_line(around)
        )
    now = datetime.now(UTC)
    kept = {one.fingerprint for one in kept_authorities.find_kept() if one.expires > now}
    half = [entry for entry in entries if entry.change is Change.ADDING]
    if half:
        return Finding(
            "trust",
            State.WRONG,
            f"`mfa-audit trust` did not finish with the store {half[0].store} {half[0].place}".rstrip() + ".",
            "Take back what it may have done; then repeat it.",
            "mfa-audit untrust",
        )
    stale = [entry for entry in entries if entry.scope is Scope.USER and entry.fingerprint not in kept]
    if stale:
        return Finding(
            "trust",
            State.WRONG,
            f"A store still trusts an authority that is gone or has ended: {stale[0].store} {stale[0].place}".rstrip()
            + ".",
            "Take it out; afterwards run `mfa-audit trust` if programs shall trust the present one.",
            "mfa-audit untrust",
        )
    if entries:
        stores = ", ".join(dict.fromkeys(f"{entry.store} {entry.place}".rstrip() for entry in entries))
        return Finding("trust", State.RIGHT, f"Trusted since {entries[0].time[:10]} by: {stores}.")
    return Finding(
        "trust",
        State.NOTE,
        "No store trusts an authority of ours.",
        "`run`, `browse` and `env` need none. For programs that trust the system's store only: mfa-audit trust",
    )


def _journal_line(around: Surroundings) -> str:
    line = around.delete_line(machine_folder() / "trust.jsonl")
    return line if around.windows or not os.geteuid() else f"sudo {line}"


def _places(around: Surroundings) -> list[Path]:
    try:
        return sorted(path for path in around.authorities.iterdir() if not path.name.startswith("."))
    except OSError:
        return []

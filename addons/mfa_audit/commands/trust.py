"""`mfa-audit trust` and `mfa-audit untrust`: the proxy's authority into the trust stores and out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import click

from mfa_audit.commands import quiet_option
from mfa_audit.errors import AuditError
from mfa_audit.machine import folders
from mfa_audit.machine.trust import Certificate, Store, load_certificate
from mfa_audit.machine.trust.known import (
    SYSTEMS,
    authority_file,
    authority_to_come,
    forget,
    known_certificates,
    remember,
    stores_of,
    this_system,
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    decorators = [
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("--machine", is_flag=True, help="Windows, macOS: for every account, services included."),
        click.option(
            "--store", "keys", multiple=True, metavar="NAME", help="Only this kind of store (repeatable)."
        ),
        click.option(
            "--ca", type=click.Path(path_type=Path, dir_okay=False), help="Another certificate's PEM file."
        ),
        click.option("--system", type=click.Choice(SYSTEMS), help="With --dry-run: as on another system."),
        quiet_option,
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


@click.command(epilog="Example: mfa-audit trust --dry-run")
@_options
def command(
    *, dry_run: bool, machine: bool, keys: Sequence[str], ca: Path | None, system: str | None, quiet: bool
) -> None:
    """Let this computer's programs trust the proxy's authority.

    It can vouch for Partner Center's hosts only. Everything done is said first; `mfa-audit untrust` undoes
    it.
    """
    say = _speaker(quiet)
    folder = folders.authority_folder()
    if ca is None and dry_run:
        certificate = authority_to_come(folder)
    else:
        certificate = load_certificate(ca or authority_file(folder))
    say(f"The authority: {certificate.name}, {certificate.file}")
    if not certificate.der:
        say("There is none yet: the command without --dry-run makes it. X stands for its number.")
    failed = False
    for store in _chosen(system, machine=machine, dry_run=dry_run, keys=keys):
        state = store.holds(certificate)
        if state and not dry_run:
            say(f"{store.title}: has it already.")
            continue
        if store.obstacle is not None and not dry_run:
            say(f"{store.title}: not changed, {store.obstacle}.")
            failed |= bool(keys)  # who did not ask for this store in particular misses nothing he could have
            continue
        _change(store, "add", certificate, dry_run=dry_run, say=say)
        failed |= not dry_run and _look(store, certificate, say) is False
    if not dry_run:
        remember(certificate, folder)
    if failed:
        raise SystemExit(2)


@click.command(epilog="Example: mfa-audit untrust")
@_options
def untrust(
    *, dry_run: bool, machine: bool, keys: Sequence[str], ca: Path | None, system: str | None, quiet: bool
) -> None:
    """Take the proxy's authority, and every earlier one, out of the stores, and look that it is gone."""
    say = _speaker(quiet)
    known = [load_certificate(ca)] if ca is not None else known_certificates(folders.authority_folder())
    failed = False
    for store in _chosen(system, machine=machine, dry_run=dry_run, keys=keys):
        for certificate in known:
            if store.holds(certificate) is False and not dry_run:
                say(f"{store.title}: {certificate.name} is not there.")
                continue
            if store.obstacle is not None and not dry_run:
                say(f"{store.title}: not changed, {store.obstacle}.")
                failed |= store.holds(certificate) is True
                continue
            _change(store, "remove", certificate, dry_run=dry_run, say=say)
            failed |= not dry_run and _look(store, certificate, say) is True
    if not known:
        say("No authority of mfa-audit was ever made or trusted here.")
    if failed:
        raise SystemExit(2)
    if not dry_run and not keys and ca is None:
        forget(folders.authority_folder())


_STATES: Final = {
    True: "It is there.",
    False: "It is not there.",
    None: "Could not look whether it is there.",
}


def _look(store: Store, certificate: Certificate, say: Callable[[str], None]) -> bool | None:
    state = store.holds(certificate)
    say(f"  {_STATES[state]}")
    return state


def _change(
    store: Store,
    what: Literal["add", "remove"],
    certificate: Certificate,
    *,
    dry_run: bool,
    say: Callable[[str], None],
) -> None:
    """Say each step, and do it unless `dry_run`; a step that fails ends this store, not the others."""
    say(f"{store.title}: {'would ' if dry_run else ''}{what} {certificate.name}")
    if store.remark is not None and what == "add":
        say(f"  {store.remark}")
    for step in store.add(certificate) if what == "add" else store.remove(certificate):
        say(f"  {step}")
        try:
            if not dry_run:
                step.perform()
        except AuditError as error:
            click.echo(f"  failed: {error}", err=True)
            return


def _chosen(system: str | None, *, machine: bool, dry_run: bool, keys: Sequence[str]) -> list[Store]:
    if system is not None and not dry_run:
        raise AuditError("--system shows what another system would be told; add --dry-run")
    every = stores_of(system or this_system(), machine=machine, home=folders.user_home())
    known = sorted({store.key for store in every})
    for key in keys:
        if key not in known:
            raise AuditError(f"there is no store {key!r} here; --store takes {', '.join(known)}")
    return [store for store in every if not keys or store.key in keys]


def _speaker(quiet: bool) -> Callable[[str], None]:
    return lambda sentence: None if quiet else click.echo(sentence, err=True)

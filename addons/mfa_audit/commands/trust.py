"""`mfa-audit trust`: the proxy's authority into the trust stores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.terminal import say
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import check_hosts
from mfa_audit.machine import folders, kept_authorities, proxies, service_accounts
from mfa_audit.machine.authorities import PUBLIC_FILE
from mfa_audit.machine.environment.shells import quote
from mfa_audit.machine.trust import Certificate, Scope, Step, Store, changes, load_certificate
from mfa_audit.machine.trust.changes import Change
from mfa_audit.machine.trust.known import SYSTEMS, stores_of, this_system
from mfa_audit.printable import line


@click.command(epilog="Example: mfa-audit trust --dry-run")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--machine", is_flag=True, help="Windows, macOS: for every account, services included.")
@click.option(
    "--for", "account", metavar="ACCOUNT", help="For a service: only this account can use the authority."
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A further API host. Repeatable.")
@click.option("--store", "keys", multiple=True, metavar="NAME", help="Only this kind of store. Repeatable.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The certificate of another account's authority.",
)
@click.option("--system", type=click.Choice(SYSTEMS), help="With --dry-run: as on another system.")
@quiet_option
def command(
    *,
    dry_run: bool,
    machine: bool,
    account: str | None,
    hosts: Sequence[str],
    keys: Sequence[str],
    ca: Path | None,
    system: str | None,
    quiet: bool,
) -> None:
    """Let this computer's programs trust the proxy's authority.

    It can vouch for Partner Center's hosts only. Each step is said before it is done, and written down;
    `mfa-audit untrust` takes all of them back.
    """
    folder = folders.authorities_folder()
    stores = _choose_stores(system, machine=machine or account is not None, dry_run=dry_run, keys=keys)
    if account is not None:
        stores = [store for store in stores if store.scope is Scope.MACHINE]
        in_the_way = [store.obstacle for store in stores if store.obstacle is not None]
        if in_the_way and not dry_run:
            raise AuditError(
                f"{in_the_way[0]}. {as_administrator(f'trust --machine --for {quote(account)}')}"
            )
    certificate = _choose_certificate(ca, account, check_hosts(hosts), dry_run=dry_run) or Certificate(
        folder / "X" / PUBLIC_FILE, b"", "mfa-audit XXXXXXXX", "X" * 40
    )
    say(f"The authority: {certificate.name}, {certificate.file}", quiet=quiet)
    if not certificate.der:
        say(
            "There is none yet: the command without --dry-run makes it. X stands for its number.", quiet=quiet
        )
    failed = False
    for store in stores:
        if dry_run:
            take(store, store.add(certificate), f"would add {certificate.name}", dry_run=True, quiet=quiet)
        elif store.is_trusting(certificate):
            # Where this account may not write the machine's journal, an administrator has written it.
            with contextlib.suppress(*([AuditError] if store.obstacle else [])):
                changes.note(Change.TRUSTED, store.key, store.place, store.scope, certificate.der)
            say(f"{store.title}: has it already.", quiet=quiet)
        elif store.obstacle is not None:
            say(f"{store.title}: not changed, {store.obstacle}. {_how(store, certificate)}", quiet=quiet)
            failed |= bool(
                keys
            )  # who did not ask for this store in particular misses nothing they could have
        else:
            failed |= not _add(store, certificate, quiet=quiet)
    if failed:
        raise SystemExit(2)


def _add(store: Store, certificate: Certificate, *, quiet: bool) -> bool:
    """Whether the store trusts the certificate afterwards."""
    if store.remark is not None:
        say(store.remark, quiet=quiet)
    changes.note(Change.ADDING, store.key, store.place, store.scope, certificate.der)
    done = take(store, store.add(certificate), f"add {certificate.name}", dry_run=False, quiet=quiet)
    state = store.is_trusting(certificate)
    if state or (state is None and done):
        changes.note(Change.TRUSTED, store.key, store.place, store.scope, certificate.der)
        say(f"  {'It is trusted.' if state else 'Could not look whether it is trusted.'}", quiet=quiet)
        return True
    say(
        f"  {store.title} does not trust it. Was a question answered with no? Repeat mfa-audit trust, or untrust."
    )
    return False


def take(store: Store, steps: Sequence[Step], what: str, *, dry_run: bool, quiet: bool) -> bool:
    """Say each step, and do it unless `dry_run`; whether all went well. A failed step ends this store, not others."""
    say(f"{store.title}: {what}", quiet=quiet)
    for step in steps:
        say(f"  {step}", quiet=quiet)
        try:
            if not dry_run:
                step.perform()
        except AuditError as error:
            say(f"  failed: {line(str(error), 1_000)}")
            return False
    return True


def _choose_certificate(
    ca: Path | None, account: str | None, hosts: tuple[str, ...], *, dry_run: bool
) -> Certificate | None:
    """What is to be trusted; None with `dry_run` where it would have to be made first.

    A running proxy's hosts count where none are named. Raises AuditError.
    """
    if ca is not None:
        certificate = load_certificate(ca)
        if not certificate.ours:
            raise AuditError(
                f"{ca} is no authority of mfa-audit: it has another name, or not our constraints. Nothing was changed."
            )
        return certificate
    if account is not None:
        made = None if dry_run else service_accounts.ensure_for(account, hosts)
    else:
        if not hosts:
            running = [proxy for proxy in proxies.find_all() if proxy.kind == proxies.PROXY]
            hosts = running[0].hosts if running else ()
        find = kept_authorities.find_lasting if dry_run else kept_authorities.ensure_lasting
        made = find(hosts, changes.find_trusted())
    return None if made is None else load_certificate(made.certificate_file)


def _how(store: Store, certificate: Certificate) -> str:
    """How to change a store that this account may not change."""
    if store.key in ("firefox", "chromium"):
        return ""
    machine = " --machine" if store.key in ("windows-machine", "macos-system") else ""
    return as_administrator(f"trust --store {store.key}{machine} --ca {quote(str(certificate.file))}")


def as_administrator(arguments: str) -> str:
    """A sentence with the line that gives mfa-audit these arguments as administrator, with the same folders as here."""
    home = os.environ.get(folders.HOME_VARIABLE)
    if os.name == "nt":
        setting = f"$env:{folders.HOME_VARIABLE} = {quote(home)}; " if home else ""
        return f"In a PowerShell started with 'Run as administrator': {setting}mfa-audit {arguments}"
    setting = f"env {folders.HOME_VARIABLE}={quote(home)} " if home else ""
    return f'Run: sudo {setting}"$(command -v mfa-audit)" {arguments}'


def _choose_stores(system: str | None, *, machine: bool, dry_run: bool, keys: Sequence[str]) -> list[Store]:
    if system is not None and not dry_run:
        raise AuditError("--system shows what another system would be told; add --dry-run")
    every = stores_of(system or this_system(), machine=machine, home=folders.user_home())
    known = sorted({store.key for store in every})
    for key in keys:
        if key not in known:
            raise AuditError(f"there is no store {key!r} here; --store takes {', '.join(known)}")
    return [store for store in every if not keys or store.key in keys]

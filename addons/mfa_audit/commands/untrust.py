"""`mfa-audit untrust`: everything that `trust` put into a store out again, by its journal."""

from __future__ import annotations

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.terminal import say
from mfa_audit.commands.trust import as_administrator, take
from mfa_audit.errors import AuditError
from mfa_audit.machine import scratch
from mfa_audit.machine.trust import Certificate, Scope, changes, write_certificate
from mfa_audit.machine.trust.changes import Entry
from mfa_audit.machine.trust.known import store_of
from mfa_audit.printable import line


@click.command(epilog="Example: mfa-audit untrust")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--machine", is_flag=True, help="Changes nothing: every store is looked at, the machine's too.")
@quiet_option
def command(*, dry_run: bool, machine: bool, quiet: bool) -> None:
    """Take back all that `mfa-audit trust` did, and look that it is gone.

    Only certificates that are in its journal and carry our name and constraints are removed.
    """
    del machine
    entries: list[Entry] = []
    failed = False
    for scope in Scope:
        try:
            entries += changes.read(scope)
        except AuditError as error:
            say(f"mfa-audit: {line(str(error), 1_000)}")
            failed = True
    with scratch.folder() as folder:
        for entry in entries:
            certificate = write_certificate(entry.certificate, folder / "authority.pem")
            failed |= not _take_back(entry, certificate, dry_run=dry_run, quiet=quiet)
    if not entries and not failed:
        say("Nothing to take back: mfa-audit trust changed no store here, or all of it is gone.", quiet=quiet)
    if failed:
        raise SystemExit(2)


def _take_back(entry: Entry, certificate: Certificate, *, dry_run: bool, quiet: bool) -> bool:
    """Whether the store that `entry` means is known to be without the certificate afterwards; so too with `dry_run`."""
    store, name = store_of(entry), line(certificate.name)
    if store is None or not certificate.ours:
        say(f"{line(entry.store)}: {name} was not put there by mfa-audit; left alone.")
        return False
    if entry.scope is Scope.USER and entry.account != changes.this_account():
        say(
            f"{store.title}: {name} is in the store of {line(entry.account)}; run mfa-audit untrust as that account."
        )
        return False
    if dry_run:
        return take(store, store.remove(certificate), f"would remove {name}", dry_run=True, quiet=quiet)
    before = store.holds(certificate)
    if before is False:
        say(f"{store.title}: {name} is not there.", quiet=quiet)
    elif store.obstacle is not None:
        has = "still has" if before else "may have"
        say(f"{store.title}: {has} {name}; {store.obstacle}. {as_administrator('untrust')}")
        return False
    else:
        take(store, store.remove(certificate), f"remove {name}", dry_run=False, quiet=quiet)
        after = store.holds(certificate)
        if after is not False:
            found = "It is still there." if after else "Could not look whether it is gone."
            say(f"  {found} Run mfa-audit untrust again.")
            return False
        say("  It is gone.", quiet=quiet)
    return _forget(entry)


def _forget(entry: Entry) -> bool:
    try:
        changes.forget(entry)
    except AuditError as error:
        say(f"  {line(str(error), 1_000)}")
        return False
    return True

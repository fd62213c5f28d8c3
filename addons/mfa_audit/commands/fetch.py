"""`mfa-audit fetch`: Microsoft's own lists and sign-in logs, asked for with the user's token, into the database."""

from __future__ import annotations

import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from mfa_audit.captures import microsoft_api, microsoft_lists, sign_ins
from mfa_audit.captures.entries import Reading
from mfa_audit.captures.importer import Imported, import_rows, import_sign_ins
from mfa_audit.captures.json_texts import JsonText
from mfa_audit.captures.microsoft_api import GRAPH, PARTNER_CENTER, Api, Service
from mfa_audit.captures.microsoft_lists import PartnerRequest, Row
from mfa_audit.captures.recognition import Format
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.sign_in_columns import SignIn
from mfa_audit.commands import database_option, quiet_option
from mfa_audit.commands.people_options import stored_users_option
from mfa_audit.commands.terminal import say
from mfa_audit.commands.token_input import read_stdin
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Secret
from mfa_audit.judging import tokens
from mfa_audit.judging.people import Mode, People
from mfa_audit.judging.token_finder import values_in
from mfa_audit.machine import proxies
from mfa_audit.machine.environment import roots, shells
from mfa_audit.machine.people_key import people_for
from mfa_audit.printable import count, moment
from mfa_audit.proxy.upstream import from_settings
from mfa_audit.store.imports import Importer

_DAY: Final = 24 * 3600.0
# An hour more than was fetched: sign-ins reach the log late.
_OVERLAP: Final = 3600.0
_AZ_SECONDS: Final = 60.0


@click.command(epilog="Example: mfa-audit fetch --az; mfa-audit report")
@database_option()
@click.option("--az", is_flag=True, help="Get the tokens from `az account get-access-token`.")
@click.option(
    "--only",
    type=click.Choice(["lists", "sign-ins"]),
    help="Only Partner Center's lists, or only Entra's sign-ins. Default: what there are tokens for.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and of whom; send nothing.")
@stored_users_option
@quiet_option
def command(database: Path, az: bool, only: str | None, dry_run: bool, users: str, quiet: bool) -> int:
    """Fetch Microsoft's lists of calls without MFA, and the sign-ins to Partner Center, into the database.

    Tokens come from standard input (one or two, told apart by their audience) or, with --az, from Azure CLI. They
    are sent to the service that they are for, and never stored. No other host is asked, and no redirect followed.

    Exit codes: 0 all was fetched, 2 something was not, or wrong usage.
    """
    services = [service for service in microsoft_api.SERVICES if only in (None, _ONLY[service])]
    for service in services:
        say(f"{service.name}: {_ASKED[service]}. It takes {service.rights}.", quiet=quiet)
    if dry_run:
        return 0
    held = _from_az(services) if az else _from_stdin(services)
    people = people_for(Mode(users))
    context, proxy = _trusting(), _way_out()
    failed = False
    with Importer(database) as importer:
        for service, token in held.items():
            api = Api(service, token, context=context, proxy=proxy)
            fetch = _fetch_lists if service is PARTNER_CENTER else _fetch_sign_ins
            for sentence, complete in fetch(api, importer, people):
                say(sentence, quiet=quiet and complete)
                failed |= not complete
    return 2 if failed else 0


_ONLY: Final[dict[Service, str]] = {PARTNER_CENTER: "lists", GRAPH: "sign-ins"}
_ASKED: Final[dict[Service, str]] = {
    PARTNER_CENTER: f"asks {PARTNER_CENTER.origin} for {', '.join(microsoft_api.LISTS)} (the last 7 days)",
    GRAPH: f"asks {GRAPH.origin} for the sign-ins to Partner Center (30 days at most)",
}


def _from_stdin(services: list[Service]) -> dict[Service, Secret]:
    if sys.stdin.isatty():
        raise AuditError(
            "fetch needs a token on standard input, or --az: for instance "
            "`az account get-access-token --resource https://api.partnercenter.microsoft.com --query accessToken "
            "--output tsv | mfa-audit fetch`."
        )
    held: dict[Service, Secret] = {}
    for secret in _values(read_stdin()):
        claims = tokens.read([secret]).claims
        service = microsoft_api.service_of(dict(claims))
        if service is None:
            raise AuditError(
                "A token on standard input is neither for Partner Center nor for Microsoft Graph; it was sent nowhere. "
                "Ask for one with `--resource https://api.partnercenter.microsoft.com` (or https://graph.microsoft.com)."
            )
        held[service] = _bare(secret)
    held = {service: token for service, token in held.items() if service in services}
    if not held:
        raise AuditError("There is no token on standard input for what was asked. Nothing was sent.")
    return held


def _values(given: bytes) -> list[Secret]:
    """A token a line, or JSON as `az` and PowerShell print it."""
    parts = [given] if given.lstrip()[:1] in (b"{", b"[") else given.splitlines()
    return [secret for part in parts for secret in values_in(part)]


def _bare(secret: Secret) -> Secret:
    """The token without the scheme that it may have been pasted with."""
    return Secret(secret.reveal().split()[-1])


def _from_az(services: list[Service]) -> dict[Service, Secret]:
    az = shutil.which("az")
    if az is None:
        raise AuditError(
            "Azure CLI (az) is not on the PATH: install it, or pipe a token into `mfa-audit fetch`."
        )
    held = {}
    for service in services:
        arguments = [az, "account", "get-access-token", "--resource", service.origin, "--output", "json"]
        try:
            done = subprocess.run(arguments, capture_output=True, timeout=_AZ_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditError(
                f"az did not answer ({type(error).__name__}): run `az login` and try again."
            ) from None
        try:
            held[service] = Secret(json.loads(done.stdout)["accessToken"].encode("ascii"))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Neither stdout nor stderr of az is shown: a token may be in them.
            raise AuditError(
                f"az gave no token for {service.name} (it ended with {done.returncode}): run "
                f"`az login --scope {service.origin}/.default` and try again, or leave it out with --only."
            ) from None
        if microsoft_api.service_of(dict(tokens.read([held[service]]).claims)) is not service:
            raise AuditError(f"az gave a token that is not for {service.name}; it was sent nowhere.")
    return held


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if held := roots.of_system():
        context.load_verify_locations(cadata=roots.to_pem(held).decode())
    return context


def _way_out() -> str | None:
    """The user's own proxy; ours, which a terminal's variables may name, is no way to Microsoft."""
    variables = dict(os.environ)
    for name, value in shells.restore(variables).items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    upstream = from_settings(variables, own=[proxy.url for proxy in proxies.find_all()])
    return None if upstream is None else upstream.url


def _fetch_lists(api: Api, importer: Importer, people: People) -> Iterator[tuple[str, bool]]:
    for name in microsoft_api.LISTS:
        started = time.time()
        before = importer.fetched_until(name)
        done = Imported(name, Format.MICROSOFT, Remarks())
        reading = Reading(done.remarks, started)
        oldest: list[float] = []

        def rows(name: str = name, reading: Reading = reading, oldest: list[float] = oldest) -> Iterator[Row]:
            for page in api.pages(microsoft_api.list_path(name)):
                for row in microsoft_lists.read(JsonText(io.BytesIO(page).read), reading):
                    if isinstance(row, PartnerRequest) and row.at is not None:
                        oldest.append(row.at)
                    yield row

        import_rows(rows(), importer, people, done)
        if done.trouble is not None:
            yield f"{name}: {done.trouble}", False
            continue
        full = done.rows >= microsoft_api.LIST_ROWS
        since = min(oldest, default=started) if full else started - microsoft_api.LIST_DAYS * _DAY
        importer.note_fetch(name, since, started, done.rows)
        yield f"{name}: {count(done.rows, 'row')}, {done.new_rows:,} new.", True
        yield from _cut_off(name, before, since, full=full)


def _fetch_sign_ins(api: Api, importer: Importer, people: People) -> Iterator[tuple[str, bool]]:
    for kind in microsoft_api.SIGN_IN_KINDS:
        started = time.time()
        name = f"{kind} sign-ins"
        before = importer.fetched_until(name)
        earliest = started - microsoft_api.SIGN_IN_DAYS * _DAY
        since = earliest if before is None else max(earliest, before - _OVERLAP)
        done = Imported(name, Format.SIGN_INS, Remarks())

        def rows(kind: str = kind, since: float = since, done: Imported = done) -> Iterator[SignIn]:
            for page in api.pages(microsoft_api.sign_ins_path(kind, since)):
                yield from sign_ins.read_json(JsonText(io.BytesIO(page).read), done.remarks)

        import_sign_ins(rows(), importer, people, done)
        if done.trouble is not None:
            yield f"{name}: {done.trouble}", False
            continue
        importer.note_fetch(name, since, started, done.rows)
        yield f"{name}: {count(done.rows, 'row')}, {done.new_rows:,} new.", True
        yield from _cut_off(name, before, since, full=False)


def _cut_off(name: str, before: float | None, since: float, *, full: bool) -> Iterator[tuple[str, bool]]:
    """A sentence where calls between two fetches are in neither."""
    now = datetime.now(UTC)
    if before is not None and since > before:
        yield (
            f"{name}: what happened from {moment(datetime.fromtimestamp(before, UTC), now)} to "
            f"{moment(datetime.fromtimestamp(since, UTC), now)} is missing: Microsoft shows the last 7 days and "
            "10,000 rows only. Fetch more often.",
            True,
        )
    elif full and before is None:
        yield (
            f"{name}: Microsoft's limit of 10,000 rows was reached; nothing before "
            f"{moment(datetime.fromtimestamp(since, UTC), now)} is in it.",
            True,
        )

"""`mfa-audit doctor`: looks one by one at what a recording needs, and says what is right, what is wrong, what to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from mfa_audit.commands import database_option
from mfa_audit.doctor import (
    Check,
    Finding,
    State,
    Surroundings,
    authority_checks,
    machine_checks,
    route_checks,
)
from mfa_audit.doctor.probe import Probe, Step, probe
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_HOSTS, check_hosts, is_api_host
from mfa_audit.machine import proxies
from mfa_audit.machine.folders import authorities_folder, user_home
from mfa_audit.printable import line
from mfa_audit.proxy.upstream import read_listen

CHECKS: Final[Sequence[Check]] = (
    machine_checks.check_mitmproxy,
    machine_checks.check_port,
    machine_checks.check_database,
    machine_checks.check_database_privacy,
    machine_checks.check_database_place,
    machine_checks.check_space,
    authority_checks.check_authority,
    authority_checks.check_authority_privacy,
    authority_checks.check_trust,
    route_checks.check_running,
    route_checks.check_proxy_variables,
    route_checks.check_exemptions,
    route_checks.check_trust_variables,
    route_checks.check_system_proxy,
    route_checks.check_upstream,
    route_checks.check_api,
    route_checks.check_clock,
)
_MARKS: Final = {State.RIGHT: "ok   ", State.WRONG: "WRONG", State.NOTE: "note ", State.UNKNOWN: "?    "}


@click.command(epilog="Example: mfa-audit doctor --through api.partnercenter.microsoft.com")
@database_option()
@click.option(
    "--listen", default="127.0.0.1:8080", show_default=True, help="Where `mfa-audit proxy` would listen."
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A further API host. Repeatable.")
@click.option(
    "--through", multiple=True, metavar="HOST", help="Make one call to HOST through the running proxy."
)
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
def command(
    database: Path, listen: str, hosts: tuple[str, ...], through: tuple[str, ...], as_json: bool
) -> int:
    """Check one by one what a recording needs.

    Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage or failure.
    """
    around = Surroundings(
        variables=os.environ,
        database=database,
        listen=read_listen(listen),
        authorities=authorities_folder(),
        proxies=tuple(proxies.find_all()),
        hosts=(*API_HOSTS, *check_hosts(hosts)),
        home=user_home(),
    )
    findings = [_run(check, around) for check in CHECKS]
    findings += [_through(host, around) for host in through]
    if as_json:
        content = {"schema_version": 1, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(content, indent=2))
    else:
        _print(findings)
    return 1 if any(finding.state is State.WRONG for finding in findings) else 0


def _run(check: Check, around: Surroundings) -> Finding:
    try:
        return check(around)
    except ImportError:  # our own installation is broken, which no check is about
        raise
    except Exception as error:  # one check that fails must not hide the others
        name = check.__name__.removeprefix("check_").replace("_", "-")
        return Finding(name, State.UNKNOWN, f"This could not be looked at ({type(error).__name__}).")


def _through(host: str, around: Surroundings) -> Finding:
    running = [proxy for proxy in around.proxies if proxy.kind == proxies.PROXY]
    if not running:
        raise AuditError("--through needs a running proxy; start one in another terminal: mfa-audit proxy")
    proxy = running[0]
    opened = is_api_host(host, (*around.hosts, *proxy.hosts))
    found = probe(host, route_checks.trusting(proxy.authority if opened else None), proxy.url)
    name, shown = f"through {host}", line(host)
    if found.step is Step.DONE:
        how = "opened and recorded" if opened else "passed on unopened"
        return Finding(
            name, State.RIGHT, f"{shown} answers through {proxy.url} ({found.detail}); its calls are {how}."
        )
    return Finding(
        name, State.WRONG, f"{shown} through {proxy.url}: {found.step} failed ({found.detail}).", _why(found)
    )


def _why(found: Probe) -> str:
    if found.step is Step.PROXY:
        return "The proxy has ended or does not answer: start it again with `mfa-audit proxy`."
    if found.step is Step.TUNNEL:
        return "The proxy could not reach the host: check its name, and `mfa-audit doctor` without --through."
    if found.step is Step.TLS:
        return (
            "The proxy could not speak TLS to the host, or shows a certificate that was not expected: behind a "
            "company's inspecting proxy, give its root with --set ssl_verify_upstream_trusted_ca=FILE."
        )
    return "The host took the connection but did not answer; try again, and check the host itself."


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        click.echo(f"{_MARKS[finding.state]}  {finding.id:18} {finding.sentence}")
        if finding.advice:
            click.echo(f"{'':27}{finding.advice}")
        if finding.mend:
            click.echo(f"{'':27}> {finding.mend}")
    wrong = sum(finding.state is State.WRONG for finding in findings)
    verdict = (
        "Nothing is wrong." if not wrong else f"{wrong} of {len(findings)} checks found something wrong."
    )
    click.echo(f"\n{verdict}")
    sys.stdout.flush()

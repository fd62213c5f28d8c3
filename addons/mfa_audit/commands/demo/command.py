"""`mfa-audit demo`: the whole job on this machine, with made-up tokens and a stand-in for the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click

from mfa_audit.commands import quiet_option
from mfa_audit.commands.demo import sample_clients
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.commands.demo.standin import StandIn
from mfa_audit.errors import AuditError
from mfa_audit.machine.folders import HOME_VARIABLE

ORIGIN: Final = "https://api.partnercenter.microsoft.com"

INTRODUCTION: Final = """\
This is a simulation. A stand-in for Partner Center on this machine answers, the tokens are made up,
nothing leaves this machine, and nothing of yours is read or kept. The proxy, the programs that call
through it and the report are real.
"""
CONCLUSION: Final = """
That was a simulation. To audit a script of yours: mfa-audit run -- pwsh ./nightly-sync.ps1
"""

# What `run` starts: it takes the calls' command lines from a file, one after the other.
_DRIVER: Final = """\
import json, pathlib, subprocess, sys
for command in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
"""


class Part(NamedTuple):
    """One program of the play: its name, what its token is, its command line, how many calls it makes."""

    name: str
    token: str
    command: list[str]
    calls: int


@click.command(epilog="Example: mfa-audit demo")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the recording in this new file, to try `mfa-audit report` on it.",
)
@quiet_option
def command(keep: Path | None, quiet: bool) -> int:
    """Show the whole job, offline: real programs, the real proxy, a stand-in for Partner Center.

    Exits 0 when the demonstration worked, whatever its report says, and 2 when it did not.
    """
    if keep is not None and keep.exists():
        raise AuditError(f"{keep} is there already; made-up calls belong in a new file, so name another.")
    with tempfile.TemporaryDirectory(prefix="mfa-audit-demo-") as name, StandIn() as standin:
        folder = Path(name)
        parts = write_parts(folder)
        if not quiet:
            _say(INTRODUCTION)
            for part in parts:
                _say(f"  {part.name:<22}{part.calls} calls with {part.token}")
            _say("")
        database = keep or folder / "demo.db"
        recorded = _record(standin, database, folder, parts)
        reported = _report(database)
        expected = sum(part.calls for part in parts)
        # Both end with the report's own status: 1, since one of the programs has no MFA.
        if (recorded, reported, standin.answered) != (1, 1, expected):
            raise AuditError(
                f"the demonstration did not work: run and report ended with {recorded} and {reported} instead "
                f"of 1, and {standin.answered} of {expected} calls arrived; please report it with your "
                "`mfa-audit --version`"
            )
    if not quiet:
        _say(CONCLUSION.rstrip("\n") if keep else CONCLUSION)
        if keep is not None:
            _say(f"Its recording is in {keep}: mfa-audit report {keep} --open\n")
    return 0


def write_parts(folder: Path) -> list[Part]:
    """The programs of the play, their scripts written to `folder`, by what this machine has beside Python."""
    customers = f"{ORIGIN}/v1/customers"
    # The roll-out of the rule is stepwise: the same program is served and then refused.
    nightly = [customers, f"{customers}?size=500", f"{ORIGIN}/v1/invoices", f"{customers}?enforcement=2026"]
    without_mfa = make_user_token("pwd", appid="5d2b6f60-0000-4000-8000-0000000c1133")
    dashboard = [customers, f"{ORIGIN}/v1/productupgrades"]
    with_mfa = make_user_token("pwd", "mfa", appid="0b0e3d1c-0000-4000-8000-0000000da5b0")
    usage = [f"{ORIGIN}/v1/invoices/unbilled", f"{ORIGIN}/v1/invoices/summary"]
    app_only = make_app_token()
    dashboard_script = "dashboard.js" if sample_clients.has_node() else "dashboard.py"
    if sample_clients.has_curl():
        exempt = Part("curl", "an app's own token", sample_clients.curl(app_only, usage), len(usage))
    else:
        script = sample_clients.write_script(folder, "usage-export.py", app_only, usage)
        exempt = Part("usage-export.py", "an app's own token", script, len(usage))
    return [
        Part(
            "nightly-sync.py",
            "a user's token without MFA",
            sample_clients.write_script(folder, "nightly-sync.py", without_mfa, nightly),
            len(nightly),
        ),
        Part(
            dashboard_script,
            "a user's token with MFA",
            sample_clients.write_script(folder, dashboard_script, with_mfa, dashboard),
            len(dashboard),
        ),
        exempt,
    ]


def _record(standin: StandIn, database: Path, folder: Path, parts: Sequence[Part]) -> int:
    """Send the programs through `mfa-audit run`, whose exit status is returned."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps([part.command for part in parts]), encoding="utf-8")
    done = subprocess.run(
        [
            *_mfa_audit("run", "--quiet", "--db", str(database)),
            *(word for name, value in standin.instead_of().items() for word in ("--set", f"{name}={value}")),
            *("--", sys.executable, "-c", _DRIVER, str(plan)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the programs' own output
        # Nothing of the user's is read or written, and no home folder is needed.
        env={**os.environ, HOME_VARIABLE: str(folder)},
        check=False,
    )
    return done.returncode


def _report(database: Path) -> int:
    sys.stdout.flush()
    environment = {**os.environ, HOME_VARIABLE: str(database.parent)}
    return subprocess.run(
        _mfa_audit("report", "--db", str(database)), env=environment, check=False
    ).returncode


def _mfa_audit(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mfa_audit", *arguments]


def _say(text: str) -> None:
    click.echo(text, err=True)

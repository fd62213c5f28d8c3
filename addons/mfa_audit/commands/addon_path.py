"""`mfa-audit addon`: where the file for one's own mitmproxy is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import mfa_audit
from mfa_audit.commands import quiet_option
from mfa_audit.commands.terminal import say
from mfa_audit.machine.environment.shells import quote


@click.command(epilog='Example: mitmdump -s "$(mfa-audit addon)"')
@quiet_option
def command(quiet: bool) -> None:
    """Print the path of the addon's file, for `mitmdump -s`, mitmproxy and mitmweb.

    The mitmproxy that loads it must be in the same Python environment as mfa-audit.
    """
    path = Path(mfa_audit.__file__).parent / "addon" / "script" / "partner_center_mfa.py"
    mitmdump = Path(sys.executable).with_name("mitmdump.exe" if os.name == "nt" else "mitmdump")
    call = "& " if os.name == "nt" else ""  # PowerShell's way to call a quoted path
    say(f"The mitmdump that can load it: {call}{quote(str(mitmdump))} -s {quote(str(path))}", quiet=quiet)
    click.echo(path)

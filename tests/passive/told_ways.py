"""A recording proxy whose names of hosts lead to this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from situations import PROGRAMS

from endpoints import Issuer
from processes import Running


def start_proxy(
    folder: Path, places: dict[str, int], issuer: Issuer, *arguments: str, **variables: str
) -> tuple[Running, str, Path, Path]:
    """`mfa-audit proxy` in a home of its own: the process, its address, its authority, and its database."""
    roots, database = folder / "server-roots.pem", folder / "audit.db"
    roots.write_bytes(issuer.pem)
    environment = {
        **{name: value for name, value in os.environ.items() if "PROXY" not in name.upper()},
        "HOME": str(folder),
        "USERPROFILE": str(folder),
        **variables,
    }
    command = [
        *(
            sys.executable,
            str(PROGRAMS / "proxy_here.py"),
            json.dumps(places),
            "proxy",
        ),
        *(() if "--listen" in arguments else ("--listen", "127.0.0.1:0")),
        *("--db", str(database), "--set", f"ssl_verify_upstream_trusted_ca={roots}", *arguments),
    ]
    running = Running(
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
    )
    authority = Path(running.wait_for(r"Certificate authority: (.+)")[1])
    return running, f"http://127.0.0.1:{running.wait_for_port()}", authority, database

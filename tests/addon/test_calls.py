"""Live calls through a real mitmdump with the addon: which program made each, by whatever way it came."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mfa_audit
from clients import API
from mfa_audit.commands.demo.standin import StandIn
from observed import query
from traffic import HOST

MITMDUMP = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"]
ADDON = Path(mfa_audit.__file__).parent / "addon" / "script" / "partner_center_mfa.py"
# Sends one request as it is, and waits for the answer.
SCRIPT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as proxy:
    proxy.sendall(sys.argv[2].encode())
    print(proxy.recv(65536).decode("latin-1").splitlines()[0])
"""
WAYS = {
    "GET https:// to the proxy": ("regular", f"{API}/v1/customers", "HTTP/1.1 200"),
    # Nobody listens there; asked is asked.
    "plain HTTP": ("regular", "http://127.0.0.1:1/v1/customers", "HTTP/1.1 502"),
    "reverse mode": ("reverse", "/v1/customers", "HTTP/1.1 200"),
}


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def mitmdump(folder: Path, database: Path, standin: StandIn, users: str = "name") -> Iterator[dict[str, int]]:
    """mitmdump with the addon, listening for both modes; yields their ports."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"regular": one.getsockname()[1], "reverse": other.getsockname()[1]}
    options = {
        "confdir": folder / "confdir",
        "mfa_audit_db": database,
        "mfa_audit_users": users,
        "keep_host_header": "true",
        **standin.instead_of(),
    }
    command = [*MITMDUMP, "-q", "-s", str(ADDON), "--mode", f"regular@127.0.0.1:{ports['regular']}"]
    command += ["--mode", f"reverse:{standin.origin}@127.0.0.1:{ports['reverse']}"]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        for port in ports.values():
            while not is_open(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield ports
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.CTRL_BREAK_EVENT)
        process.wait(60)


def test_programs_are_told_apart_without_a_tunnel(
    tmp_path: Path, database: Path, standin: StandIn, with_mfa: str
) -> None:
    """Two scripts that send no CONNECT are two programs, by each way, with their account and what started them."""
    cron = Path(shutil.copy(shutil.which("sh") or pytest.skip("no POSIX shell"), tmp_path / "cron"))
    with mitmdump(tmp_path, database, standin) as ports:
        for mode, target, answer in WAYS.values():
            for name in ("sync.py", "renew.py"):
                (tmp_path / name).write_text(SCRIPT)
                request = f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {with_mfa}\r\n\r\n"
                shell = f'"{sys.executable}" "{tmp_path / name}" {ports[mode]} "$0"; :'
                done = subprocess.run(
                    [cron, "-c", shell, request], capture_output=True, text=True, check=True, timeout=60
                )
                assert done.stdout.startswith(answer), done.stdout
    me = getpass.getuser()
    assert [("renew.py", me, "cron", len(WAYS)), ("sync.py", me, "cron", len(WAYS))] == query(
        database, "SELECT program, account, started_by, count(*) FROM calls_in_words GROUP BY 1, 2, 3"
    )


def test_accounts_are_hidden_with_people(
    tmp_path: Path, database: Path, standin: StandIn, with_mfa: str
) -> None:
    """With `none` for users, neither a call nor a connection that could not be read names the program's account."""
    call = f"GET {API}/v1/customers HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {with_mfa}\r\n\r\n"
    unread = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n"
    (tmp_path / "sync.py").write_text(SCRIPT)
    with mitmdump(tmp_path, database, standin, "none") as ports:
        for request in (call, unread):
            command = [sys.executable, str(tmp_path / "sync.py"), str(ports["regular"]), request]
            subprocess.run(command, capture_output=True, check=True, timeout=60)
    [(account,)] = query(database, "SELECT DISTINCT account FROM programs WHERE name = 'sync.py'")
    assert account.startswith("user-")
    assert [(1, 1)] == query(
        database,
        "SELECT (SELECT count(*) FROM calls WHERE program_id > 1),"
        " (SELECT count(*) FROM not_audited WHERE program_id > 1)",
    )

"""No piece of a token is in any file or line of ours, however much is logged and whatever breaks."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.commands.demo.standin import StandIn
from observed import query
from processes import Audit
from traffic import Connection

PIECE = 16
BREAKING = """
import sys
sys.path.insert(0, {addons!r})
from mfa_audit.judging import observations
from mfa_audit.store.rows import Rows
from mfa_audit.addon.live import PartnerCenterMfa

count = 0
def sometimes(original):
    def broken(*args, **kwargs):
        global count
        count += 1
        if count % 3 == 0:
            raise ValueError(repr([getattr(one, "reveal", str)() for one in args[0]] if args else "") + {token!r})
        return original(*args, **kwargs)
    return broken

observations.tokens.read = sometimes(observations.tokens.read)
Rows.add = sometimes(Rows.add)
addons = [PartnerCenterMfa()]
"""


def pieces(token: str) -> set[bytes]:
    """Every run of 16 characters of the token's payload and signature."""
    parts = token.split(".")[1:]
    return {part[at : at + PIECE].encode() for part in parts for at in range(len(part) - PIECE + 1)}


def found_in(content: bytes, wanted: set[bytes]) -> list[bytes]:
    runs = {content[at : at + PIECE] for at in range(len(content) - PIECE + 1)}
    return sorted(runs & wanted)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    pytest.fail("it does not listen")


def odd_values(token: str) -> list[str]:
    head, payload, signature = token.split(".")
    return [
        token,
        f"{head}.{payload}",
        f"{head}.{payload}.{signature}.{signature}.{signature}",
        payload,
        f"{payload}.{payload}",
        f"{token} {token}",
        f'"{token}"',
        token[: len(token) // 2],
        payload + "!",
    ]


def send_odd_calls(port: int, authority: Path, token: str) -> None:
    """Odd forms of a token, and the token in every header that is kept."""
    for value in odd_values(token):
        connection = Connection(port, authority)
        for extra in (
            b"",
            b"MS-PartnerCenter-Application: %b\r\nMS-SdkVersion: %b\r\n" % ((token.encode(),) * 2),
        ):
            lines = ["GET /v1/customers HTTP/1.1", f"Host: {connection.host}", f"User-Agent: {token}"]
            lines += [f"Authorization: Bearer {value}", f"MS-RequestId: {token}"]
            connection.tls.sendall("\r\n".join(lines).encode() + b"\r\n" + extra + b"\r\n")
            connection.receive()
        connection.close()


@pytest.mark.parametrize(
    ("breaks", "detail"),
    [(False, 0), (False, 4), (True, 0), (True, 4)],
    ids=["healthy", "healthy, most detail", "with exceptions in judging and store", "with both"],
)
def test_no_file_holds_a_piece_of_a_token(
    audit: Audit, database: Path, home: Path, tmp_path: Path, breaks: bool, detail: int
) -> None:
    """Nothing written or said by us has 16 characters of a token, whatever mitmdump itself is asked to print."""
    token = make_user_token("pwd", "mfa", uti="a-token-of-its-own")
    wanted = pieces(token)
    with StandIn() as standin:
        script = tmp_path / "script.py"
        script.write_text(
            BREAKING.format(addons=str(Path(__file__).parents[1] / "addons"), token=token)
            if breaks
            else "from mfa_audit.addon.live import PartnerCenterMfa\naddons = [PartnerCenterMfa()]\n"
        )
        conf = tmp_path / "conf"
        options = [
            word for name, value in standin.instead_of().items() for word in ("--set", f"{name}={value}")
        ]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(str(Path(sys.executable).with_name("mitmdump")), "-v", "-s", str(script)),
                    *(
                        "--set",
                        f"flow_detail={detail}",
                        "--set",
                        f"mfa_audit_db={database}",
                        "--set",
                        f"confdir={conf}",
                    ),
                    *("-p", str(port), "--listen-host", "127.0.0.1", *options),
                ],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        wait_for(port)
        send_odd_calls(port, conf / "mitmproxy-ca-cert.pem", token)
        time.sleep(0.5)
        journals = list(database.with_name("audit.db.journal").iterdir())
        assert journals
        for journal in journals:
            content = journal.read_bytes()
            assert b"/v1/customers" in content
            assert [] == found_in(content, wanted), journal
        process.terminate()
        process.wait(20)
        said = log.read_text(errors="replace")
    assert query(database, "SELECT count(*) > 5 FROM calls") == [(1,)]
    ours = "".join(line for line in said.splitlines(True) if "mfa-audit" in line)
    assert "mfa-audit records to" in ours
    assert [] == found_in(ours.encode(), wanted)
    if breaks:
        assert ("judging-failed",) in query(database, "SELECT reason FROM tokens")
    report = audit.run("report", "--db", database, "--format", "json")
    assert [] == found_in((report.stdout + report.stderr).encode(), wanted)
    for folder in (database.parent, home):
        for path in folder.rglob("*"):
            if path.is_file() and path not in (script, log):
                assert [] == found_in(path.read_bytes(), wanted), path


@pytest.mark.parametrize("name", ["SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE"])
def test_no_secrets_of_tls_are_written(
    audit: Audit, upstream: list[str], database: Path, tmp_path: Path, name: str
) -> None:
    """A variable that lets mitmproxy write the secrets of TLS to a file does so for no call through our proxy."""
    secrets = tmp_path / "tls-secrets.txt"
    running = audit.start(
        "proxy", "--db", database, "--listen", "127.0.0.1:0", *upstream, **{name: str(secrets)}
    )
    authority = Path(running.wait_for(r"Certificate authority: (.+)")[1])
    connection = Connection(running.wait_for_port(), authority)
    assert 200 == connection.call(make_user_token("pwd", "mfa"))
    connection.close()
    assert 0 == running.stop().returncode
    assert not secrets.exists()

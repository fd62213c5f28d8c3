"""curl_settings: curl on Windows keeps its user's settings, and takes a certificate without a revocation list."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from pathlib import Path

import pytest

from mfa_audit.machine.authorities import create
from mfa_audit.machine.environment.curl_settings import curl_settings
from mfa_audit.machine.environment.variables import child_environment


@pytest.mark.parametrize(
    ("place", "name"), [("HOME", ".curlrc"), ("USERPROFILE", "_curlrc"), ("CURL_HOME", ".curlrc")]
)
def test_the_users_settings_stay(tmp_path: Path, place: str, name: str) -> None:
    """What the user's own file says stands before ours, wherever curl would have found it."""
    (tmp_path / name).write_text("silent")
    text = curl_settings(lambda variable: str(tmp_path) if variable == place else "")
    assert (True, True) == (text.startswith(b"silent\n"), text.endswith(b"\nssl-revoke-best-effort\n"))


def test_curl_takes_them(tmp_path: Path, curl: str) -> None:
    """A real curl reads the file that a command on Windows is given, the user's own setting and ours."""
    (tmp_path / ".curlrc").write_text('user-agent = "of the user"')
    (tmp_path / "bundles").mkdir()
    variables = child_environment(
        {"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        proxy_url="http://127.0.0.1:1",
        authority_pem=create(tmp_path / "ca").pem(),
        folder=tmp_path / "bundles",
        api_hosts=(),
        system="nt",
    )
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["User-Agent"])
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        command = [curl, "-sS", f"http://127.0.0.1:{server.server_port}/"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert (["of the user"], "") == (seen, done.stderr)

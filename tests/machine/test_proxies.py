"""running: a proxy is found while it runs, and only then."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine import proxies


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def announced(
    folder: Path, listener: socket.socket, host: str = "127.0.0.1"
) -> AbstractContextManager[proxies.RunningProxy]:
    return proxies.announce(
        host,
        listener.getsockname()[1],
        authority=folder / "ca.pem",
        database=folder / "audit.db",
        hosts=["api.contoso.com"],
        folder=folder / "running",
    )


def test_found_while_it_runs(tmp_path: Path, listener: socket.socket) -> None:
    """The record says all that was announced, is private, and goes with its folder when the proxy ends."""
    with announced(tmp_path, listener) as proxy:
        assert proxy == proxies.find(folder=tmp_path / "running")
        assert (os.getpid(), ("api.contoso.com",)) == (proxy.pid, proxy.hosts)
        assert f"http://127.0.0.1:{listener.getsockname()[1]}" == proxy.url
        if os.name == "posix":
            assert 0o700 == proxy.folder.stat().st_mode & 0o777
            assert {0o600} == {path.stat().st_mode & 0o777 for path in proxy.folder.iterdir()}
        (proxy.folder / "bundle.pem").write_text("x")

    assert [] == list((tmp_path / "running").iterdir())


def test_closed_port_is_stale(tmp_path: Path, listener: socket.socket) -> None:
    """A proxy whose port nobody answers is not found."""
    with announced(tmp_path, listener):
        listener.close()
        assert proxies.find(folder=tmp_path / "running") is None


def test_dead_process_is_stale(tmp_path: Path, listener: socket.socket) -> None:
    """A record of a killed process is cleared away, even when somebody else answers on its port by now."""
    script = (
        "import os, sys; from pathlib import Path; from mfa_audit.machine import proxies\n"
        "f = Path(sys.argv[1])\n"
        "with proxies.announce('127.0.0.1', int(sys.argv[2]), authority=f, database=f, folder=f): os._exit(9)"
    )
    port = str(listener.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), port], env=environment, timeout=30, check=False
    )
    assert 1 == len(list(tmp_path.glob("*/proxy.json")))

    assert proxies.find(folder=tmp_path) is None
    assert [] == list(tmp_path.iterdir())


def test_other_versions_records_are_left_alone(tmp_path: Path) -> None:
    """A record that we cannot read is neither used nor removed."""
    for name, text in {"a": '{"schema_version": 99}', "b": "not JSON"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "proxy.json").write_text(text)

    assert proxies.find(folder=tmp_path) is None
    assert {"a", "b"} == {path.name for path in tmp_path.iterdir()}


def test_latest_first_and_by_port(tmp_path: Path, listener: socket.socket) -> None:
    """Of several proxies the one started last is found first, and each by its port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        announced(tmp_path, listener) as first,
        announced(tmp_path, other) as second,
    ):
        folder = tmp_path / "running"
        assert [second, first] == proxies.find_all(folder=folder)
        assert first == proxies.find(first.port, folder=folder)
        assert proxies.find(1, folder=folder) is None


def test_proxy_of_a_run_is_its_commands_alone(tmp_path: Path, listener: socket.socket) -> None:
    """A proxy of `run` is found by who has it as its proxy, and by nobody else."""
    folder, port = tmp_path / "running", listener.getsockname()[1]
    with proxies.announce(
        "127.0.0.1", port, authority=tmp_path, database=tmp_path, kind=proxies.RUN, folder=folder
    ) as own:
        assert proxies.find(folder=folder) is None
        assert proxies.find(port, folder=folder) is None
        assert own == proxies.find(url=f"http://127.0.0.1:{port}", folder=folder)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:"),
        ("", "http://127.0.0.1:"),
        ("::", "http://[::1]:"),
        ("10.1.2.3", "http://10.1.2.3:"),
    ],
)
def test_url_for_clients_here(tmp_path: Path, listener: socket.socket, host: str, url: str) -> None:
    """A proxy that listens on every address is reached on loopback."""
    with announced(tmp_path, listener, host) as proxy:
        assert proxy.url.startswith(url)


def test_unwritable_folder_is_a_clear_error(tmp_path: Path, listener: socket.socket) -> None:
    """A state folder that cannot be made is an AuditError that names it."""
    (tmp_path / "running").write_text("in the way")

    with pytest.raises(AuditError, match="running"), announced(tmp_path, listener):
        pass

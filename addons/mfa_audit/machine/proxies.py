"""Which proxies of this user are running, so that other commands find them.

A running proxy keeps a small JSON file in a scratch folder of its own, beside what else lives as long as it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mfa_audit.errors import AuditError
from mfa_audit.machine import scratch
from mfa_audit.machine.folders import running_folder, write_private

# A proxy of `run` serves the one command that it started, and nobody else is led to it.
PROXY: Final = "proxy"
RUN: Final = "run"
_SCHEMA_VERSION: Final = 2
_CONNECT_SECONDS: Final = 1.0
_RECORD: Final = "proxy.json"
_WILDCARDS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not listened on


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that is listening now.

    `host` and `port` as it listens; `authority` is its certificate's file; `hosts` the API hosts that it was
    given beside Partner Center's own; `kind` is PROXY or RUN; `started` in seconds since 1970 (UTC). `folder` is
    private to the user and is deleted when the proxy ends.
    """

    host: str
    port: int
    pid: int
    authority: Path
    database: Path
    hosts: tuple[str, ...]
    started: float
    folder: Path
    kind: str = PROXY

    @property
    def url(self) -> str:
        """What a client on this machine is given as its proxy."""
        host = _WILDCARDS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@contextlib.contextmanager
def announce(
    host: str,
    port: int,
    *,
    authority: Path,
    database: Path,
    hosts: Sequence[str] = (),
    kind: str = PROXY,
    folder: Path | None = None,
) -> Iterator[RunningProxy]:
    """Let other commands find this process's proxy for as long as the context lasts.

    Raises AuditError when the record cannot be written below `folder` (default: `folders.running_folder`).
    """
    content = {
        "schema_version": _SCHEMA_VERSION,
        "host": host,
        "port": port,
        "pid": os.getpid(),
        "authority": str(authority.absolute()),
        "database": str(database.absolute()),
        "hosts": list(hosts),
        "kind": kind,
        "started": time.time(),
    }
    with scratch.folder(folder) as own:
        record = own / _RECORD
        try:
            write_private(record, json.dumps(content).encode())
        except OSError as error:
            raise AuditError(
                f"cannot note the running proxy in {own} ({error.strerror or error})."
            ) from error
        yield _proxy_of(content, record)


def find(
    port: int | None = None, *, url: str | None = None, folder: Path | None = None
) -> RunningProxy | None:
    """The running proxy that was started last (of those on `port`), or None.

    One of kind RUN is found only by a program that it serves: `url` is what that program has as its proxy.
    """
    every = find_all(folder=folder)
    found = [proxy for proxy in every if proxy.url == url and port is None]
    found += [proxy for proxy in every if proxy.kind == PROXY and port in (None, proxy.port)]
    return found[0] if found else None


def find_all(*, folder: Path | None = None) -> list[RunningProxy]:
    """Every running proxy of this user, the latest first."""
    scratch.sweep(folder)
    found = []
    for record in (running_folder() if folder is None else folder).glob(f"*/{_RECORD}"):
        try:
            proxy = _proxy_of(json.loads(record.read_bytes()), record)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # gone since, or another version's: not ours to judge
        if _answers(proxy):
            found.append(proxy)
    return sorted(found, key=lambda proxy: proxy.started, reverse=True)


def _proxy_of(content: dict[str, Any], record: Path) -> RunningProxy:
    if content["schema_version"] != _SCHEMA_VERSION:
        raise ValueError("a record of another version")
    return RunningProxy(
        host=str(content["host"]),
        port=int(content["port"]),
        pid=int(content["pid"]),
        authority=Path(content["authority"]),
        database=Path(content["database"]),
        hosts=tuple(map(str, content["hosts"])),
        started=float(content["started"]),
        kind=str(content["kind"]),
        folder=record.parent,
    )


def _answers(proxy: RunningProxy) -> bool:
    host = _WILDCARDS.get(proxy.host, proxy.host)
    try:
        socket.create_connection((host, proxy.port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True

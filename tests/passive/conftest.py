"""The told server, a plain tunnel to it, and a recording proxy to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from plain_tunnels import Tunnels
from situations import HOST
from told_server import ToldServer
from told_ways import start_proxy

from endpoints import Issuer


@dataclass
class Ways:
    """Both ways to one server: `direct` and `through` are proxies' addresses, `bundle` what clients trust."""

    server: ToldServer
    issuer: Issuer
    direct: str
    through: str
    bundle: Path
    authority: Path
    database: Path

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What the recorder has stored so far."""
        with sqlite3.connect(self.database) as database:
            return database.execute(query).fetchall()


@pytest.fixture(scope="session")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """One server, and both ways to it."""
    folder = tmp_path_factory.mktemp("passive")
    issuer = Issuer("A root of the machine", folder)
    with ToldServer(issuer.server(HOST)) as server, Tunnels({(HOST, 443): server.port}) as tunnels:
        running, url, authority, database = start_proxy(folder, {f"{HOST}:443": server.port}, issuer)
        try:
            bundle = folder / "bundle.pem"
            bundle.write_bytes(issuer.pem + authority.read_bytes())
            yield Ways(server, issuer, f"http://127.0.0.1:{tunnels.port}", url, bundle, authority, database)
        finally:
            running.stop()

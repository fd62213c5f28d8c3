"""Who may reach the proxy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities
from mfa_audit.proxy.serving import ProxySettings, serve
from mfa_audit.proxy.upstream import Route


def start(folder: Path, route: Route, *extra: str) -> None:
    """Start a proxy and stop it."""

    async def run() -> None:
        authority = authorities.create(folder / "authority")
        settings = ProxySettings("proxy", folder / "audit.db", authority, port=0, extra=extra, route=route)
        async with serve(settings, lambda _: None):
            pass

    asyncio.run(run())


@pytest.mark.parametrize(
    ("route", "extra"),
    [
        (Route(("socks5@0.0.0.0:0",)), ()),
        (Route(("reverse:https://api.partnercenter.microsoft.com@0.0.0.0:0",)), ()),
        (Route(), ("mode=regular@0.0.0.0:0",)),
    ],
    ids=["socks5", "reverse", "set"],
)
def test_nobody_else_gets_in_without_a_password(tmp_path: Path, route: Route, extra: tuple[str, ...]) -> None:
    """A listener that other machines reach ends the start, whatever option opened it; with a password it may."""
    with pytest.raises(AuditError, match="others than this machine"):
        start(tmp_path, route, *extra)

    start(tmp_path, Route(route.modes, authentication="user:secret"), *extra)

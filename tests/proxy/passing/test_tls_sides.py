"""Certificates: whose, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mitmproxy import certs, connection, exceptions
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.proxy.context import Context
from mitmproxy.test import taddons

from mfa_audit.machine import authorities
from mfa_audit.proxy.passing import passing, tls_sides

HOST = "api.partnercenter.microsoft.com"


def test_mitmproxy_makes_no_authority_of_its_own(tmp_path: Path) -> None:
    """Without our authority the proxy does not start with one that signs for every host for ten years."""
    with passing(), pytest.raises(exceptions.OptionsError, match="start mfa-audit again"):
        certs.CertStore.from_store(tmp_path, "mitmproxy", 2048)

    assert [] == list(tmp_path.iterdir())


def test_leaves_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that outlives its leaves makes new ones, and keeps each as long as it is good."""
    authorities.create(tmp_path)
    config = TlsConfig()
    with passing(), taddons.context(config) as context:
        context.configure(config, confdir=str(tmp_path))
        client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), sni=HOST)
        asked = Context(client, context.options)
        first = config.get_cert(asked).cert
        assert first.serial == config.get_cert(asked).cert.serial
        left = first.notafter - datetime.now(UTC)
        monkeypatch.setattr(tls_sides, "LEAF_MARGIN", left + timedelta(seconds=5))
        assert first.serial != config.get_cert(asked).cert.serial

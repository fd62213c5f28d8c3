"""The proxy's authority, as mitmproxy uses it and as real clients judge it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from mitmproxy.certs import CertStore

from endpoints import Issuer
from mfa_audit.machine import authorities

API = "api.partnercenter.microsoft.com"
ELSEWHERE = "login.microsoftonline.com"

PYTHON = """
import socket, ssl, sys
host, port, bundle = sys.argv[1:]
context = ssl.create_default_context(cafile=bundle)
context.verify_flags |= ssl.VERIFY_X509_STRICT
context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname=host).close()
"""
NODE = """
const [host, port] = process.argv.slice(1);
const socket = require('tls').connect({host: '127.0.0.1', port, servername: host}, () => process.exit(0));
socket.on('error', error => { console.error(error.code); process.exit(1); });
"""


def signed_by_mitmproxy(confdir: Path, host: str) -> bytes:
    """Key and chain of the leaf that mitmproxy makes for `host` with the authority in `confdir`."""
    store = CertStore.from_store(confdir, "mitmproxy", 2048)
    leaf = store.get_cert(host, [x509.DNSName(host)])
    key = leaf.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key + leaf.cert.to_pem() + store.default_ca.to_pem()


@contextlib.contextmanager
def serving(pem: bytes, folder: Path) -> Iterator[int]:
    """A TLS server with the key and chain in `pem`; yields its port."""
    file = folder / "server.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None  # a client that refuses the certificate is expected here
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def accepts(client: str, host: str, port: int, bundle: Path) -> bool:
    """Whether a real client that trusts only `bundle` takes the server on `port` for `host`."""
    commands = {
        "curl": [
            *("curl", "--silent", "--output", os.devnull, "--cacert", str(bundle)),
            *("--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/"),
        ],
        "python": [sys.executable, "-c", PYTHON, host, str(port), str(bundle)],
        "node": ["node", "-e", NODE, host, str(port)],
    }
    if shutil.which(commands[client][0]) is None:
        pytest.skip(f"{client} is not on this machine")
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(bundle)}
    return subprocess.run(commands[client], check=False, env=environment, timeout=30).returncode == 0


@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_clients_take_it_for_partner_center_and_for_nothing_else(client: str, tmp_path: Path) -> None:
    """curl, Python (strict) and Node take mitmproxy's leaf for an API host and refuse another host's."""
    authority = authorities.create(tmp_path / "ca", ["extra.contoso.example"])
    expected = {
        API: True,
        "x.partnercenter.microsoft.com": True,
        "extra.contoso.example": True,
        ELSEWHERE: False,
    }
    found = {}
    for host in expected:
        with serving(signed_by_mitmproxy(authority.confdir, host), tmp_path) as port:
            found[host] = accepts(client, host, port, authority.certificate_file)
    assert expected == found


def test_it_signs_for_no_address(tmp_path: Path) -> None:
    """A leaf for an IP address is refused, since a kind of name without a constraint would be free."""
    authority = authorities.create(tmp_path / "ca")
    with serving(authority.leaf(["127.0.0.1"]), tmp_path) as port:
        assert not accepts("python", "127.0.0.1", port, authority.certificate_file)


def test_a_further_address_can_be_permitted(tmp_path: Path) -> None:
    """An address that was asked for is accepted."""
    authority = authorities.create(tmp_path / "ca", ["127.0.0.1"])
    with serving(authority.leaf(["127.0.0.1", API]), tmp_path) as port:
        assert accepts("python", "127.0.0.1", port, authority.certificate_file)


def test_mitmproxy_uses_it(tmp_path: Path) -> None:
    """mitmproxy's certificate store loads the authority instead of making one of its own."""
    authority = authorities.create(tmp_path)
    assert authority.certificate == CertStore.from_store(tmp_path, "mitmproxy", 2048).default_ca._cert


def test_the_public_file_holds_no_key(tmp_path: Path) -> None:
    """The file that clients are told to trust holds the certificate alone; without `keeps_key` it is the only one."""
    authority = authorities.create(tmp_path, keeps_key=False)
    assert {"mitmproxy-ca-cert.pem": authority.pem()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_files_are_private(tmp_path: Path) -> None:
    """Whatever the umask, only the owner reads the folder and its files."""
    mask = os.umask(0)
    try:
        authorities.create(tmp_path / "ca")
    finally:
        os.umask(mask)
    assert 0o700 == (tmp_path / "ca").stat().st_mode & 0o777
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in (tmp_path / "ca").iterdir()]


def test_a_run_authority_is_short_lived(tmp_path: Path) -> None:
    """An authority of a run ends within two days."""
    left = authorities.create(tmp_path).expires - datetime.now(UTC)
    assert timedelta(days=1) < left <= timedelta(days=2)


@pytest.mark.parametrize("damage", [b"", b"not PEM", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
@pytest.mark.parametrize("name", [authorities.PRIVATE_FILE, authorities.PUBLIC_FILE])
def test_a_damaged_one_is_none(tmp_path: Path, name: str, damage: bytes) -> None:
    """An authority with an unreadable file is no authority, and no error."""
    authorities.create(tmp_path)
    (tmp_path / name).write_bytes(damage)
    assert authorities.load(tmp_path) is None


def test_a_key_of_another_certificate_is_damage(tmp_path: Path) -> None:
    """Key and certificate that do not belong together are no authority."""
    authorities.create(tmp_path / "a")
    other = authorities.create(tmp_path / "b")
    key = (tmp_path / "a" / authorities.PRIVATE_FILE).read_bytes().split(b"-----BEGIN CERT")[0]
    (tmp_path / "a" / authorities.PRIVATE_FILE).write_bytes(key + other.pem())
    assert authorities.load(tmp_path / "a") is None


def test_ours_is_known_by_name_and_constraints(tmp_path: Path) -> None:
    """What we made is ours; another authority is not, whatever it is called."""
    assert authorities.is_ours(authorities.create(tmp_path / "a", ["extra.contoso.example"]).certificate)
    assert not authorities.is_ours(Issuer("mfa-audit 1a2b3c4d", tmp_path).certificate)


def test_the_key_does_not_show(tmp_path: Path) -> None:
    """An authority's repr holds no key."""
    assert "PrivateKey" not in repr(authorities.create(tmp_path))


def test_the_spki_hash_is_of_the_public_key(tmp_path: Path) -> None:
    """The hash for Chromium is that of the key that mitmproxy's leaves carry."""
    authority = authorities.create(tmp_path)
    leaf = x509.load_pem_x509_certificate(
        signed_by_mitmproxy(tmp_path, API).split(b"-----END PRIVATE KEY-----\n")[1]
    )
    der = leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert hashlib.sha256(der).digest() == b64decode(authority.spki_hash)

"""The proxy's certificate authority: of its own, short-lived, and good for Partner Center's hosts only.

A key that signs for every host is a danger to its owner long after the audit. This one carries critical name
constraints (RFC 5280, section 4.2.1.10), so that OpenSSL, Go and others refuse it for any other host; Java
does not look at the constraints of a trust anchor. It never lives in `~/.mitmproxy`, where a user may keep an
authority without limits.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_DOMAIN, API_HOSTS
from mfa_audit.machine.folders import make_private, write_private

# A run seldom takes a day, and its authority is deleted with it. A kept one has to be trusted by hand again
# after each renewal, so a quarter of a year is a compromise between that chore and the harm of a stolen key.
RUN_DAYS: Final = 2
KEPT_DAYS: Final = 90
RENEW_DAYS: Final = 14

# mitmproxy dates its leaves two days back, for clients whose clock is slow; an authority that starts later
# would gain those clients nothing.
BACKDATE: Final = timedelta(days=2)

# The names that mitmproxy's CertStore and its mitm.it page look for in `confdir`.
PRIVATE_FILE: Final = "mitmproxy-ca.pem"
PUBLIC_FILE: Final = "mitmproxy-ca-cert.pem"
ANDROID_FILE: Final = "mitmproxy-ca-cert.cer"
WINDOWS_FILE: Final = "mitmproxy-ca-cert.p12"

ORGANIZATION: Final = "mfa-audit"
# What every authority may sign for; the rest of its hosts were asked for.
OWN_HOSTS: Final = (*API_HOSTS, API_DOMAIN)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in its folder, laid out as mitmproxy's `confdir` option expects it.

    `hosts` are the DNS names (and addresses) that it may sign for, each with everything below it.
    """

    confdir: Path
    hosts: tuple[str, ...]
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def certificate_file(self) -> Path:
        """The certificate without the key, as PEM: what clients are told to trust."""
        return self.confdir / PUBLIC_FILE

    @property
    def name(self) -> str:
        """The common name, different each time, so that trust stores can hold an old and a new one."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def expires(self) -> datetime:
        """The end of validity (aware, UTC)."""
        return self.certificate.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in upper-case hex, as trust stores show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex().upper()

    @property
    def spki_hash(self) -> str:
        """Base64 of the SHA-256 of the public key, for Chromium's `--ignore-certificate-errors-spki-list`.

        mitmproxy's leaves share the authority's key, so this one hash covers them all.
        """
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def leaf(self, hosts: Sequence[str]) -> bytes:
        """A server's certificate for `hosts` (DNS names or addresses), as PEM: new key, itself, authority.

        It ends when the authority ends. mitmproxy makes its leaves itself; this is for a server of one's own.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_subject(hosts[0]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.certificate.not_valid_before_utc)
            .not_valid_after(self.expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return _private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM) + self.pem()


def create(confdir: Path, hosts: Sequence[str] = (), *, days: int = RUN_DAYS) -> Authority:
    """Make a new authority in `confdir` (made when missing) for the API hosts and the further `hosts`.

    Valid for `days` from now. Raises AuditError when the folder cannot be written.
    """
    permitted = _permitted(hosts)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = Authority(confdir, permitted, _sign(key, permitted, days), key)
    with _writing(confdir):
        make_private(confdir)
        write_private(confdir / PRIVATE_FILE, _private_pem(key) + authority.pem())
        _publish(authority)
    return authority


def ensure(confdir: Path, hosts: Sequence[str] = ()) -> Authority:
    """The authority kept in `confdir` for the API hosts and the further `hosts`; a new one where needed.

    That is when there is none, when it is damaged, when the list of hosts has changed, and from `RENEW_DAYS`
    before its end. Two processes that ask at once get the same one. Raises AuditError when the folder cannot
    be used.
    """
    with _writing(confdir):
        make_private(confdir)
    with _locked(confdir):
        kept = load(confdir)
        if kept is None or kept.hosts != _permitted(hosts) or is_due(kept):
            return create(confdir, hosts, days=KEPT_DAYS)
        with _writing(confdir):
            _publish(kept)
        return kept


def is_due(authority: Authority) -> bool:
    """Whether a kept authority is to be renewed, which begins `RENEW_DAYS` before its end."""
    return authority.expires < datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _permitted(hosts: Sequence[str]) -> tuple[str, ...]:
    further = {host.lower().rstrip(".") for host in hosts}
    return (*OWN_HOSTS, *sorted(further - {*OWN_HOSTS}))


def _sign(key: rsa.RSAPrivateKey, permitted: Sequence[str], days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = _subject(f"mfa-audit {identifier.digest.hex()[:8]}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_constraints(permitted), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _constraints(permitted: Sequence[str]) -> x509.NameConstraints:
    """Only `permitted`. A kind of name that no constraint mentions is free, hence those on addresses."""
    trees: list[x509.GeneralName] = []
    for host in permitted:
        address = _address(host)
        trees.append(x509.DNSName(host) if address is None else x509.IPAddress(ipaddress.ip_network(address)))
    if any(isinstance(tree, x509.IPAddress) for tree in trees):
        return x509.NameConstraints(permitted_subtrees=trees, excluded_subtrees=None)
    everywhere = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    return x509.NameConstraints(
        permitted_subtrees=trees, excluded_subtrees=[x509.IPAddress(network) for network in everywhere]
    )


def _key_usage() -> x509.KeyUsage:
    # mitmproxy 12 also signs a revocation list, which Schannel asks for.
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str) -> x509.Name:
    # RFC 5280 allows a common name 64 characters.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
        ]
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _general_name(host: str) -> x509.GeneralName:
    address = _address(host)
    return x509.DNSName(host) if address is None else x509.IPAddress(address)


def _private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(confdir: Path) -> Authority | None:
    """The authority in `confdir`, or None where there is none that can be used."""
    try:
        pem = (confdir / PRIVATE_FILE).read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(certificate)
        names = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.ExtensionNotFound):
        return None
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        return None
    hosts = tuple(
        tree.value if isinstance(tree, x509.DNSName) else str(tree.value).partition("/")[0]
        for tree in names.permitted_subtrees or ()
        if isinstance(tree, x509.DNSName | x509.IPAddress)
    )
    return Authority(confdir, hosts, certificate, key)


def _publish(authority: Authority) -> None:
    """Write the files without the key, where they differ from what they should be."""
    pem = authority.pem()
    for name in (PUBLIC_FILE, ANDROID_FILE):
        path = authority.confdir / name
        if not path.is_file() or path.read_bytes() != pem:
            write_private(path, pem)
            (authority.confdir / WINDOWS_FILE).unlink(missing_ok=True)
    if not (authority.confdir / WINDOWS_FILE).is_file():
        bundle = pkcs12.serialize_key_and_certificates(
            ORGANIZATION.encode(), None, authority.certificate, None, serialization.NoEncryption()
        )
        write_private(authority.confdir / WINDOWS_FILE, bundle)


@contextlib.contextmanager
def _writing(confdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuditError(
            f"cannot keep the proxy's certificate in {confdir} ({error.strerror or error}); "
            "make that folder yours and writable, or remove it"
        ) from error


@contextlib.contextmanager
def _locked(confdir: Path) -> Iterator[None]:
    """Let one process at a time look after the authority; the lock of a process that dies is freed."""
    with _writing(confdir):
        file = (confdir / ".lock").open("wb")
    with file:
        with _writing(confdir):
            if sys.platform == "win32":
                import msvcrt

                # Tries for ten seconds; making an authority takes less than one.
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
        yield

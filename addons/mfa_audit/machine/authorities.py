"""The proxy's certificate authorities: of its own, short-lived, and good for Partner Center's hosts only.

A key that signs for every host is a danger to its owner long after the audit. Ours carry critical name
constraints (RFC 5280, section 4.2.1.10), so that OpenSSL, Go and others refuse them for any other host; Java
does not look at the constraints of a trust anchor. They never live in `~/.mitmproxy`, where a user may keep an
authority without limits.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_DOMAIN, API_HOSTS
from mfa_audit.machine.folders import make_private, write_private

# A run seldom takes a day, and its authority is deleted with it.
RUN_DAYS: Final = 2

# mitmproxy dates its leaves two days back, for clients whose clock is slow; an authority that starts later
# would gain those clients nothing.
BACKDATE: Final = timedelta(days=2)

# Key and certificate, by the name that mitmproxy's CertStore looks for; and the certificate alone.
PRIVATE_FILE: Final = "mitmproxy-ca.pem"
PUBLIC_FILE: Final = "mitmproxy-ca-cert.pem"

ORGANIZATION: Final = "mfa-audit"
NAME_PREFIX: Final = "mfa-audit "
# What every authority may sign for; the rest of its hosts were asked for.
OWN_HOSTS: Final = (*API_HOSTS, API_DOMAIN)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority; `confdir` is the folder with its certificate and, where it is kept, its key.

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

    def lend_key(self, folder: Path) -> None:
        """Write key and certificate to `folder`, for mitmproxy to load. Raises AuditError."""
        with writing(folder):
            make_private(folder)
            write_private(folder / PRIVATE_FILE, _private_pem(self.key) + self.pem())


def create(
    confdir: Path, hosts: Sequence[str] = (), *, days: float = RUN_DAYS, keeps_key: bool = True
) -> Authority:
    """Make a new authority in `confdir` (made when missing) for the API hosts and the further `hosts`.

    Valid for `days` from now. Without `keeps_key` only the certificate is written. Raises AuditError when the folder
    cannot be written.
    """
    permitted = permitted_hosts(hosts)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = Authority(confdir, permitted, _sign(key, permitted, days), key)
    with writing(confdir):
        make_private(confdir)
        write_private(confdir / PUBLIC_FILE, authority.pem())
    if keeps_key:
        authority.lend_key(confdir)
    return authority


def is_ours(certificate: x509.Certificate) -> bool:
    """Whether a certificate carries our name and is constrained to what ours are constrained to."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return (
        [str(one.value).startswith(NAME_PREFIX) for one in names] == [True]
        and [one.value for one in organizations] == [ORGANIZATION]
        and constraints.critical
        and set(OWN_HOSTS) <= set(_hosts_of(constraints.value))
    )


def permitted_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """All that an authority for the further `hosts` may sign for, in one order and spelling."""
    further = {host.lower().rstrip(".") for host in hosts}
    return (*OWN_HOSTS, *sorted(further - {*OWN_HOSTS}))


def _sign(key: rsa.RSAPrivateKey, permitted: Sequence[str], days: float) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = _subject(f"{NAME_PREFIX}{identifier.digest.hex()[:8]}")
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
        public = x509.load_pem_x509_certificate((confdir / PUBLIC_FILE).read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.ExtensionNotFound):
        return None
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        return None
    return Authority(confdir, _hosts_of(names), certificate, key) if public == certificate else None


def _hosts_of(names: x509.NameConstraints) -> tuple[str, ...]:
    return tuple(
        tree.value if isinstance(tree, x509.DNSName) else str(tree.value).partition("/")[0]
        for tree in names.permitted_subtrees or ()
        if isinstance(tree, x509.DNSName | x509.IPAddress)
    )


@contextlib.contextmanager
def writing(confdir: Path) -> Iterator[None]:
    """Raise AuditError for an OSError of what is done to `confdir`."""
    try:
        yield
    except OSError as error:
        raise AuditError(
            f"cannot keep the proxy's certificate in {confdir} ({error.strerror or error}); "
            "make that folder yours and writable, or remove it"
        ) from error

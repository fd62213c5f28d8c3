"""Root certificates as DER: the system's own, and those in the files and folders that a variable names."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"

# Where the systems keep their bundle, the same list as Go's crypto/x509. Not asked of `ssl`: its answer names
# what SSL_CERT_FILE says, and a Python that was built elsewhere has a path that is not this system's.
SYSTEM_BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/pki/tls/cacert.pem"),
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),  # Alpine, FreeBSD
)
# The second one holds what an administrator added, such as the root of a company's inspecting proxy.
MAC_KEYCHAINS: Final = (
    "/System/Library/Keychains/SystemRootCertificates.keychain",
    "/Library/Keychains/System.keychain",
)
_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_LARGEST_FILE: Final = 8_000_000


def from_pem(text: bytes) -> list[bytes]:
    """Every certificate in `text` as DER; anything else (comments, keys, broken blocks) is left out.

    They are not parsed: a company's odd root has to reach its clients as it is, also where one library refuses it.
    """
    found = []
    for piece in text.replace(b"X509 CERTIFICATE", b"CERTIFICATE").split(_BEGIN)[1:]:
        block, end, _ = piece.partition(_END)
        with contextlib.suppress(binascii.Error):
            der = base64.b64decode(b"".join(block.split()), validate=True)
            if end and der[:1] == b"\x30":
                found.append(der)
    return found


def to_pem(certificates: Iterable[bytes]) -> bytes:
    """The DER `certificates` as one PEM bundle, each once, in their order."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in dict.fromkeys(certificates)).encode()


def at(path: Path) -> list[bytes]:
    """The certificates in the PEM file `path`, or in the files of the folder `path`. Raises OSError."""
    if not path.is_dir():
        return from_pem(path.read_bytes())
    found = []
    for file in sorted(path.iterdir()):
        if file.is_file() and file.stat().st_size <= _LARGEST_FILE:
            found += from_pem(file.read_bytes())
    return found


def of_system(bundles: Iterable[Path] = SYSTEM_BUNDLES) -> list[bytes]:
    """The roots that this system trusts for TLS servers; empty where it keeps no list that can be read.

    `bundles`: where to look on systems that keep files. On Windows the list is what the system has met so
    far: it fetches the other roots of Microsoft's program when it first needs them.
    """
    if sys.platform == "win32":
        return [
            der
            for der, encoding, trust in ssl.enum_certificates("ROOT")
            if encoding == "x509_asn" and (trust is True or (trust is not False and _SERVER_AUTH in trust))
        ]
    if sys.platform == "darwin":
        return [der for keychain in MAC_KEYCHAINS for der in _in_keychain(keychain)]
    for bundle in bundles:
        try:
            found = at(bundle)
        except OSError:
            continue
        if found:
            return found
    return []


def of_mozilla() -> list[bytes]:
    """The roots in the `certifi` package, which requests and httpx trust by default."""
    import certifi

    return at(Path(certifi.where()))


def _in_keychain(keychain: str) -> list[bytes]:
    try:
        listing = subprocess.run(
            ["/usr/bin/security", "find-certificate", "-a", "-p", keychain],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [der for der in from_pem(listing) if _may_sign(der)]


def _may_sign(der: bytes) -> bool:
    # The system keychain also keeps certificates of this machine's own services, which are no roots.
    try:
        certificate = x509.load_der_x509_certificate(der)
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (ValueError, x509.ExtensionNotFound):
        return False

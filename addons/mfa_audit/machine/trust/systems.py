"""The stores that a system keeps for its programs: Windows, macOS, Debian's and Fedora's kinds of Linux."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Final

from mfa_audit.machine.environment import java, roots
from mfa_audit.machine.trust import Certificate, Copy, Delete, Run, Scope, Step, Store, output_of

# Each scope's own place. The store that certutil shows for a user has the machine's certificates in it as well
# (learn.microsoft.com/windows/win32/seccrypto/system-store-locations).
_REGISTRY: Final = r"SOFTWARE\Microsoft\SystemCertificates"


def windows(*, machine: bool) -> Store:
    """CurrentUser\\Root, or LocalMachine\\Root for services and every account of the machine."""
    scope = () if machine else ("-user",)
    hive = "HKLM" if machine else "HKCU"

    def is_in(folder: str, it: Certificate) -> bool | None:
        # It exits with an error when it finds nothing; its words are in the system's language.
        if shutil.which("reg.exe") is None:
            return None
        key = rf"{hive}\{_REGISTRY}\{folder}\Certificates\{it.sha1}"
        return output_of("reg.exe", "query", key) is not None

    def trusts(it: Certificate) -> bool | None:
        return is_in("Root", it) and not is_in("Disallowed", it)

    return Store(
        key="windows-machine" if machine else "windows",
        title="Windows, LocalMachine\\Root" if machine else "Windows, CurrentUser\\Root",
        scope=Scope.MACHINE if machine else Scope.USER,
        add=lambda it: [Run("certutil.exe", (*scope, "-f", "-addstore", "Root", str(it.file)))],
        remove=lambda it: [Run("certutil.exe", (*scope, "-delstore", "Root", it.sha1))],
        holds=lambda it: is_in("Root", it),
        trusts=trusts,
        obstacle=_needs_administrator() if machine else None,
        remark=None
        if machine
        else "Windows asks you once whether you want this. For service accounts: --machine --for ACCOUNT.",
    )


def macos(home: Path, *, machine: bool) -> Store:
    """The login keychain, or the system's keychain for every account."""
    keychain = (
        PurePosixPath("/Library/Keychains/System.keychain")
        if machine
        else PurePosixPath(home, "Library/Keychains/login.keychain-db")
    )
    return keychain_at(keychain, machine=machine)


def keychain_at(keychain: PurePosixPath, *, machine: bool) -> Store:
    """A keychain of macOS by its path."""
    domain = ("-d",) if machine else ()

    def add(it: Certificate) -> list[Step]:
        options = (*domain, "-r", "trustRoot", "-p", "ssl", "-k", str(keychain))
        return [Run("security", ("add-trusted-cert", *options, str(it.file)))]

    def remove(it: Certificate) -> list[Step]:
        return [
            Run("security", ("remove-trusted-cert", *domain, str(it.file)), lenient=True),
            Run("security", ("delete-certificate", "-Z", it.sha1, str(keychain))),
        ]

    def holds(it: Certificate) -> bool | None:
        listing = output_of("security", "find-certificate", "-a", "-Z", str(keychain))
        return None if listing is None else it.sha1 in listing

    def trusts(it: Certificate) -> bool | None:
        # The certificate is added before the password is asked for: cancelled, it is there without a setting. The
        # settings are listed by name (`Cert 0: mfa-audit 1a2b3c4d`); without any, the program ends with an error.
        settings = output_of("security", "dump-trust-settings", *domain) or ""
        named = re.search(rf"^Cert \d+: {re.escape(it.name)}$", settings, re.MULTILINE) is not None
        return holds(it) and named

    return Store(
        key="macos-system" if machine else "macos",
        title="macOS, system keychain" if machine else "macOS, login keychain",
        scope=Scope.MACHINE if machine else Scope.USER,
        add=add,
        remove=remove,
        holds=holds,
        trusts=trusts,
        obstacle=_needs_root() if machine else None,
        remark=None if machine else "macOS asks for your password.",
        place=str(keychain),
    )


def debian(root: Path = Path("/")) -> Store:
    """Debian's, Ubuntu's and Alpine's store; `root` is where the system's files begin."""
    source = root / "usr/local/share/ca-certificates"
    links = root / "etc/ssl/certs"
    java_store = links / "java/cacerts"

    def add(it: Certificate) -> list[Step]:
        return [Copy(it.file, source / f"{it.label}.crt"), Run("update-ca-certificates", ())]

    def remove(it: Certificate) -> list[Step]:
        # Without these, update-ca-certificates leaves links to nothing, and its hook leaves the certificate
        # in the store of Debian's Java.
        pem = f"{it.label}.pem"
        steps: list[Step] = [Delete(source / f"{it.label}.crt")]
        steps += [Delete(link) for link in _links_to(links, pem)]
        steps += [Delete(links / pem), Run("update-ca-certificates", ())]
        if java.holds(java_store, it.der):
            options = ("-alias", f"debian:{pem}", "-keystore", str(java_store), "-storepass", java.PASSWORD)
            steps.append(Run("keytool", ("-delete", *options)))
        return steps

    def trusts(it: Certificate) -> bool | None:
        return _is_in(links / "ca-certificates.crt", it)

    def holds(it: Certificate) -> bool | None:
        bundle = trusts(it)
        return bundle or (source / f"{it.label}.crt").exists() or java.holds(java_store, it.der) or bundle

    return Store(
        "debian",
        "System store (update-ca-certificates)",
        Scope.MACHINE,
        add,
        remove,
        holds,
        trusts,
        _needs_root(),
    )


def fedora(root: Path = Path("/")) -> Store:
    """Fedora's and Red Hat's store; `root` is where the system's files begin."""
    anchors = root / "etc/pki/ca-trust/source/anchors"
    bundle = root / "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"

    def add(it: Certificate) -> list[Step]:
        return [Copy(it.file, anchors / f"{it.label}.pem"), Run("update-ca-trust", ("extract",))]

    def remove(it: Certificate) -> list[Step]:
        return [Delete(anchors / f"{it.label}.pem"), Run("update-ca-trust", ("extract",))]

    def trusts(it: Certificate) -> bool | None:
        return _is_in(bundle, it)

    def holds(it: Certificate) -> bool | None:
        bundled = trusts(it)
        return bundled or (anchors / f"{it.label}.pem").exists() or bundled

    return Store(
        "fedora",
        "System store (update-ca-trust)",
        Scope.MACHINE,
        add,
        remove,
        holds,
        trusts,
        _needs_root(),
    )


def _is_in(bundle: Path, it: Certificate) -> bool | None:
    try:
        return it.der in roots.at(bundle)
    except OSError:
        return None


def _links_to(folder: Path, name: str) -> list[Path]:
    """OpenSSL's links by hash, `3d60dac4.0`, to the file `name` beside them."""
    if not folder.is_dir():
        return []
    return [link for link in sorted(folder.iterdir()) if link.is_symlink() and str(link.readlink()) == name]


def _needs_root() -> str | None:
    return None if os.name != "posix" or os.geteuid() == 0 else "only root may change it"


def _needs_administrator() -> str | None:
    if os.name != "nt":
        return None
    import ctypes

    if ctypes.windll.shell32.IsUserAnAdmin():  # type: ignore[attr-defined,unused-ignore]
        return None
    return "only an administrator may change it"

"""Java's trust: where a Java runtime is, which roots it has, and a trust store with one more.

Read and written here instead of by `keytool`, which starts a Java of its own each time and takes half a
second.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

PASSWORD: Final = "changeit"  # noqa: S105 - every JRE's own trust store has it; what it guards is public
_SHOW_HOME: Final = ("-XshowSettings:properties", "-version")
_MAGIC: Final = 0xFEEDFEED
_TRUSTED_CERTIFICATE: Final = 2
# sun.security.provider.JavaKeyStore whitens its integrity check with these words.
_WHITENER: Final = b"Mighty Aphrodite"


def find_homes(base: Mapping[str, str]) -> list[Path]:
    """The Java runtimes that a program with the environment `base` may use: JAVA_HOME's, then PATH's."""
    named = Path(base["JAVA_HOME"]) if base.get("JAVA_HOME") else None
    java = shutil.which("java", path=base.get("PATH", ""))
    homes = [named, _home_of(Path(java), base) if java is not None else None]
    return list(dict.fromkeys(home for home in homes if home is not None and _own_store(home) is not None))


def roots_of(home: Path) -> list[bytes]:
    """The DER roots that the Java runtime in `home` trusts; empty where its store cannot be read."""
    store = _own_store(home)
    return [] if store is None else _roots_at(store, PASSWORD)


def own_stores(base: Mapping[str, str]) -> list[Path]:
    """The trust stores of the Java runtimes that `find_homes` finds, behind their links."""
    stores = [_own_store(home) for home in find_homes(base)]
    return list(dict.fromkeys(store.resolve() for store in stores if store is not None))


def holds(store: Path, der: bytes) -> bool:
    """Whether the trust store in the file `store` has that certificate; not when it cannot be read."""
    return der in _roots_at(store, PASSWORD)


def read_store(content: bytes, password: str) -> list[bytes]:
    """The certificates of a JKS or PKCS #12 trust store as DER. Raises ValueError for anything else."""
    if content[:4] == struct.pack(">I", _MAGIC):
        return _read_jks(content)
    # Java 18 and later come with a PKCS #12 store that has no password, and ignore the one they are given.
    for attempt in (password.encode(), None):
        try:
            loaded = pkcs12.load_pkcs12(content, attempt)
        except ValueError:
            continue
        held = [entry.certificate for entry in loaded.additional_certs]
        return [certificate.public_bytes(serialization.Encoding.DER) for certificate in held]
    raise ValueError("neither a JKS nor a PKCS #12 store that this password opens")


def write_store(certificates: Iterable[bytes]) -> bytes:
    """A JKS trust store, which every Java reads, of the DER `certificates`, under `PASSWORD`."""
    entries = list(dict.fromkeys(certificates))
    body = struct.pack(">III", _MAGIC, 2, len(entries))
    for number, der in enumerate(entries):
        body += struct.pack(">I", _TRUSTED_CERTIFICATE) + _text(f"root-{number}") + struct.pack(">Q", 0)
        body += _text("X.509") + struct.pack(">I", len(der)) + der
    seal = hashlib.sha1(PASSWORD.encode("utf-16-be") + _WHITENER + body, usedforsecurity=False)
    return body + seal.digest()


def options(present: str, *, proxy_url: str, store: Path, direct_hosts: Sequence[str] | None = None) -> str:
    """JAVA_TOOL_OPTIONS that keep the `present` ones and add the proxy and the trust `store`.

    Java takes the last of two equal options. `direct_hosts`: the patterns of hosts that need no proxy, where
    the present ones have to be replaced.
    """
    parts = urlsplit(proxy_url)
    added = []
    for scheme in ("https", "http"):
        added += [f"-D{scheme}.proxyHost={parts.hostname}", f"-D{scheme}.proxyPort={parts.port}"]
    if direct_hosts is not None:
        added.append(f"-Dhttp.nonProxyHosts={'|'.join(direct_hosts)}")
    added += [
        f"-Djavax.net.ssl.trustStore={store}",
        "-Djavax.net.ssl.trustStoreType=JKS",
        f"-Djavax.net.ssl.trustStorePassword={PASSWORD}",
    ]
    return " ".join([*([present] if present.strip() else []), *map(_quoted, added)])


def property_of(present: str, name: str) -> str | None:
    """The value of the system property `name` in JAVA_TOOL_OPTIONS `present`, or None."""
    lexer = shlex.shlex(present, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        words = list(lexer)
    except ValueError:  # a quote that is not closed, which Java refuses too
        return None
    values = [word.removeprefix(f"-D{name}=") for word in words if word.startswith(f"-D{name}=")]
    return values[-1] if values else None


def named_roots(present: str) -> list[bytes]:
    """The DER roots of the store that JAVA_TOOL_OPTIONS `present` names; empty without a readable one."""
    store = property_of(present, "javax.net.ssl.trustStore")
    password = property_of(present, "javax.net.ssl.trustStorePassword")
    return [] if store is None else _roots_at(Path(store), password or PASSWORD)


def _home_of(java: Path, base: Mapping[str, str]) -> Path | None:
    home = java.resolve().parent.parent
    if _own_store(home) is not None:
        return home
    # A stand-in that starts the real one: macOS's, Oracle's on Windows, SDKMAN's, jenv's. It has to be asked,
    # but macOS's opens a window when it has nothing to start.
    ask = ["/usr/libexec/java_home"] if sys.platform == "darwin" else [str(java), *_SHOW_HOME]
    try:
        told = subprocess.run(
            ask,
            env=dict(base),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    shown = re.search(r"^\s*java\.home = (.+)$", told.stderr, re.MULTILINE)
    answer = shown[1] if shown else told.stdout
    return Path(answer.strip()) if answer.strip() else None


def _own_store(home: Path) -> Path | None:
    # jssecacerts comes before cacerts; Java 8's JDK keeps its runtime one folder deeper.
    for folder in (home / "lib" / "security", home / "jre" / "lib" / "security"):
        for name in ("jssecacerts", "cacerts"):
            if (folder / name).is_file():
                return folder / name
    return None


def _roots_at(store: Path, password: str) -> list[bytes]:
    try:
        return read_store(store.read_bytes(), password)
    except (OSError, ValueError):
        return []


def _read_jks(content: bytes) -> list[bytes]:
    try:
        _, version, count = struct.unpack_from(">III", content)
        at, found = 12, []
        for _ in range(count):
            (kind,) = struct.unpack_from(">I", content, at)
            if kind != _TRUSTED_CERTIFICATE:
                raise ValueError("a key among the certificates")
            at = _skip_text(content, at + 4) + 8
            at = _skip_text(content, at) if version == 2 else at
            (length,) = struct.unpack_from(">I", content, at)
            found.append(content[at + 4 : at + 4 + length])
            at += 4 + length
    except struct.error as error:
        raise ValueError("a JKS store that ends too early") from error
    return found


def _skip_text(content: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">H", content, at)
    return at + 2 + int(length)


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _quoted(option: str) -> str:
    # JAVA_TOOL_OPTIONS knows quotes but no escapes, so a path may hold a blank or one kind of quote.
    if not any(character.isspace() or character in "'\"" for character in option):
        return option
    return f"'{option}'" if "'" not in option else f'"{option}"'

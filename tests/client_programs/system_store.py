"""Put the authority into the real Debian store and take it out, and say after each step who believes it.

Run by test_trust in a mount namespace of its own. Arguments: the certificate's file, the proxy's URL, the URL
to read.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mfa_audit.machine.environment import java, roots

CA, PROXY, URL = sys.argv[1:]
HOST = URL.split("/")[2]
PROXY_HOST, PROXY_PORT = PROXY.removeprefix("http://").split(":")
CLIENTS = Path(__file__).parent
JAVA_STORE = Path("/etc/ssl/certs/java/cacerts")
LOCAL = Path("/usr/local/share/ca-certificates")
URLLIB = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": sys.argv[1]}))
opener.open(sys.argv[2])
"""
WITNESSES = {
    "curl": ["curl", "--proxy", PROXY, URL],
    "python": [sys.executable, "-c", URLLIB, PROXY, URL],
    "node": ["node", "--use-openssl-ca", CLIENTS / "call.js", HOST],
    "java": [
        *("java", f"-Dhttps.proxyHost={PROXY_HOST}", f"-Dhttps.proxyPort={PROXY_PORT}"),
        *(CLIENTS / "Call.java", URL),
    ],
}


def succeeds(*command: str | Path) -> bool:
    environment = {**os.environ, "HTTPS_PROXY": PROXY}
    try:
        return (
            subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode
            == 0
        )
    except FileNotFoundError:
        return False


def believers() -> str:
    return " ".join(name for name, command in WITNESSES.items() if succeeds(*command))


def files() -> dict[str, tuple[str, bytes]]:
    """The store as it lies there, but for Java's, which Java writes in an order of its own."""
    found = {}
    for path in sorted(Path("/etc/ssl/certs").rglob("*")):
        if path != JAVA_STORE and not path.is_dir():
            found[str(path)] = (str(path.readlink()) if path.is_symlink() else "", path.read_bytes())
    return found


def java_roots() -> set[bytes]:
    return set(java.read_store(JAVA_STORE.read_bytes(), java.PASSWORD)) if JAVA_STORE.exists() else set()


def audit(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "mfa_audit", *arguments], check=False).returncode


(DER,) = roots.at(Path(CA))
succeeds("update-ca-certificates")  # what was pending before is none of ours
files_before, java_before = files(), java_roots()
print("before:", believers())
print("trust:", audit("trust", "--store", "debian", "--ca", CA))
print("trusted:", believers(), DER in java_roots())
print("untrust:", audit("untrust"))
print("after:", believers())
print("same:", files_before == files(), java_before == java_roots(), list(LOCAL.glob("mfa-audit*")))
print("journal:", any(Path(os.environ["MFA_AUDIT_HOME"]).rglob("trust.jsonl")))

"""trust and untrust: stores hold the authority, programs believe it, and afterwards nothing is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoints import Endpoint, Issuer, listening
from mfa_audit.errors import AuditError
from mfa_audit.machine.environment import java, roots
from mfa_audit.machine.trust import Store, load_certificate, nss, systems

API = "api.partnercenter.microsoft.com"
CLIENTS = Path(__file__).parents[1] / "client_programs"
PROGRAM = [sys.executable, "-m", "mfa_audit"]


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer("mfa-audit 1a2b3c4d", tmp_path)


@pytest.fixture
def proxy(issuer: Issuer) -> Iterator[Endpoint]:
    with listening({API: issuer.server(API)}) as endpoint:
        yield endpoint


def environment(home: Path) -> dict[str, str]:
    """A small environment with a home of its own, in which no variable names a bundle."""
    return {
        "PATH": f"{os.environ['PATH']}{os.pathsep}/usr/sbin",
        "HOME": str(home),
        "MFA_AUDIT_HOME": str(home / "mfa-audit"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def audit(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def perform(store: Store, what: str, issuer: Issuer, folder: Path) -> None:
    certificate = load_certificate(issuer.file("ca.pem"))
    for step in store.add(certificate) if what == "add" else store.remove(certificate):
        step.perform()


# --- what would be done elsewhere
# -------------------------------------------------------------------------------

ELSEWHERE = {
    "windows": ["certutil.exe -user -f -addstore Root", "CurrentUser\\Root"],
    "macos": ["security add-trusted-cert -r trustRoot -p ssl -k", "Library/Keychains/login.keychain-db"],
    "debian": ["to /usr/local/share/ca-certificates/mfa-audit-1a2b3c4d.crt", "update-ca-certificates"],
    "fedora": ["to /etc/pki/ca-trust/source/anchors/mfa-audit-1a2b3c4d.pem", "update-ca-trust extract"],
}


@pytest.mark.parametrize(("system", "words"), ELSEWHERE.items())
def test_dry_run_says_each_step(tmp_path: Path, issuer: Issuer, system: str, words: list[str]) -> None:
    """--dry-run names each step of each system's store, and does none of them. Not run on those systems."""
    ca = issuer.file("ca.pem")
    said = audit(tmp_path / "home", "trust", "--dry-run", "--system", system, "--ca", str(ca)).stderr

    assert [True] * len(words) == [word in said for word in words], said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("windows", "certutil.exe -delstore Root {sha1}"),
        ("macos", "security delete-certificate -Z {sha1} /Library/Keychains/System.keychain"),
    ],
)
def test_dry_run_of_the_way_back(tmp_path: Path, issuer: Issuer, system: str, words: str) -> None:
    """untrust --machine --dry-run finds the certificate by its fingerprint, whatever the store calls it."""
    certificate = load_certificate(issuer.file("ca.pem"))
    said = audit(
        tmp_path, "untrust", "--dry-run", "--machine", "--system", system, "--ca", str(certificate.file)
    ).stderr

    assert words.format(sha1=certificate.sha1) in said


def test_a_dry_run_makes_no_key(tmp_path: Path) -> None:
    """trust --dry-run before the first recording shows each step for an authority that is still to be made."""
    done = audit(tmp_path / "home", "trust", "--dry-run")
    assert 0 == done.returncode, done.stderr
    assert "mfa-audit XXXXXXXX" in done.stderr
    assert "There is none yet: the command without --dry-run makes it." in done.stderr
    assert [] == [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_other_systems_only_dry(tmp_path: Path) -> None:
    """--system without --dry-run is refused: nothing is done by another system's rules."""
    done = audit(tmp_path, "trust", "--system", "windows")

    assert (2, True) == (done.returncode, "--dry-run" in done.stderr)


def test_unknown_store_is_named(tmp_path: Path, issuer: Issuer) -> None:
    """An unknown --store is an error that lists those there are."""
    done = audit(tmp_path, "trust", "--store", "vault", "--ca", str(issuer.file("ca.pem")))

    assert (2, True) == (done.returncode, "debian" in done.stderr or "fedora" in done.stderr)


def test_no_certificate_is_a_clear_error(tmp_path: Path) -> None:
    """A file without a certificate is an AuditError that names it."""
    (tmp_path / "ca.pem").write_text("nothing")

    with pytest.raises(AuditError, match=r"ca\.pem"):
        load_certificate(tmp_path / "ca.pem")


# --- Debian's store, in a mount namespace of its own, where copies lie over the machine's files
# -----------------

NAMESPACE = """
set -e
mount --bind "$0/certs" /etc/ssl/certs
mount --bind "$0/local" /usr/local/share/ca-certificates
# Java's part of the store is brought up to date by a trigger of dpkg, which would otherwise remember a broken end.
mount --bind "$0/dpkg" /var/lib/dpkg
if [ -d "$0/java" ]; then mount --bind "$0/java" /var/lib/ca-certificates-java; fi
exec "$@"
"""


def may_unshare() -> bool:
    return (
        sys.platform == "linux"
        and getattr(os, "geteuid", lambda: None)() == 0
        and shutil.which("update-ca-certificates", path="/usr/sbin:/usr/bin") is not None
        and shutil.which("unshare") is not None
        and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not may_unshare(), reason="needs root, mount namespaces and update-ca-certificates")
def test_debian_round_trip(tmp_path: Path, issuer: Issuer, proxy: Endpoint) -> None:
    """With the authority in the real system store curl, Python, Node and Java believe it; taken out, none
    does, and the store's files are byte for byte as before."""
    shutil.copytree("/etc/ssl/certs", tmp_path / "certs", symlinks=True)
    shutil.copytree("/usr/local/share/ca-certificates", tmp_path / "local", symlinks=True)
    shutil.copytree("/var/lib/dpkg", tmp_path / "dpkg", symlinks=True)
    if Path("/var/lib/ca-certificates-java").is_dir():
        shutil.copytree("/var/lib/ca-certificates-java", tmp_path / "java")
    ca = issuer.file("ca.pem")

    script = [sys.executable, str(CLIENTS / "system_store.py"), str(ca), proxy.url, f"https://{API}/"]

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", NAMESPACE, str(tmp_path), *script],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    programs = [name for name in ("curl", "python", "node", "java") if name == "python" or shutil.which(name)]
    assert [
        "before: ",
        "trust: 0",
        f"trusted: {' '.join(programs)} {'java' in programs}",
        "untrust: 0",
        "after: ",
        "same: True True []",
    ] == done.stdout.splitlines(), done.stderr


# --- stores of the user
# ------------------------------------------------------------------------------------------


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


needs_certutil = pytest.mark.skipif(shutil.which("certutil") is None, reason="libnss3-tools is not installed")


@needs_certutil
def test_chromium_round_trip(tmp_path: Path, issuer: Issuer, proxy: Endpoint) -> None:
    """Chromium believes the authority while it is in the home folder's NSS database; afterwards the home is
    empty.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    home, ca = tmp_path / "home", str(issuer.file("ca.pem"))
    home.mkdir()

    def page() -> str:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command = [chromium, *options, f"--proxy-server={proxy.url}", "--dump-dom", f"https://{API}/"]
        variables = {"PATH": os.environ["PATH"], "HOME": str(home)}
        variables |= {name: str(tmp_path / name) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    assert "there" not in page()
    assert 0 == audit(home, "trust", "--store", "chromium", "--ca", ca).returncode
    assert "there" in page()
    assert 0 == audit(home, "untrust", "--store", "chromium", "--ca", ca).returncode
    assert "there" not in page()
    assert not (home / ".pki").exists()


@needs_certutil
@pytest.mark.parametrize("place", [".mozilla/firefox/a1.default", ".config/mozilla/firefox/b2.default-esr"])
def test_firefox_profile_round_trip(tmp_path: Path, issuer: Issuer, place: str) -> None:
    """A Firefox profile's own database holds the authority, then no more; other entries stay."""
    profile = tmp_path / place
    profile.mkdir(parents=True)
    database = f"sql:{profile}"
    other = Issuer("somebody else's", tmp_path).file("other.pem")
    subprocess.run(["certutil", "-N", "--empty-password", "-d", database], check=True)
    subprocess.run(
        ["certutil", "-A", "-d", database, "-n", "other", "-t", "C,,", "-i", str(other)], check=True
    )
    (store,) = nss.stores(tmp_path, programs=[])
    certificate = load_certificate(issuer.file("ca.pem"))

    perform(store, "add", issuer, tmp_path)
    assert store.holds(certificate) is True
    perform(store, "remove", issuer, tmp_path)

    assert store.holds(certificate) is False
    listed = subprocess.run(
        ["certutil", "-L", "-d", database], capture_output=True, text=True, check=True
    ).stdout
    assert ("other" in listed, "mfa-audit" in listed) == (True, False)


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")
def test_java_round_trip(tmp_path: Path, issuer: Issuer) -> None:
    """A Java runtime's own store, here a copy in a home of its own, holds the authority and then no more."""
    (home,) = java.find_homes({"PATH": os.environ["PATH"]})
    copy = tmp_path / "jre"
    (copy / "lib" / "security").mkdir(parents=True)
    shutil.copy(home / "lib" / "security" / "cacerts", copy / "lib" / "security" / "cacerts")
    before = set(java.roots_of(copy))
    variables = {**environment(tmp_path / "home"), "JAVA_HOME": str(copy)}
    ca = str(issuer.file("ca.pem"))

    def audit_here(command: str) -> int:
        arguments = [*PROGRAM, command, "--store", "java", "--ca", ca, "--quiet"]
        return subprocess.run(arguments, env=variables, timeout=120, check=False).returncode

    assert 0 == audit_here("trust")
    assert {*before, issuer.der} == set(java.roots_of(copy))
    assert 0 == audit_here("untrust")
    assert before == set(java.roots_of(copy))


def test_fedora_files(tmp_path: Path, issuer: Issuer) -> None:
    """On Fedora the authority counts as there as soon as its anchor is, and as gone only without both."""
    certificate = load_certificate(issuer.file("ca.pem"))
    bundle = tmp_path / "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    bundle.parent.mkdir(parents=True)
    store = systems.fedora(tmp_path)
    states = []
    for content in (b"", roots.to_pem([certificate.der]), b""):
        bundle.write_bytes(content)
        states.append(store.holds(certificate))
    store.add(certificate)[0].perform()
    states.append(store.holds(certificate))
    store.remove(certificate)[0].perform()
    states.append(store.holds(certificate))

    assert [False, True, False, True, False] == states


@needs_certutil
def test_untrust_finds_a_renewed_authority(tmp_path: Path) -> None:
    """An authority that was renewed after it was trusted is taken out, too, and every store is listed."""
    home = tmp_path / "home"
    (home / ".pki/nssdb").mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{home}/.pki/nssdb"], check=True)
    assert 0 == audit(home, "trust", "--store", "chromium").returncode
    for kept in (home / "mfa-audit/data/authority").glob("mitmproxy*"):
        kept.unlink()
    assert 0 == audit(home, "trust", "--store", "chromium").returncode

    said = audit(home, "untrust", "--store", "chromium").stderr

    listed = subprocess.run(
        ["certutil", "-L", "-d", f"sql:{home}/.pki/nssdb"], capture_output=True, text=True, check=True
    ).stdout
    assert (2, "mfa-audit" in listed) == (said.count("It is not there."), False)


@needs_certutil
def test_run_uses_the_authority_that_is_trusted(tmp_path: Path) -> None:
    """`run` takes the kept authority once it is in a store, for programs that trust only that; else one of its own."""
    home = tmp_path / "home"
    (home / ".pki/nssdb").mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{home}/.pki/nssdb"], check=True)
    kept = home / "mfa-audit/data/authority/mitmproxy-ca-cert.pem"
    show = "import os; print(open(os.environ['NODE_EXTRA_CA_CERTS']).read())"

    def shown() -> str:
        return audit(home, "run", "--db", str(tmp_path / "audit.db"), "--", sys.executable, "-c", show).stdout

    assert 0 == audit(home, "trust", "--store", "chromium").returncode
    assert roots.at(kept) == roots.from_pem(shown().encode())
    assert 0 == audit(home, "untrust").returncode
    assert roots.at(kept) != roots.from_pem(shown().encode())

"""trust and untrust on real stores: they hold the authority, programs believe it, and afterwards nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from endpoints import Endpoint, Issuer, listening
from mfa_audit.errors import AuditError
from mfa_audit.machine import authorities
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.environment import java, roots
from mfa_audit.machine.trust import Certificate, Store, load_certificate, nss, systems

API = "api.partnercenter.microsoft.com"
CLIENTS = Path(__file__).parents[1] / "client_programs"
PROGRAM = [sys.executable, "-m", "mfa_audit"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authorities.create(tmp_path / "ca")


@pytest.fixture
def proxy(authority: Authority, tmp_path: Path) -> Iterator[Endpoint]:
    """A proxy whose certificate for the API the authority has signed."""
    file = tmp_path / "leaf.pem"
    file.write_bytes(authority.leaf([API]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with listening({API: context}) as endpoint:
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


def perform(store: Store, what: str, certificate: Certificate) -> None:
    for step in store.add(certificate) if what == "add" else store.remove(certificate):
        step.perform()


# --- what would be done elsewhere
# -------------------------------------------------------------------------------

ELSEWHERE = {
    "windows": ["certutil.exe -user -f -addstore Root", "CurrentUser\\Root"],
    "macos": ["security add-trusted-cert -r trustRoot -p ssl -k", "Library/Keychains/login.keychain-db"],
    "debian": ["to /usr/local/share/ca-certificates/{label}.crt", "update-ca-certificates"],
    "fedora": ["to /etc/pki/ca-trust/source/anchors/{label}.pem", "update-ca-trust extract"],
}


@pytest.mark.parametrize(("system", "words"), ELSEWHERE.items())
def test_dry_run_says_each_step(tmp_path: Path, authority: Authority, system: str, words: list[str]) -> None:
    """--dry-run names each step of each system's store, and does none of them. Not run on those systems."""
    label = load_certificate(authority.certificate_file).label
    ca = str(authority.certificate_file)
    said = audit(tmp_path / "home", "trust", "--dry-run", "--system", system, "--ca", ca).stderr

    assert [True] * len(words) == [word.format(label=label) in said for word in words], said
    assert not (tmp_path / "home").exists()


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


def test_unknown_store_is_named(tmp_path: Path) -> None:
    """An unknown --store is an error that lists those there are."""
    done = audit(tmp_path, "trust", "--store", "vault")

    assert (2, True) == (done.returncode, "debian" in done.stderr or "fedora" in done.stderr)


def test_no_certificate_is_a_clear_error(tmp_path: Path) -> None:
    """A file without a certificate is an AuditError that names it."""
    (tmp_path / "ca.pem").write_text("nothing")

    with pytest.raises(AuditError, match=r"ca\.pem"):
        load_certificate(tmp_path / "ca.pem")


def test_only_ours_is_trusted(tmp_path: Path) -> None:
    """A certificate that only has our name is refused, and no store is changed."""
    ca = Issuer("mfa-audit 1a2b3c4d", tmp_path).file("ca.pem")
    done = audit(tmp_path / "home", "trust", "--ca", str(ca))
    assert (2, True) == (done.returncode, "is no authority of mfa-audit" in done.stderr), done.stderr


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
def test_debian_round_trip(tmp_path: Path, authority: Authority, proxy: Endpoint) -> None:
    """With the authority in the real system store curl, Python, Node and Java believe it; taken out, none
    does, and the store's files are byte for byte as before."""
    shutil.copytree("/etc/ssl/certs", tmp_path / "certs", symlinks=True)
    shutil.copytree("/usr/local/share/ca-certificates", tmp_path / "local", symlinks=True)
    shutil.copytree("/var/lib/dpkg", tmp_path / "dpkg", symlinks=True)
    if Path("/var/lib/ca-certificates-java").is_dir():
        shutil.copytree("/var/lib/ca-certificates-java", tmp_path / "java")
    ca = authority.certificate_file

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
        "journal: False",
    ] == done.stdout.splitlines(), done.stderr


# --- stores of the user
# ------------------------------------------------------------------------------------------


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


needs_certutil = pytest.mark.skipif(shutil.which("certutil") is None, reason="libnss3-tools is not installed")


@needs_certutil
def test_chromium_round_trip(tmp_path: Path, authority: Authority, proxy: Endpoint) -> None:
    """Chromium believes the authority while it is in the home folder's NSS database; afterwards the home is
    empty.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    home, ca = tmp_path / "home", str(authority.certificate_file)
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
    assert 0 == audit(home, "untrust").returncode
    assert "there" not in page()
    assert not (home / ".pki").exists()


@needs_certutil
@pytest.mark.parametrize("place", [".mozilla/firefox/a1.default", ".config/mozilla/firefox/b2.default-esr"])
def test_firefox_profile_round_trip(tmp_path: Path, authority: Authority, place: str) -> None:
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
    certificate = load_certificate(authority.certificate_file)

    perform(store, "add", certificate)
    assert (True, True) == (store.holds(certificate), store.is_trusting(certificate))
    subprocess.run(["certutil", "-M", "-d", database, "-n", certificate.name, "-t", "p,,"], check=True)
    assert (True, False) == (store.holds(certificate), store.is_trusting(certificate))
    perform(store, "remove", certificate)

    assert (False, False) == (store.holds(certificate), store.is_trusting(certificate))
    listed = subprocess.run(
        ["certutil", "-L", "-d", database], capture_output=True, text=True, check=True
    ).stdout
    assert ("other" in listed, "mfa-audit" in listed) == (True, False)


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")
def test_java_round_trip(tmp_path: Path, authority: Authority) -> None:
    """A Java runtime's own store, here a copy in a home of its own, holds the authority and then no more."""
    (home,) = java.find_homes({"PATH": os.environ["PATH"]})
    copy = tmp_path / "jre"
    (copy / "lib" / "security").mkdir(parents=True)
    shutil.copy(home / "lib" / "security" / "cacerts", copy / "lib" / "security" / "cacerts")
    before = set(java.roots_of(copy))
    variables = {**environment(tmp_path / "home"), "JAVA_HOME": str(copy)}
    ca = str(authority.certificate_file)

    def audit_here(*arguments: str, **changes: str) -> int:
        command = [*PROGRAM, *arguments, "--quiet"]
        return subprocess.run(command, env=variables | changes, timeout=120, check=False).returncode

    assert 0 == audit_here("trust", "--store", "java", "--ca", ca)
    assert {*before, load_certificate(authority.certificate_file).der} == set(java.roots_of(copy))
    assert 0 == audit_here("untrust", JAVA_HOME="")  # no variable leads there any more
    assert before == set(java.roots_of(copy))


def test_fedora_files(tmp_path: Path, authority: Authority) -> None:
    """On Fedora the authority counts as there as soon as its anchor is, and as gone only without both."""
    certificate = load_certificate(authority.certificate_file)
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


@pytest.fixture
def nss_home(tmp_path: Path) -> Path:
    """A home folder with a database of Chromium's in it."""
    if shutil.which("certutil") is None:
        pytest.skip("libnss3-tools is not installed")
    (tmp_path / "home/.pki/nssdb").mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", database_of(tmp_path / "home")], check=True)
    return tmp_path / "home"


def database_of(home: Path) -> str:
    return f"sql:{home}/.pki/nssdb"


def held(home: Path) -> int:
    """How many authorities of ours are in the database."""
    command = ["certutil", "-L", "-d", database_of(home)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("mfa-audit ")


def kept(home: Path) -> list[Path]:
    return sorted((home / "mfa-audit/data/authorities").glob("*/mitmproxy-ca-cert.pem"))


def test_untrust_finds_every_authority(nss_home: Path) -> None:
    """Authorities that were trusted one after the other are all taken out, though their folders are gone."""
    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    assert 0 == audit(nss_home, "trust", "--store", "chromium", "--host", "a.example").returncode
    assert (2, 2) == (held(nss_home), len(kept(nss_home)))
    shutil.rmtree(nss_home / "mfa-audit/data/authorities")

    done = audit(nss_home, "untrust")

    assert (0, 2, 0) == (done.returncode, done.stderr.count("It is gone."), held(nss_home)), done.stderr
    assert not (nss_home / "mfa-audit/data/trust.jsonl").exists()
    assert "Nothing to take back" in audit(nss_home, "untrust").stderr


def test_untrust_says_what_it_found(nss_home: Path) -> None:
    """A certificate that somebody else took out is said not to be there, and is forgotten; so is a lost store's."""
    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    name = load_certificate(kept(nss_home)[0]).name
    subprocess.run(["certutil", "-D", "-d", database_of(nss_home), "-n", name], check=True)
    done = audit(nss_home, "untrust")
    assert (0, True) == (done.returncode, f"{name} is not there." in done.stderr)
    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    shutil.rmtree(nss_home / ".pki")
    assert (0, True) == (
        audit(nss_home, "untrust").returncode,
        "Nothing" in audit(nss_home, "untrust").stderr,
    )


def test_untrust_forgets_only_what_is_gone(nss_home: Path) -> None:
    """Where a store cannot be changed now, untrust fails and keeps it in mind for the next time."""
    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    variables = {**environment(nss_home), "PATH": "/nowhere"}  # without certutil
    command = [*PROGRAM, "untrust"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (2, True, 1) == (done.returncode, "certutil is missing" in done.stderr, held(nss_home)), (
        done.stderr
    )
    assert (0, 0) == (audit(nss_home, "untrust").returncode, held(nss_home))


def test_untrust_touches_nothing_else(nss_home: Path) -> None:
    """A certificate of our name that the journal does not know stays, and so does a forged line of the journal's."""
    other = Issuer("mfa-audit 1a2b3c4d", nss_home)
    options = ["-n", "mfa-audit 1a2b3c4d", "-t", "C,,", "-i", str(other.file("other.pem"))]
    subprocess.run(["certutil", "-A", "-d", database_of(nss_home), *options], check=True)
    assert (0, 1) == (audit(nss_home, "untrust").returncode, held(nss_home))
    forged = {"schema_version": 1, "time": "", "change": "trusted", "store": "chromium", "scope": "user"}
    forged |= {
        "place": str(nss_home / ".pki/nssdb"),
        "account": "root",
        "certificate": b64encode(other.der).decode(),
    }
    (nss_home / "mfa-audit/data").mkdir()
    (nss_home / "mfa-audit/data/trust.jsonl").write_text(json.dumps(forged) + "\n")
    done = audit(nss_home, "untrust")
    assert (2, True, 1) == (done.returncode, "left alone" in done.stderr, held(nss_home)), done.stderr


def test_a_renewal_is_trusted_beside_the_old_one(nss_home: Path) -> None:
    """Shortly before its end the trusted one stays in use and `proxy` says what to run; that makes the next one."""
    folder = nss_home / "mfa-audit/data/authorities"
    old = authorities.create(nss_home / "old", days=5)
    folder.mkdir(parents=True, mode=0o700)
    old.confdir.rename(folder / old.fingerprint)
    ca = str(folder / old.fingerprint / authorities.PUBLIC_FILE)
    assert 0 == audit(nss_home, "trust", "--store", "chromium", "--ca", ca).returncode

    said = proxy_says(nss_home)
    assert (True, True) == (old.fingerprint in said, "run `mfa-audit trust`" in said), said
    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    assert 2 == held(nss_home)
    said = proxy_says(nss_home)
    assert (False, False) == (old.fingerprint in said, "mfa-audit trust" in said), said
    said = proxy_says(nss_home, "--host", "a.example")
    assert "Run: mfa-audit trust --host a.example" in said


def proxy_says(home: Path, *options: str) -> str:
    """What `mfa-audit proxy` says until it listens."""
    command = [*PROGRAM, "proxy", "--listen", "127.0.0.1:0", "--db", str(home / "audit.db"), *options]
    with subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "Listening" in line:
                break
        process.kill()
    return said


def test_run_uses_the_authority_that_is_trusted(nss_home: Path, tmp_path: Path) -> None:
    """`run` takes the kept authority once it is in a store, for programs that trust only that; else one of its own."""
    show = "import os; print(open(os.environ['NODE_EXTRA_CA_CERTS']).read())"

    def shown() -> list[bytes]:
        done = audit(nss_home, "run", "--db", str(tmp_path / "audit.db"), "--", sys.executable, "-c", show)
        return roots.from_pem(done.stdout.encode())

    assert 0 == audit(nss_home, "trust", "--store", "chromium").returncode
    assert roots.at(kept(nss_home)[0]) == shown()
    assert 0 == audit(nss_home, "untrust").returncode
    assert roots.at(kept(nss_home)[0]) != shown()

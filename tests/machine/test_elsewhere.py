"""trust and untrust on Windows and macOS: their programs' dialogues, replayed here. Not run on those systems.

What the stand-ins for `certutil.exe`, `reg.exe` and `security` take, print and return is from Microsoft's and Apple's
documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mfa_audit.commands import trust, untrust
from mfa_audit.machine.trust import Scope, changes

PROGRAM = """#!{python} -I
import hashlib, pathlib, re, ssl, sys
arguments, state = sys.argv[1:], pathlib.Path({state!r})
cancelled = (state / "cancel").exists()
def sha1(file):
    return hashlib.sha1(ssl.PEM_cert_to_DER_cert(pathlib.Path(file).read_text())).hexdigest().upper()
{body}
"""
# HKCU and HKLM are apart; certutil needs -user for the former, asks before it adds, and asks again before it deletes.
CERTUTIL = """
hive = "HKCU" if "-user" in arguments else "HKLM"
if cancelled:
    print("CertUtil: -addstore command FAILED: 0x800704c7 (WIN32: 1223 ERROR_CANCELLED)")
    sys.exit(1)
if "-addstore" in arguments:
    (state / (hive + " Root " + sha1(arguments[-1]))).touch()
else:
    (state / (hive + " Root " + arguments[-1])).unlink()
"""
REG = r"""
hive, store, name = re.fullmatch(
    r"(HKLM|HKCU)\\SOFTWARE\\Microsoft\\SystemCertificates\\(\w+)\\Certificates\\(\w+)", arguments[1]).groups()
if not (state / f"{hive} {store} {name}").exists():
    sys.exit("ERROR: The system was unable to find the specified registry key or value.")
"""
# The certificate is in the keychain before the password is asked for; the setting that trusts it only afterwards.
SECURITY = r"""
domain = "admin" if "-d" in arguments else "user"
if arguments[0] == "add-trusted-cert":
    keychain = arguments[arguments.index("-k") + 1].rpartition("/")[2]
    (state / f"{keychain} {sha1(arguments[-1])}").touch()
    if cancelled:
        sys.exit("SecTrustSettingsSetTrustSettings: The authorization was canceled by the user.")
    (state / f"{domain} settings").write_text(
        "Number of trusted certs = 1\nCert 0: NAME\n   Number of trust settings : 1\n")
elif arguments[0] == "find-certificate":
    for path in state.glob(arguments[-1].rpartition("/")[2] + " *"):
        print("SHA-1 hash: " + path.name.split()[-1])
elif arguments[0] == "dump-trust-settings":
    if not (state / f"{domain} settings").exists():
        sys.exit("SecTrustSettingsCopyCertificates: No Trust Settings were found.")
    print((state / f"{domain} settings").read_text().replace("NAME", (state / "name").read_text()))
elif arguments[0] == "remove-trusted-cert":
    (state / f"{domain} settings").unlink()
elif arguments[0] == "delete-certificate":
    (state / (arguments[-1].rpartition("/")[2] + " " + arguments[2])).unlink()
"""


class Elsewhere:
    """A machine of another system: its stores are files in `state`."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def cancel(self, yes: bool = True) -> None:
        """Answer the next questions with no, or with yes."""
        (self.state / "cancel").touch() if yes else (self.state / "cancel").unlink()

    def held(self) -> set[str]:
        """The stores that hold something."""
        return {path.name.rpartition(" ")[0] for path in self.state.iterdir() if " " in path.name}

    def trust(self, *options: str) -> Result:
        return CliRunner().invoke(trust.command, list(options))

    def untrust(self, *options: str) -> Result:
        return CliRunner().invoke(untrust.command, list(options))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Elsewhere]:
    """Let this be a machine of another system."""

    def be(system: str) -> Elsewhere:
        programs, state = tmp_path / "bin", tmp_path / "state"
        programs.mkdir()
        state.mkdir()
        bodies = {"certutil.exe": CERTUTIL, "reg.exe": REG, "security": SECURITY}
        for name, body in bodies.items():
            file = programs / name
            file.write_text(PROGRAM.format(python=sys.executable, state=str(state), body=body))
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(programs))
        monkeypatch.setattr(trust, "this_system", lambda: system)
        real = trust.load_certificate

        def load(file: Path) -> object:
            certificate = real(file)
            (state / "name").write_text(certificate.name)
            return certificate

        monkeypatch.setattr(trust, "load_certificate", load)
        return Elsewhere(state)

    return be


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts")

STORES = {
    ("windows", "user"): {"HKCU Root"},
    ("windows", "machine"): {"HKLM Root"},
    ("macos", "user"): {"login.keychain-db", "user"},
    ("macos", "machine"): {"System.keychain", "admin"},
}


@pytest.mark.parametrize("system", ["windows", "macos"])
@pytest.mark.parametrize("order", [["user"], ["machine"], ["user", "machine"], ["machine", "user"]])
@pytest.mark.parametrize("flags", [[], ["--machine"]], ids=["untrust", "untrust --machine"])
def test_untrust_takes_back_every_scope(
    elsewhere: Callable[[str], Elsewhere], system: str, order: list[str], flags: list[str]
) -> None:
    """Whatever was trusted, in whatever order, untrust takes all of it back, whatever flags it gets."""
    there = elsewhere(system)
    for scope in order:
        done = there.trust(*(["--machine"] if scope == "machine" else []))
        assert 0 == done.exit_code, done.output
    assert set().union(*(STORES[system, scope] for scope in order)) == there.held()
    done = there.untrust(*flags)
    assert (0, set()) == (done.exit_code, there.held()), done.output
    assert len(order) == done.output.count("It is gone.")
    assert [] == [entry for scope in Scope for entry in changes.read(scope)]


@pytest.mark.parametrize("system", ["windows", "macos"])
def test_a_cancelled_question_is_a_failure(elsewhere: Callable[[str], Elsewhere], system: str) -> None:
    """Answered with no, nothing counts as trusted, also where the certificate was added; untrust clears it away."""
    there = elsewhere(system)
    there.cancel()
    done = there.trust()
    assert (2, True) == (done.exit_code, "does not trust it" in done.output), done.output
    assert frozenset() == changes.find_trusted()
    there.cancel(False)
    assert (0, set()) == (there.untrust().exit_code, there.held())


def test_a_cancelled_removal_is_a_failure(elsewhere: Callable[[str], Elsewhere]) -> None:
    """Windows asks before it deletes a root, too: answered with no, it is still there, and is not forgotten."""
    there = elsewhere("windows")
    assert 0 == there.trust().exit_code
    there.cancel()
    done = there.untrust()
    assert (2, {"HKCU Root"}) == (done.exit_code, there.held())
    assert "It is still there." in done.output
    there.cancel(False)
    assert (0, set()) == (there.untrust().exit_code, there.held())


def test_what_windows_distrusts_is_not_trusted(elsewhere: Callable[[str], Elsewhere]) -> None:
    """A certificate that is among the distrusted ones as well is there, but not trusted."""
    there = elsewhere("windows")
    assert 0 == there.trust().exit_code
    (root,) = there.state.glob("HKCU Root *")
    (there.state / root.name.replace("Root", "Disallowed")).touch()
    done = there.trust()
    assert (2, True) == (done.exit_code, "does not trust it" in done.output)


def test_another_accounts_store_is_named(
    elsewhere: Callable[[str], Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another account trusted in a store of its own is not looked for in ours, and not forgotten."""
    there = elsewhere("windows")
    with monkeypatch.context() as patch:
        patch.setattr(changes, "this_account", lambda: "CONTOSO\\svc")
        assert 0 == there.trust().exit_code
    done = there.untrust()
    assert (2, True) == (done.exit_code, "run mfa-audit untrust as that account" in done.output), done.output
    assert 1 == len(changes.read(Scope.USER))

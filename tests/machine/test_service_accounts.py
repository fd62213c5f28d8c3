"""service_accounts: an administrator makes an authority that one account alone can use. With two users of Linux."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
from click.testing import CliRunner, Result

from mfa_audit.commands import group, trust, untrust
from mfa_audit.machine import authorities, folders, kept_authorities, service_accounts
from mfa_audit.machine.trust import Certificate, Scope, Step, Store, changes

with contextlib.suppress(ImportError):  # Windows has none, and skips these tests
    import pwd

pytestmark = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: None)() != 0 or sys.platform != "linux",
    reason="NOT HERE: only root acts for two accounts",
)
ACCOUNT = "nobody"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every account can reach, with MFA_AUDIT_HOME of the service in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    ours = folder / "ours"
    ours.mkdir()
    os.chown(ours, pwd.getpwnam(ACCOUNT).pw_uid, -1)
    monkeypatch.setenv("MFA_AUDIT_HOME", str(ours))
    store = Store("debian", "A store", Scope.MACHINE, no_steps, no_steps, holds=lambda _: True)
    monkeypatch.setattr(trust, "stores_of", lambda *_, **__: [store])
    yield folder
    shutil.rmtree(folder)


def no_steps(_: Certificate) -> list[Step]:
    return []


def as_account(what: Callable[[], object]) -> object:
    """What `what` returns in a process of the other account; the text of its error where it raises one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(pwd.getpwnam(ACCOUNT).pw_gid)
            os.setuid(pwd.getpwnam(ACCOUNT).pw_uid)
            os.environ["HOME"] = "/nonexistent"
            found = what()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said)


def trust_for(*options: str) -> Result:
    done = CliRunner().invoke(trust.command, ["--machine", "--for", ACCOUNT, *options])
    assert 0 == done.exit_code, done.output
    return done


def the_one() -> Path:
    (folder,) = (folders.machine_folder() / "authorities").glob("*[0-9A-F]")
    return folder


def test_only_the_account_can_use_it(place: Path) -> None:
    """The account finds its trusted authority, nobody else can read the key, and root does not take it for its own."""
    trust_for()
    key = the_one() / authorities.PRIVATE_FILE
    assert (0o400, ACCOUNT) == (key.stat().st_mode & 0o777, key.owner())
    assert ("root", 0o755) == (the_one().owner(), the_one().stat().st_mode & 0o777)

    def find() -> str | None:
        found = kept_authorities.find_trusted((), changes.find_trusted())
        return None if found is None else found.fingerprint

    assert the_one().name == as_account(find)
    assert find() is None


def test_the_account_runs_with_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` of the service's account hands its command the authority that the administrator had trusted."""
    trust_for()
    certificate = (the_one() / authorities.PUBLIC_FILE).read_text()
    command = ["run", "--quiet", "--db", str(place / "ours" / "audit.db"), "--", "sh", "-c"]
    copy = place / "ours" / "seen.pem"
    if not as_account(lambda: os.access(certifi.where(), os.R_OK)):
        pytest.skip("NOT HERE: the other account may not read this Python's packages")

    # Once as ourselves: it loads what the other account might not be allowed to read.
    with monkeypatch.context() as patch:
        patch.setenv("MFA_AUDIT_HOME", str(place / "warm"))
        group.main(["run", "--quiet", "--", "true"], standalone_mode=False)

    def record() -> str:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            group.main([*command, f'cat "$NODE_EXTRA_CA_CERTS" > {copy}'], standalone_mode=False)
        return said.getvalue()

    said = as_account(record)
    assert copy.is_file(), said
    assert certificate.strip() in copy.read_text()


def test_once_is_enough(place: Path) -> None:
    """Repeated, the same authority is kept; other hosts, or the end of the old one, make another."""
    trust_for()
    first = the_one()
    trust_for()
    assert first == the_one()
    trust_for("--host", "api.contoso.example")
    assert 2 == len(list((folders.machine_folder() / "authorities").glob("*[0-9A-F]")))


@pytest.mark.parametrize("what", ["key", "folder"])
def test_a_planted_one_is_refused(place: Path, what: str) -> None:
    """An authority that a third account may write is refused, with a sentence that names it."""
    trust_for()
    path = {"key": the_one() / authorities.PRIVATE_FILE, "folder": the_one()}[what]
    path.chmod(path.stat().st_mode | 0o022)

    def find() -> str:
        return str(kept_authorities.find_trusted((), changes.find_trusted()))

    said = as_account(find)
    assert f"AuditError: its group, everybody can change {path}" in str(said)


def test_an_unknown_account_is_told(place: Path) -> None:
    """A name that no account has is one sentence, and nothing is made."""
    done = CliRunner().invoke(trust.command, ["--machine", "--for", "no-such-account"])
    assert "there is no account no-such-account" in str(done.exception)
    assert not list(folders.machine_folder().glob("*"))


def test_the_way_back(place: Path) -> None:
    """untrust of the administrator takes the machine's stores' entries back; the account can only say who has to."""
    trust_for()
    assert 1 == len(changes.read(Scope.MACHINE))
    assert ["debian"] == as_account(lambda: [entry.store for entry in changes.read(Scope.MACHINE)])
    assert 0 == CliRunner().invoke(untrust.command, []).exit_code
    assert [] == changes.read(Scope.MACHINE)


def test_rights_on_windows() -> None:
    """The system and administrators are named by SID, whose names differ by language; the account may only read."""
    steps = [str(step) for step in service_accounts.rights_on_windows(Path("F"), "CONTOSO\\svc")]
    assert [
        "icacls.exe F /inheritance:r /grant:r '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' "
        "'CONTOSO\\svc:(OI)(CI)RX'",
        "icacls.exe F/mitmproxy-ca.pem /reset",
        "icacls.exe F /setowner '*S-1-5-32-544' /T",
    ] == steps
    alone = service_accounts.administrators_only(Path("D"))
    assert "icacls.exe D /inheritance:r /grant:r '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F'" == str(
        alone
    )
    everyone = "'*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-32-545:(OI)(CI)RX'"
    assert f"icacls.exe M /inheritance:r /grant:r {everyone}" == str(changes.rights_on_windows(Path("M")))

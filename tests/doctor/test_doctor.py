"""doctor: each planted fault is found and named, and what doctor says to do mends it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from endpoints import Endpoint, Issuer, listening
from mfa_audit.doctor import State, Surroundings, machine_checks, route_checks
from mfa_audit.exchanges.exchange import API_HOSTS
from mfa_audit.machine import authorities, folders, proxies
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.proxies import RunningProxy
from mfa_audit.machine.trust import Scope, changes, load_certificate
from mfa_audit.machine.trust.changes import Change
from processes import Audit

API = API_HOSTS[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Patient:
    """A terminal in which all is well: the API answers through a proxy whose root a variable names."""

    def __init__(
        self, folder: Path, home: Path, endpoint: Endpoint, issuer: Issuer, stack: ExitStack
    ) -> None:
        self.folder, self.home, self.endpoint, self.issuer, self.stack = folder, home, endpoint, issuer, stack
        self.database = folder / "data" / "audit.db"
        self.database.parent.mkdir()
        self.authorities = folders.authorities_folder()
        command = folder / "bin" / "mfa-audit"
        command.parent.mkdir()
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH="{os.pathsep.join(sys.path)}" exec "{sys.executable}" -m mfa_audit "$@"\n'
        )
        command.chmod(0o755)
        self.variables = {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "MFA_AUDIT_HOME": os.environ["MFA_AUDIT_HOME"],
            "HTTPS_PROXY": endpoint.url,
            "SSL_CERT_FILE": str(issuer.file("ca.pem")),
            "MFA_AUDIT_DB": str(self.database),
        }

    def doctor(self, first: str = "", port: int | None = None) -> dict[str, dict[str, Any]]:
        """The findings by id, of a terminal in which the command line `first` was carried out."""
        script = f"{first}\nmfa-audit doctor --json --listen 127.0.0.1:{port or free_port()}"
        done = subprocess.run(
            ["bash", "-c", script],
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        content = done.stdout[done.stdout.index("{") :]
        return {finding["id"]: finding for finding in json.loads(content)["findings"]}

    def announce(self, database: Path) -> None:
        """Let the endpoint be a running proxy of mfa-audit that records to `database`."""
        port = urlsplit(self.endpoint.url).port
        assert port is not None
        self.stack.enter_context(
            proxies.announce("127.0.0.1", port, authority=self.issuer.file("own.pem"), database=database)
        )


@pytest.fixture
def patient(tmp_path: Path, home: Path) -> Iterator[Patient]:
    if os.name != "posix" or shutil.which("bash") is None:
        pytest.skip("the advice is followed in bash")
    issuer = Issuer("the API's", tmp_path)
    with listening({API: issuer.server(API)}) as endpoint, ExitStack() as stack:
        yield Patient(tmp_path, home, endpoint, issuer, stack)


def foreign_database(patient: Patient) -> None:
    patient.database.write_text("shopping list")


def damaged_database(patient: Patient) -> None:
    patient.database.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)


def no_place_for_the_database(patient: Patient) -> None:
    (patient.folder / "file").write_text("")
    patient.variables["MFA_AUDIT_DB"] = str(patient.folder / "file" / "audit.db")


def database_for_all_to_read(patient: Patient) -> None:
    patient.database.touch()
    patient.database.chmod(0o644)


def database_of_another_account(patient: Patient) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can plant this")
    patient.database.touch(0o600)
    os.chown(patient.database, 12345, -1)


def place(patient: Patient, days: float) -> Authority:
    """Put an authority where those are that are kept."""
    made = authorities.create(patient.folder / "made", days=days)
    patient.authorities.mkdir(parents=True, mode=0o700, exist_ok=True)
    made.confdir.rename(patient.authorities / made.fingerprint)
    loaded = authorities.load(patient.authorities / made.fingerprint)
    assert loaded is not None
    return loaded


def let_chromium_trust(patient: Patient, *options: str) -> None:
    if shutil.which("certutil") is None:
        pytest.skip("libnss3-tools is not installed")
    store = patient.home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{store}"], check=True)
    trust = ["mfa-audit", "trust", "--store", "chromium", "--quiet", *options]
    subprocess.run(trust, env=patient.variables, check=True, timeout=60)


def trusted_authority_at_its_end(patient: Patient) -> None:
    let_chromium_trust(patient, "--ca", str(place(patient, days=5).certificate_file))


def damaged_authority(patient: Patient) -> None:
    (place(patient, days=50).confdir / authorities.PRIVATE_FILE).write_text("-----BEGIN NOTHING-----")


def key_for_all_to_read(patient: Patient) -> None:
    (place(patient, days=50).confdir / authorities.PRIVATE_FILE).chmod(0o644)


def authorities_for_all_to_write(patient: Patient) -> None:
    place(patient, days=50)
    patient.authorities.chmod(0o777)


def key_of_another_account(patient: Patient) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can plant this")
    os.chown(place(patient, days=50).confdir / authorities.PRIVATE_FILE, 12345, -1)


def trusted_authority_that_is_gone(patient: Patient) -> None:
    let_chromium_trust(patient)
    shutil.rmtree(patient.authorities)


def trusted_authority_that_has_ended(patient: Patient) -> None:
    let_chromium_trust(patient, "--ca", str(place(patient, days=-1).certificate_file))


def trust_that_was_killed(patient: Patient) -> None:
    certificate = load_certificate(place(patient, days=50).certificate_file)
    changes.note(Change.ADDING, "chromium", str(patient.home / ".pki/nssdb"), Scope.USER, certificate.der)


def journal_that_others_may_write(patient: Patient) -> None:
    file = folders.machine_folder() / "trust.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("")
    file.chmod(0o666)


def variables_that_disagree(patient: Patient) -> None:
    patient.variables["https_proxy"] = "http://127.0.0.1:9"


def dead_proxy(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        patient.variables["HTTPS_PROXY"] = f"http://127.0.0.1:{server.getsockname()[1]}"


def exempted_api(patient: Patient) -> None:
    patient.variables |= {"NO_PROXY": "contoso.com,.microsoft.com", "no_proxy": "contoso.com,.microsoft.com"}


def missing_bundle(patient: Patient) -> None:
    patient.variables["REQUESTS_CA_BUNDLE"] = "/nowhere/ca.pem"


def bundle_without_our_authority(patient: Patient) -> None:
    patient.announce(patient.database)
    patient.variables["SSL_CERT_FILE"] = str(Issuer("another", patient.folder).file("another.pem"))


def recording_elsewhere(patient: Patient) -> None:
    patient.announce(patient.folder / "elsewhere.db")


FAULTS: dict[str, list[Callable[[Patient], None]]] = {
    "database": [foreign_database, damaged_database, no_place_for_the_database],
    "database-privacy": [database_for_all_to_read, database_of_another_account],
    "authority": [trusted_authority_at_its_end, damaged_authority],
    "authority-privacy": [key_for_all_to_read, authorities_for_all_to_write, key_of_another_account],
    "trust": [
        trusted_authority_that_is_gone,
        trusted_authority_that_has_ended,
        trust_that_was_killed,
        journal_that_others_may_write,
    ],
    "proxy-variables": [variables_that_disagree, dead_proxy],
    "exemptions": [exempted_api],
    "trust-variables": [missing_bundle, bundle_without_our_authority],
    "running": [recording_elsewhere],
}


@pytest.mark.parametrize(
    ("name", "plant"),
    [pytest.param(name, plant, id=plant.__name__) for name, each in FAULTS.items() for plant in each],
)
def test_finds_and_mends(patient: Patient, name: str, plant: Callable[[Patient], None]) -> None:
    """A planted fault is named by its check; the command line that doctor gives, carried out as it is, mends it."""
    plant(patient)
    ill = patient.doctor()[name]
    assert "wrong" == ill["state"], ill
    well = patient.doctor(first=ill["mend"])[name]

    assert well["state"] in ("right", "note"), (ill, well)


def test_nothing_is_wrong(patient: Patient) -> None:
    """Where all is well no check says otherwise."""
    states = {name: finding["state"] for name, finding in patient.doctor().items()}

    assert [] == [name for name, state in states.items() if state == "wrong"]
    assert ("right", "right") == (states["api"], states["clock"])


def test_finds_a_taken_port_and_a_free_one(patient: Patient, audit: Audit) -> None:
    """A taken port is named with who has it, and the command line that doctor gives starts a proxy elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = patient.doctor(port=server.getsockname()[1])["port"]

        assert ("wrong", True) == (found["state"], f"process {os.getpid()}" in found["sentence"])
        assert "mfa-audit proxy " == found["mend"][:16]
        proxy = audit.start(*found["mend"].split()[1:], "--db", str(patient.database))
        proxy.wait_for("Listening")


@pytest.mark.parametrize(("ahead", "word"), [(3600, "slow"), (-3600, "fast")])
def test_finds_a_wrong_clock(patient: Patient, ahead: float, word: str) -> None:
    """A clock that is an hour away from the API's is named with how far and which way."""
    with listening({API: patient.issuer.server(API)}, clock=ahead) as endpoint:
        patient.variables["HTTPS_PROXY"] = endpoint.url
        found = patient.doctor()["clock"]

    assert ("wrong", True) == (found["state"], f" 60 minutes {word}." in found["sentence"])


def test_finds_an_api_that_is_not_trusted(patient: Patient) -> None:
    """An API whose certificate nobody vouches for is named with the step that failed."""
    del patient.variables["SSL_CERT_FILE"]
    found = patient.doctor()["api"]

    assert ("wrong", True) == (
        found["state"],
        "TLS handshake failed (the certificate is not trusted" in found["sentence"],
    )


def test_says_nothing_secret(patient: Patient) -> None:
    """A corporate proxy's password does not show, whether its address can be used or not."""
    for address in ("http://ann:hunter2@127.0.0.1:9", "http://ann:hunter2@:x"):
        patient.variables["HTTPS_PROXY"] = address

        assert "hunter2" not in json.dumps(patient.doctor())


def test_through_calls_each_host(patient: Patient) -> None:
    """--through makes one call to each host through the running proxy and shows the step that fails."""
    patient.announce(patient.database)
    command = ["mfa-audit", "doctor", "--through", API, "--through", "nowhere.example"]
    done = subprocess.run(
        command, env=patient.variables, capture_output=True, text=True, timeout=60, check=False
    )

    assert (1, [API]) == (done.returncode, sorted(set(patient.endpoint.calls)))
    assert f"{API} answers through" in done.stdout
    assert "the proxy's way to the host failed (the proxy answered 502)" in done.stdout


def test_through_needs_a_proxy(patient: Patient) -> None:
    """--through without a running proxy is wrong usage."""
    command = ["mfa-audit", "doctor", "--through", API]
    done = subprocess.run(
        command, env=patient.variables, capture_output=True, text=True, timeout=60, check=False
    )

    assert (2, True) == (done.returncode, "mfa-audit proxy" in done.stderr)


def around(database: Path) -> Surroundings:
    return Surroundings(
        {}, database, ("127.0.0.1", 0), database.parent, (), API_HOSTS, database.parent, windows=False
    )


def test_finds_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with less room than a recording needs is named."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 10**6, 10**6))
    found = machine_checks.check_space(around(tmp_path / "audit.db"))

    assert (State.WRONG, True) == (found.state, "Only 1 MB" in found.sentence)


@pytest.mark.parametrize(
    ("kind", "state"), [("nfs4", State.WRONG), ("cifs", State.WRONG), ("ext4", State.RIGHT)]
)
def test_finds_a_network_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, state: State
) -> None:
    """A database on a network share is named, by the file system that is mounted nearest to it."""
    part = namedtuple("part", "mountpoint fstype")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [part("/", "ext4"), part(str(tmp_path), kind)])

    assert state is machine_checks.check_database_place(around(tmp_path / "audit.db")).state


def test_a_proxy_that_this_terminal_does_not_use_is_named(tmp_path: Path) -> None:
    """A running proxy and a terminal without its variables: not "ok", since that is the likeliest cause of silence."""
    proxy = RunningProxy("127.0.0.1", 8080, 1, tmp_path / "ca.pem", tmp_path / "audit.db", (), 0.0, tmp_path)
    alone = around(tmp_path / "audit.db")
    beside = dataclasses.replace(alone, proxies=(proxy,))
    inside = dataclasses.replace(beside, variables={"HTTPS_PROXY": proxy.url})
    assert State.RIGHT == route_checks.check_proxy_variables(alone).state
    assert State.RIGHT == route_checks.check_proxy_variables(inside).state
    found = route_checks.check_proxy_variables(beside)
    assert (State.NOTE, 'eval "$(mfa-audit env)"') == (found.state, found.mend)
    assert "this terminal does not use it" in found.sentence

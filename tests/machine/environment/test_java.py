"""java: trust stores read and written as the JRE does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from endpoints import Issuer
from mfa_audit.machine.environment import java

pytestmark = pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")


def keytool(*arguments: str | Path) -> str:
    """keytool itself, the other side of the format; a fixed locale, so that its words are known."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        ["keytool", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_keytool_reads_what_we_write(tmp_path: Path) -> None:
    """keytool opens the store, checks its seal and finds every certificate."""
    store = tmp_path / "store.jks"
    store.write_bytes(java.write_store([Issuer("one", tmp_path).der, Issuer("two", tmp_path).der]))

    assert "2 entries" in keytool("-list", "-keystore", store, "-storepass", java.PASSWORD)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["-storetype", "JKS"], id="jks"),
        pytest.param(["-storetype", "PKCS12"], id="pkcs12"),
        pytest.param(
            [
                *("-storetype", "PKCS12"),
                *(
                    "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE",
                    "-J-Dkeystore.pkcs12.macAlgorithm=NONE",
                ),
            ],
            id="pkcs12 without a password, as Java 18 brings it",
        ),
    ],
)
def test_we_read_what_keytool_writes(tmp_path: Path, options: list[str]) -> None:
    """Each kind of store that a JRE comes with is read."""
    issuer, store = Issuer("one", tmp_path), tmp_path / "store"
    keytool(
        *("-importcert", "-noprompt", "-alias", "one", "-file", issuer.file("one.pem")),
        *("-keystore", store, "-storepass", "changeit", *options),
    )

    assert [issuer.der] == java.read_store(store.read_bytes(), "changeit")


@pytest.mark.parametrize("content", [b"", b"no store", b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1"])
def test_anything_else_is_a_value_error(content: bytes) -> None:
    """A damaged store raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="store"):
        java.read_store(content, "changeit")


def test_runtime_of_this_machine() -> None:
    """The runtime on PATH is found behind its links, and has roots."""
    (home,) = java.find_homes({"PATH": os.environ["PATH"]})

    assert (home / "bin" / "java").is_file()
    assert len(java.roots_of(home)) > 50


def test_runtime_behind_a_stand_in(tmp_path: Path) -> None:
    """A `java` that only starts the real one is asked where its runtime is."""
    real = shutil.which("java")
    shim = tmp_path / "bin" / "java"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{real}" "$@"\n')
    shim.chmod(0o755)

    assert java.find_homes({"PATH": os.environ["PATH"]}) == java.find_homes({"PATH": str(shim.parent)})


def test_no_runtime(tmp_path: Path) -> None:
    """Without Java there is nothing to do."""
    assert [] == java.find_homes({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("present", "value"),
    [
        ("-Da.b=1", None),
        ("-Dx=1 -Dx=2", "2"),
        (r"-Dx=C:\store", r"C:\store"),
        ("'-Dx=a b'", "a b"),
        ("-Dx='a b'", "a b"),
        ("-Dx='open", None),
    ],
)
def test_property_of(present: str, value: str | None) -> None:
    """A system property is found as Java reads the variable: quotes, no escapes, the last one wins."""
    assert value == java.property_of(present, "x")

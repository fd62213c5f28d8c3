"""The trust stores that Java runtimes bring with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mfa_audit.machine.environment import java
from mfa_audit.machine.trust import Certificate, Run, Scope, Step, Store

# Kept by the system's own store, which passes on to them what it is given.
_OF_THE_SYSTEM: Final = (Path("/etc/ssl/certs/java"), Path("/etc/pki"))


def stores(base: Mapping[str, str]) -> list[Store]:
    """The store of each Java runtime that a program with the environment `base` may use."""
    return [
        store_at(path)
        for path in java.own_stores(base)
        if not any(path.is_relative_to(folder) for folder in _OF_THE_SYSTEM)
    ]


def store_at(path: Path) -> Store:
    """The store in the file `path`, a runtime's `cacerts`."""

    def keytool(it: Certificate, *arguments: str) -> Run:
        options = ("-alias", it.label, "-keystore", str(path), "-storepass", java.PASSWORD)
        return Run(_keytool_beside(path), (*arguments, *options))

    def add(it: Certificate) -> list[Step]:
        return [keytool(it, "-importcert", "-noprompt", "-trustcacerts", "-file", str(it.file))]

    def remove(it: Certificate) -> list[Step]:
        return [keytool(it, "-delete")]

    return Store(
        key="java",
        title=f"Java ({path})",
        scope=Scope.MACHINE
        if os.name == "posix" and path.exists() and path.stat().st_uid == 0
        else Scope.USER,
        place=str(path),
        add=add,
        remove=remove,
        holds=lambda it: java.holds(path, it.der),
        obstacle=None if os.access(path, os.W_OK) else "you may not write to it; repeat this as its owner",
        remark="Java does not look at the authority's name constraints: until untrust, whoever has its key "
        "could answer Java programs for any host.",
    )


def _keytool_beside(store: Path) -> str:
    """The keytool of the same runtime: lib/security/cacerts is two folders below it."""
    for name in ("keytool.exe", "keytool"):
        tool = store.parents[2] / "bin" / name
        if tool.is_file():
            return str(tool)
    return "keytool"

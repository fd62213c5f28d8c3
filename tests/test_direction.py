"""The direction of imports: every room uses only rooms below it; the folders show the way of the data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mfa_audit

ROOT = Path(mfa_audit.__file__).parent
# From the top down; docs/design.md shows the same order.
ROOMS = (
    "commands",
    "doctor",
    "proxy",
    "formats",
    "reports",
    "addon",
    "captures",
    "store",
    "machine",
    "judging",
    "exchanges",
    "printable",
    "errors",
)


def modules() -> Iterator[tuple[str, Path]]:
    """Each module's dotted name below the package, and its file."""
    for file in sorted(ROOT.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), file


NAMES = dict(modules())


def imports(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mfa_audit":
            inside = (node.module or "").removeprefix("mfa_audit").lstrip(".")
            for alias in node.names:
                longer = f"{inside}.{alias.name}".lstrip(".")
                if (found := longer if longer in NAMES else inside) not in ("", "__init__"):
                    yield found


def test_every_module_is_in_a_room() -> None:
    """Nothing lies loose beside the rooms but what all of them may use."""
    assert {*ROOMS, "__init__", "__main__"} == {name.partition(".")[0] for name in NAMES}


def test_imports_go_downwards() -> None:
    """No room uses one above it."""
    wrong = [
        f"{name} uses {used}"
        for name, file in NAMES.items()
        for used in imports(file)
        if name != "__main__" and ROOMS.index(used.partition(".")[0]) < ROOMS.index(name.partition(".")[0])
    ]
    assert [] == wrong


def test_no_circles() -> None:
    """No module is needed by what it needs."""
    needs = {name: set(imports(file)) - {name} for name, file in NAMES.items()}
    while free := [name for name, needed in needs.items() if not needed & needs.keys()]:
        for name in free:
            del needs[name]
    assert {} == needs


def test_no_two_modules_share_a_name() -> None:
    """A name leads to one place; a command's module may be named as the room that it opens."""
    seen: dict[str, str] = {}
    for name in NAMES:
        stem = name.rpartition(".")[2]
        if name.startswith("commands.") and stem not in seen:
            continue
        assert stem not in seen, f"{name} and {seen.get(stem)}"
        seen[stem] = name

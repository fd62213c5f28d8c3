"""How a batch file is started on Windows with its arguments intact. Pure.

CreateProcess hands a `.cmd` or `.bat` to cmd.exe, which reads the line by rules of its own; Python's quoting is for C
programs, and lets `%PATH%`, `&` or a quote in an argument act
(docs.python.org/3/library/subprocess.html#security-considerations). The quoting here is the one that Rust's standard
library settled on (CVE-2024-24576): `%` is followed by an expansion to nothing, and all but known harmless characters
are quoted. Untested on Windows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from mfa_audit.errors import AuditError

_HARMLESS: Final = re.compile(r"[A-Za-z0-9#$*+\-./:?@\\_\u00a0-\U0010ffff]*")
_START: Final = "cmd.exe /e:ON /v:OFF /d /c "


def batch_line(arguments: Sequence[str], system: str = os.name) -> str | None:
    """The line that starts a batch file, `arguments[0]`, on Windows; None for other programs and systems.

    `system` is an `os.name`. Raises AuditError for an argument that no such line can hold.
    """
    program = arguments[0]
    if system != "nt" or not program.lower().rstrip(". ").endswith((".cmd", ".bat")):
        return None
    if '"' in program or program.endswith("\\"):
        raise AuditError("a batch file's name cannot hold a quote or end with a backslash.")
    for argument in arguments:
        if re.search(r"[\r\n\0]", argument):
            raise AuditError(
                "a batch file can be given no argument with a line break or NUL in it: cmd would end the line there. "
                "Name the program that it starts instead."
            )
    return f'{_START}""{program}"{"".join(f" {_quote(argument)}" for argument in arguments[1:])}"'


def _quote(argument: str) -> str:
    quoted = not argument or argument.endswith("\\") or _HARMLESS.fullmatch(argument) is None
    # Backslashes count double before a quote, the closing one included; a quote is written twice.
    text = re.sub(r'(\\*)"', r'\1\1""', argument).replace("%", "%%cd:~,%")
    if not quoted:
        return text
    return f'"{text}{argument[len(argument.rstrip(chr(92))) :]}"'

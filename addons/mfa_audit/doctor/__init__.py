"""What `mfa-audit doctor` looks at: each check is a function from the Surroundings to one Finding.

A check changes nothing, raises nothing, and waits for a few seconds at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mfa_audit.machine.environment.shells import quote
from mfa_audit.machine.proxies import RunningProxy


class State(StrEnum):
    """How it stands with what a check looked at."""

    RIGHT = "right"
    WRONG = "wrong"  # something will not work, or the report will miss calls
    NOTE = "note"  # nothing is wrong, but it is good to know
    UNKNOWN = "unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `advice` says what to do, `mend` is the command line that does it, where there is one."""

    id: str
    state: State
    sentence: str
    advice: str | None = None
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks look at: this user's variables, files and proxies."""

    variables: Mapping[str, str]
    database: Path
    listen: tuple[str, int]
    authorities: Path  # the folder of those that are kept
    proxies: tuple[RunningProxy, ...]
    hosts: tuple[str, ...]  # the API hosts, the first of which is called
    home: Path
    windows: bool = os.name == "nt"

    def variable(self, name: str) -> str:
        """A variable's value in the case that clients look at first (lower), or the empty string."""
        return self.variables.get(name.lower()) or self.variables.get(name.upper()) or ""

    def set_line(self, name: str, value: str) -> str:
        """The line that sets a variable in this terminal."""
        if self.windows:
            return f"$env:{name} = {self.quote(value)}"
        return f"export {name}={self.quote(value)}"

    def unset_line(self, *names: str) -> str:
        """The line that unsets variables in this terminal."""
        if self.windows:
            return "Remove-Item " + ", ".join(f"Env:{name}" for name in names)
        return f"unset {' '.join(names)}"

    def quote(self, word: str | Path) -> str:
        """A word of such a line."""
        return quote(str(word), windows=self.windows)

    def delete_line(self, *paths: Path, folders: bool = False) -> str:
        """The line that deletes files or `folders`."""
        if self.windows:
            words = "Remove-Item -Recurse -LiteralPath " if folders else "Remove-Item -LiteralPath "
            return words + ", ".join(self.quote(path) for path in paths)
        return f"rm -{'r' * folders}f " + " ".join(self.quote(path) for path in paths)


Check = Callable[[Surroundings], Finding]

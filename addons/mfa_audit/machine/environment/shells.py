"""How each shell is told to set and to unset a variable, whatever is in the value. Pure.

For PowerShell and cmd every statement is one line, because `Invoke-Expression` and `for /f` take what is
piped to them line by line; and for PowerShell it is ASCII, because what a program writes there is decoded
with a code page that the program cannot know.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from mfa_audit.errors import AuditError

# What was there before is kept in variables of the shell itself: it goes where the shell goes, and ends with
# it.
CHANGED: Final = "MFA_AUDIT_ENV"
OLD: Final = "MFA_AUDIT_OLD_"


class Shell(StrEnum):
    """A shell whose language is known; `bash` stands for zsh and sh too."""

    BASH = "bash"
    FISH = "fish"
    POWERSHELL = "powershell"
    CMD = "cmd"


# The names of programs -> the language they speak.
PROGRAMS: Final[Mapping[str, Shell]] = {
    **dict.fromkeys(("bash", "zsh", "sh", "dash", "ksh", "ash"), Shell.BASH),
    "fish": Shell.FISH,
    **dict.fromkeys(("powershell", "pwsh", "powershell_ise"), Shell.POWERSHELL),
    "cmd": Shell.CMD,
}


def quote(word: str, *, windows: bool = os.name == "nt") -> str:
    """One word of a line that a person is to copy: into PowerShell on Windows, elsewhere into a POSIX shell."""
    return _powershell_text(word) if windows else shlex.quote(word)


_HOW_TO_RUN: Final[Mapping[Shell, str]] = {
    Shell.BASH: 'eval "$(mfa-audit env{})"',
    Shell.FISH: "mfa-audit env --shell fish{} | source",
    Shell.POWERSHELL: "mfa-audit env --shell powershell{} | Out-String | Invoke-Expression",
    Shell.CMD: "for /f \"delims=\" %i in ('mfa-audit env --shell cmd{}') do @%i",
}


def how_to_run(shell: Shell, arguments: str = "") -> str:
    """The line a person types so that `shell` carries out what `mfa-audit env` prints."""
    return _HOW_TO_RUN[shell].format(arguments)


def restore(environment: Mapping[str, str]) -> dict[str, str | None]:
    """What has to change so that `environment` is as it was before `mfa-audit env`: name -> value, or None to
    unset.

    Empty where `mfa-audit env` was not used.
    """
    names = environment.get(CHANGED, "").split()
    if not names:
        return {}
    back: dict[str, str | None] = {name: environment.get(OLD + name) for name in names}
    ours = [name for name in environment if name.startswith(OLD)]
    return {**back, **dict.fromkeys([*ours, CHANGED])}


def apply(environment: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`environment` with the `changes` made."""
    merged = {**environment, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def redirect(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """What has to change from `before` to `after`, and what to keep so that `restore` finds the way back."""
    changed = [name for name in after if after[name] != before.get(name)]
    kept = {OLD + name: before[name] for name in changed if name in before}
    return {**{name: after[name] for name in changed}, **kept, CHANGED: " ".join(changed)}


def render(shell: Shell, changes: Mapping[str, str | None]) -> list[str]:
    """The statements that make the `changes` in `shell`, one a line.

    Raises AuditError for a value that the shell cannot be told without risk.
    """
    write: Mapping[Shell, Callable[[str, str | None], str]] = {
        Shell.BASH: _bash,
        Shell.FISH: _fish,
        Shell.POWERSHELL: _powershell,
        Shell.CMD: _cmd,
    }
    return [write[shell](name, value) for name, value in changes.items() if _is_name(name)]


def remark(shell: Shell) -> str:
    """A statement that does nothing and prints nothing."""
    return "rem nothing was changed" if shell is Shell.CMD else "# nothing was changed"


def dotnet_proxy(url: str) -> list[str]:
    """PowerShell's statements that send the .NET of the present session through `url`.

    .NET Framework (Windows PowerShell) does not read the variables, and .NET (PowerShell 7) reads them once,
    at its first call.
    """
    proxy = f"(New-Object System.Net.WebProxy({_powershell_text(url)}, $true))"
    keep = "if (-not (Test-Path variable:global:MfaAuditOldProxy)) {{ $global:MfaAuditOldProxy = @(, {}) }}"
    return [
        _by_edition(keep.format(_CORE), keep.format(_DESKTOP)),
        _by_edition(f"{_CORE} = {proxy}", f"{_DESKTOP} = {proxy}"),
    ]


def dotnet_restore() -> list[str]:
    """PowerShell's statements that undo `dotnet_proxy`."""
    back = "$global:MfaAuditOldProxy[0]"
    return [
        "if (Test-Path variable:global:MfaAuditOldProxy) { "
        + _by_edition(f"{_CORE} = {back}", f"{_DESKTOP} = {back}")
        + "; Remove-Variable -Name MfaAuditOldProxy -Scope Global }"
    ]


_CORE: Final = "[System.Net.Http.HttpClient]::DefaultProxy"
_DESKTOP: Final = "[System.Net.WebRequest]::DefaultWebProxy"


def _by_edition(core: str, desktop: str) -> str:
    return f"if ($PSVersionTable.PSEdition -eq 'Core') {{ {core} }} else {{ {desktop} }}"


def _is_name(name: str) -> bool:
    # Windows has names such as `ProgramFiles(x86)`; none of those is ever changed, and an odd name is never
    # written.
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def _bash(name: str, value: str | None) -> str:
    if value is None:
        return f"unset {name}"
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str | None) -> str:
    if value is None:
        return f"set -e -g {name}"
    # In fish's single quotes a backslash escapes itself and the quote, and nothing else.
    return f"set -gx {name} '{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}'"


def _powershell(name: str, value: str | None) -> str:
    if value is None:
        return f"Remove-Item -LiteralPath Env:{name} -ErrorAction SilentlyContinue"
    return f"$env:{name} = {_powershell_text(value)}"


def _powershell_text(value: str) -> str:
    """Single-quoted, where nothing is expanded; PowerShell's typographic quotes go with what is not ASCII."""
    parts = []
    for piece in re.split(r"([^ -~])", value):
        if len(piece) == 1 and not " " <= piece <= "~":
            units = piece.encode("utf-16-be", "surrogatepass")
            parts += [f"[char]0x{units[at : at + 2].hex()}" for at in range(0, len(units), 2)]
        elif piece:
            parts.append("'" + piece.replace("'", "''") + "'")
    if len(parts) < 2 and value.isascii() and value.isprintable():
        return "".join(parts) or "''"
    return f"('' + {' + '.join(parts)})"


def _cmd(name: str, value: str | None) -> str:
    if value is None:
        return f'set "{name}="'
    # What cmd still acts on inside the quotes of `set "..."`; it has no safe way to write them.
    if re.search(r'["%!\x00-\x1f]', value):
        raise AuditError(
            f"the variable {name.removeprefix(OLD)} holds a character that cmd cannot be told safely; "
            "unset it first, or use PowerShell"
        )
    return f'set "{name}={value}"'


def named(names: Sequence[str]) -> Shell | None:
    """The language of the nearest shell among the programs `names` (as processes are named), or None."""
    for name in names:
        shell = PROGRAMS.get(name.lower().lstrip("-").removesuffix(".exe"))
        if shell is not None:
            return shell
    return None

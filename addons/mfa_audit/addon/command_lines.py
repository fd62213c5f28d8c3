"""A program's name from its command line: the executable or, for an interpreter, the script's file. Pure.

Nothing else of a command line is ever kept or shown, since it may hold secrets. Where it cannot be told which
argument is the script, the interpreter's own name is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import Final

# The longest file name that common file systems allow.
NAME_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How an interpreter's command line is read up to the script.

    `script`: options whose value is the script; `code`: options after which comes no script; `value`: options
    with another value; `flags`: letters of options without one, which may be joined (`-uB`); `words`:
    subcommands before the script; `endings`: those of scripts. After an option that is none of these, an
    argument counts as the script only with one of the `endings`, unless `attached`: an unknown option of this
    interpreter never takes the next argument. `named`: a script always has one of the endings.
    """

    script: Collection[str] = ()
    code: Collection[str] = ()
    value: Collection[str] = ()
    flags: str = ""
    words: Collection[str] = ()
    endings: tuple[str, ...] = ()
    attached: bool = False
    named: bool = False


_PYTHON: Final = Interpreter(
    script={"-m"},
    code={"-c", "-"},
    value={"-W", "-X", "--check-hash-based-pycs"},
    flags="bBdEhiIOPqRsStuvVx0123456789.",
    endings=(".py", ".pyw", ".pyz", ".pyc"),
)
_NODE: Final = Interpreter(
    code={"-e", "--eval", "-p", "--print", "-pe", "-", "-i"},
    value={
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
    },
    words={"run"},
    endings=(".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"),
)
_DENO: Final = replace(_NODE, named=True)  # which has subcommands that take code
_JAVA: Final = Interpreter(
    script={"-jar", "-m", "--module"},
    value={
        *(
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
        ),
        *("--add-opens", "--add-exports", "--add-reads", "--patch-module", "--limit-modules", "--source"),
        *("--enable-native-access", "--describe-module", "-d"),
    },
    attached=True,
)
_DOTNET: Final = Interpreter(
    value={
        *("--depsfile", "--runtimeconfig", "--additionalprobingpath", "--additional-deps", "--fx-version"),
        "--roll-forward",
    },
    words={"exec"},
    endings=(".dll", ".exe"),
    named=True,
)
_SHELL: Final = Interpreter(
    code={"-c", "-s", "-"},
    value={"-o", "-O", "+o", "+O", "--rcfile", "--init-file"},
    flags="abefhiklmnprtuvxBCEHPT",
    endings=(".sh", ".bash", ".zsh", ".ksh"),
)
_PERL: Final = Interpreter(
    code={"-e", "-E", "-"}, value={"-I", "-M", "-m"}, flags="acnpsStTuUvwWXl", endings=(".pl", ".t", ".cgi")
)
_RUBY: Final = Interpreter(
    code={"-e", "-"}, value={"-I", "-r", "-C", "-E"}, flags="aclnpsSvwyUW012", endings=(".rb",)
)
_PHP: Final = Interpreter(
    script={"-f", "--file"},
    code={"-r", "--run", "-S", "--server", "-"},
    value={"-c", "-d", "-z", "--php-ini", "--define"},
    flags="nqCe",
    endings=(".php", ".phar"),
)
_SCRIPT_HOST: Final = Interpreter(endings=(".vbs", ".vbe", ".js", ".jse", ".wsf"), attached=True, named=True)
_R: Final = Interpreter(code={"-e"}, endings=(".r",), attached=True)

# File name without `.exe` and without its version, in lower case.
_INTERPRETERS: Final[Mapping[str, Interpreter]] = {
    **dict.fromkeys(("python", "pythonw", "pypy", "py", "pyw"), _PYTHON),
    **dict.fromkeys(("node", "nodejs"), _NODE),
    **dict.fromkeys(("deno", "bun"), _DENO),
    **dict.fromkeys(("java", "javaw"), _JAVA),
    **dict.fromkeys(("bash", "sh", "dash", "zsh", "ksh", "ash"), _SHELL),
    **dict.fromkeys(("cscript", "wscript"), _SCRIPT_HOST),
    **{"dotnet": _DOTNET, "perl": _PERL, "ruby": _RUBY, "php": _PHP, "rscript": _R},
}

# PowerShell's parameters (about_Pwsh, about_PowerShell_exe) by what follows them; the dash ends the shortest
# form that it takes.
_POWERSHELL: Final = tuple(
    (name.replace("-", ""), name.partition("-")[0], kind)
    for kind, names in {
        "script": "f-ile",
        "code": "c-ommand commandw-ithargs cwa-",
        "encoded": "e-ncodedcommand ec-",
        "value": "encodeda-rguments ex-ecutionpolicy ep- inp-utformat if- o-utputformat of- w-indowstyle "
        "v-ersion config-urationname configurationf-ile cus-tompipename settings-file psc-onsolefile "
        "wo-rkingdirectory wd-",
        "flag": "nop-rofile nol-ogo noni-nteractive noe-xit s-ta mta- l-ogin i-nteractive",
    }.items()
    for name in names.split()
)
_POWERSHELL_NAMES: Final = ("pwsh", "powershell", "pwsh-preview")
# A command that begins by calling a script: `& 'C:\Jobs\a b.ps1' -Key x`, `.\sync.ps1; exit`.
_CALLED_SCRIPT: Final = re.compile(
    r"""\s*[&.]?\s*(?:'([^']+\.ps1)'|"([^"]+\.ps1)"|([^\s'";|&]+\.ps1))(?=[\s;|]|\Z)""", re.I
)


def name_of(exe: str, argv: Sequence[str]) -> str:
    """What to call a process with the executable `exe` (a path or a name) and the command line `argv`.

    The last part of the executable's path or, for an interpreter, of its script's path (or Python's `-m`
    module, or Java's main class). Both kinds of path are understood on every system.
    """
    program = _last_part(exe or (argv[0] if argv else ""))
    stem = program.lower().removesuffix(".exe")
    if stem in _POWERSHELL_NAMES:
        return _powershell_script(argv[1:], newer=stem != "powershell") or program
    interpreter = _INTERPRETERS.get(stem) or _INTERPRETERS.get(stem.rstrip("0123456789.-"))
    if interpreter is None:
        return program
    return _script(interpreter, argv[1:]) or program


def _script(known: Interpreter, arguments: Sequence[str]) -> str | None:
    rest = iter(arguments)
    sure = not known.named
    for argument in rest:
        if known is _SCRIPT_HOST and argument.startswith("//"):
            continue
        if argument == "--":
            continue
        if argument[:1] not in "-+" or argument == "":
            if argument in known.words:
                continue
            if sure or argument.lower().endswith(known.endings or ("\0",)):
                return _last_part(argument)
            return None
        kind, value = _read_option(known, argument)
        if kind == "code":
            return None
        if kind == "script":
            return _last_part(value or next(rest, ""))
        if kind == "value" and value is None:
            next(rest, None)
        if kind == "unknown" and not known.attached:
            sure = False
    return None


def _read_option(known: Interpreter, argument: str) -> tuple[str, str | None]:
    """Its kind (a field's name of Interpreter, or "unknown") and the value attached to it."""
    kinds = (("script", known.script), ("code", known.code), ("value", known.value))
    name, equals, value = argument.partition("=")
    for kind, options in kinds:
        if argument in options:
            return kind, None
        if equals and name.startswith("--") and name in options:
            return kind, value
    if argument.startswith("--") or known.attached:
        # `--name=value` takes nothing more, whatever it is.
        return ("flags" if equals else "unknown"), None
    # Joined letters: flags up to one that takes the rest, such as `-IBm` or `-Wignore`.
    for place, letter in enumerate(argument[1:], 1):
        for kind, options in kinds:
            if "-" + letter in options:
                return kind, argument[place + 1 :] or None
        if letter not in known.flags:
            return "unknown", None
    return "flags", None


def _powershell_script(arguments: Sequence[str], *, newer: bool) -> str | None:
    rest = iter(arguments)
    for argument in rest:
        if argument[:1] not in ("-", "/") or (argument[:1] == "/" and "/" in argument[1:]):
            # PowerShell 7 takes it for a file, Windows PowerShell for a command.
            return _last_part(argument) if newer else _called(" ".join((argument, *rest)))
        given = argument.lstrip("-/").lower()
        kind = next(
            (k for full, short, k in _POWERSHELL if full.startswith(given) and given.startswith(short)), ""
        )
        if kind == "script":
            script = next(rest, "-")
            return None if script == "-" else _last_part(script)
        if kind == "code":
            return _called(" ".join(rest))
        if kind == "value":
            next(rest, None)
        elif kind != "flag":
            return None
    return None


def _called(command: str) -> str | None:
    found = _CALLED_SCRIPT.match(command)
    return None if found is None else _last_part(next(filter(None, found.groups())))


def _last_part(path: str) -> str:
    # What the system could not decode would be a lone surrogate, which no database takes.
    name = PureWindowsPath(path).name or path.strip("/\\")
    return name.encode("utf-8", "backslashreplace").decode()[:NAME_LIMIT]

"""Programs that are known to ignore the variables of `environment`, and what to do about each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Final

import psutil

from mfa_audit.machine.environment.shells import Shell, how_to_run
from mfa_audit.printable import line

# For the moment after `run`, when the command made no call through the proxy.
KINDS: Final = (
    "Windows PowerShell 5.1 and other .NET Framework programs (mfa-audit env --shell powershell)",
    "programs on Windows and macOS that trust the system's store only, such as .NET and Go (mfa-audit trust)",
    "programs with libcurl inside, such as PHP, which do not read the trust variables (docs/clients.md)",
    "Node's own fetch before Node 24 and 22.21, and Python's aiohttp without trust_env=True",
    "containers, services and scheduled tasks, which do not inherit this environment",
    "browsers (mfa-audit browse)",
)

_GO_BUILD_INFO: Final = b"\xff Go buildinf:"
_SCANNED: Final = 32_000_000
_NODE_PROGRAMS: Final = frozenset({"node", "nodejs", "npm", "npx", "pnpm", "yarn", "tsx", "ts-node"})
_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("docker", "podman", "nerdctl"),
        "a container inherits neither these variables nor this machine's loopback; see Containers in "
        "docs/clients.md",
    ),
    **dict.fromkeys(
        ("ssh", "wsl"),
        "what it starts runs elsewhere, without these variables; run mfa-audit there instead",
    ),
    **dict.fromkeys(
        ("systemctl", "systemd-run", "schtasks", "crontab", "at"),
        "what it starts is no child of this command and has none of these variables; see Services in "
        "docs/clients.md",
    ),
    **dict.fromkeys(
        ("sudo", "doas"),
        "it drops these variables; start mfa-audit itself with it instead: sudo mfa-audit run -- ...",
    ),
    **dict.fromkeys(
        (
            *("chrome", "google-chrome", "chromium", "chromium-browser", "msedge", "microsoft-edge"),
            *("firefox", "firefox-esr"),
        ),
        "a browser does not read the trust variables; use: mfa-audit browse",
    ),
    "wget": 'it does not read the trust variables; add: --ca-certificate="$SSL_CERT_FILE"',
    # libcurl reads the proxy variables; the trust variables only the curl program (curl.se/docs/sslcerts.html).
    "php": 'its curl does not read the trust variables; add: -d curl.cainfo="$SSL_CERT_FILE"',
}
# Those of them that use the proxy and refuse its certificate, and the argument that makes them take it.
_REFUSING: Final[Mapping[str, str]] = {"wget": "--ca-certificate", "php": "curl.cainfo"}
# What overrides the options for Java that `run` sets in JAVA_TOOL_OPTIONS.
_JAVA_OVERRIDES: Final = ("_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")
_JAVA_SETTINGS: Final = re.compile(
    r"-D(https?\.(proxyHost|proxyPort|nonProxyHosts)|javax\.net\.ssl\.trustStore)\b"
)


def warnings_for(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    trusted: bool = False,
    platform: str = sys.platform,
) -> list[str]:
    """Sentences on why `command` might not use the proxy or not trust it, each with what helps; often none.

    `command` is the program and its arguments as given to `run`, `environment` what it will be started with
    (PATH is looked at), `trusted` whether a store trusts the proxy's authority, `platform` a `sys.platform`. Looks at
    files and may ask a program for its version; raises nothing.
    """
    name = _name(command[0])
    path = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    rules: tuple[Callable[[], str | None], ...] = (
        lambda: _of_java(environment),
        lambda: None if name in _REFUSING and _takes_ours(name, command) else _ELSEWHERE.get(name),
        lambda: _of_windows(name, trusted=trusted) if platform == "win32" else None,
        lambda: _of_node(path, environment) if name in _NODE_PROGRAMS else None,
        lambda: (
            _of_go(path) if not trusted and platform in ("win32", "darwin") and path is not None else None
        ),
    )
    return [f"{name}: {sentence}." for sentence in (rule() for rule in rules) if sentence is not None]


def known_to_refuse(command: Sequence[str]) -> str | None:
    """The name of a program that will refuse the proxy's certificate as `command` starts it, or None."""
    name = _name(command[0])
    return name if name in _REFUSING and not _takes_ours(name, command) else None


def _takes_ours(name: str, command: Sequence[str]) -> bool:
    return any(_REFUSING[name] in argument for argument in command[1:])


def _of_java(environment: Mapping[str, str]) -> str | None:
    for name in _JAVA_OVERRIDES:
        if found := _JAVA_SETTINGS.search(environment.get(name, "")):
            return f"Java takes {found[0]}... from your {name} instead of what leads it through the proxy; unset it"
    return None


def _name(program: str) -> str:
    """`C:\\Tools\\PWSH.EXE` is `pwsh`; names of both systems are understood on both."""
    return re.sub(r"\.(exe|cmd|bat|com)\Z", "", PureWindowsPath(program).name.lower())


def _of_windows(name: str, *, trusted: bool) -> str | None:
    """.NET, on Windows, trusts the Windows store only, and has no way to trust a root in one process."""
    first = "" if trusted else "it trusts the Windows store only; run first: mfa-audit trust"
    if name in ("powershell", "powershell_ise"):
        script = "it ignores the proxy variables; put at the top of the script: " + how_to_run(
            Shell.POWERSHELL
        )
        return f"{first}; {script}" if first else script
    if name in ("pwsh", "dotnet"):
        return first or None
    if name == "curl" and not trusted:
        return "the curl that comes with Windows ignores the trust variables; run first: mfa-audit trust"
    return None


def _of_node(path: str | None, environment: Mapping[str, str]) -> str | None:
    node = shutil.which("node", path=environment.get("PATH", os.defpath))
    if path is None or node is None:
        return None
    try:
        told = subprocess.run(
            [node, "--version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    version = re.match(r"v(\d+)\.(\d+)\.", told)
    if version is None or reads_proxy_variables(int(version[1]), int(version[2])):
        return None
    return (
        f"fetch in Node {version[1]}.{version[2]} ignores the proxy variables (axios does not); use Node 24 "
        "or newer, or have the script call undici's setGlobalDispatcher(new EnvHttpProxyAgent())"
    )


def reads_proxy_variables(major: int, minor: int) -> bool:
    """Whether that version of Node knows NODE_USE_ENV_PROXY (nodejs.org/api/cli.html, "added in")."""
    return major >= 24 or (major == 22 and minor >= 21)


def _of_go(path: str) -> str | None:
    """Go reads SSL_CERT_FILE on Unix systems other than macOS only (crypto/x509, root_unix.go)."""
    try:
        with Path(path).open("rb") as file:
            is_go = _GO_BUILD_INFO in file.read(_SCANNED)
    except OSError:
        return None
    return (
        "it is written in Go, which trusts the system's store only here; run first: mfa-audit trust"
        if is_go
        else None
    )


def mend_refusal(program: str | None, user_agent: str | None, *, platform: str = sys.platform) -> str:
    """The one line that lets a client trust the proxy which has refused its certificate.

    `program` and `user_agent` say who it was, where that is known; `platform` is a `sys.platform`.
    """
    who = f"{program or ''} {user_agent or ''}".lower()
    if "java" in who:
        return "mfa-audit trust --store java"
    if any(word in who for word in ("chrome", "chromium", "firefox", "edge", "mozilla/5.0 (x11")):
        return "mfa-audit browse"
    # Neither looks at the store of Windows or macOS unless the script says so.
    own_roots = any(
        word in who for word in ("node", "axios", "python", "requests", "httpx", "aiohttp", "azure")
    )
    if "powershell" in who or "dotnet" in who or (platform in ("win32", "darwin") and not own_roots):
        return "mfa-audit trust" + (
            ", and add --ssl-revoke-best-effort" * (platform == "win32" and "curl" in who)
        )
    terminal = how_to_run(Shell.POWERSHELL if platform == "win32" else Shell.BASH)
    return f"start it through `mfa-audit run -- ...`, or in its terminal: {terminal}"


def left_behind(proxy_url: str) -> list[str]:
    """The programs of this user that still run and have that proxy in their environment, as `name (process 17)`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("HTTPS_PROXY") == proxy_url:
                found.append(f"{line(process.name())} (process {process.pid})")
        except (psutil.Error, OSError):
            continue  # gone, or another account's
    return found

"""Browsers: where they are, and how one is started with a profile of its own that trusts the proxy alone.

Nothing of the user's own browser is read or changed: no certificate is installed, no setting is touched, and the
profile is a folder that the caller deletes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mfa_audit.errors import AuditError
from mfa_audit.machine.environment.variables import SECRETS
from mfa_audit.machine.trust import load_certificate
from mfa_audit.machine.trust.nss import add_to


class Family(StrEnum):
    """Which command line and which profile a browser understands."""

    CHROMIUM = "chromium"
    FIREFOX = "firefox"


@dataclass(frozen=True, slots=True)
class Browser:
    """An installed browser; `name` is what `--browser` takes."""

    name: str
    family: Family
    path: Path


# What `--browser` takes, in the order of preference, with the programs on PATH and where Windows and macOS have them.
_FAMILIES: Final[Mapping[str, Family]] = {
    "edge": Family.CHROMIUM,
    "chrome": Family.CHROMIUM,
    "chromium": Family.CHROMIUM,
    "firefox": Family.FIREFOX,
}
NAMES: Final = tuple(_FAMILIES)
_PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "edge": ("microsoft-edge", "microsoft-edge-stable"),
    "chrome": ("google-chrome", "google-chrome-stable"),
    "chromium": ("chromium", "chromium-browser"),
    "firefox": ("firefox", "firefox-esr"),
}
_WINDOWS: Final[Mapping[str, str]] = {
    "edge": r"Microsoft\Edge\Application\msedge.exe",
    "chrome": r"Google\Chrome\Application\chrome.exe",
    "chromium": r"Chromium\Application\chrome.exe",
    "firefox": r"Mozilla Firefox\firefox.exe",
}
_WINDOWS_FOLDERS: Final = ("ProgramFiles", "ProgramFiles(x86)", "LocalAppData")
_MACOS: Final[Mapping[str, str]] = {
    "edge": "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "chrome": "Google Chrome.app/Contents/MacOS/Google Chrome",
    "chromium": "Chromium.app/Contents/MacOS/Chromium",
    "firefox": "Firefox.app/Contents/MacOS/firefox",
}

# What a fresh Firefox would otherwise ask, fetch or report; none of it belongs to an audit.
_FIREFOX_PREFERENCES: Final[Mapping[str, str | int | bool]] = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}


def find(
    variables: Mapping[str, str], *, platform: str = sys.platform, root: Path = Path("/")
) -> list[Browser]:
    """The browsers of this machine, the preferred one first.

    `variables` are the user's (PATH, ProgramFiles ...), `platform` is a `sys.platform`, `root` where macOS's files
    begin.
    """
    found = []
    for name, family in _FAMILIES.items():
        path = _path_of(name, variables, platform, root)
        if path is not None:
            found.append(Browser(name, family, path))
    return found


def choose(wanted: str | None, found: Sequence[Browser]) -> Browser:
    """The browser called `wanted`, else the preferred one. Raises AuditError when it is not there."""
    for browser in found:
        if wanted in (None, browser.name):
            return browser
    here = f"Found: {', '.join(browser.name for browser in found)}." if found else "Install one of these."
    raise AuditError(
        f"found no {wanted or 'browser (Edge, Chrome, Chromium or Firefox)'} on this machine. {here}"
    )


def profile_parent(browser: Browser, home: Path) -> Path | None:
    """Where the profile has to be, or None for any temporary folder.

    A snap sees neither /tmp nor hidden folders of the home, only its own.
    """
    path = str(browser.path.resolve())
    if not path.startswith("/snap/") and path != "/usr/bin/snap":
        return None
    return home / "snap" / browser.path.name / "common"


def prepare(browser: Browser, profile: Path, *, proxy_url: str, authority: Path) -> None:
    """Fill the new `profile`: for Firefox, its settings and a store of its own that trusts the authority in that file.

    Raises AuditError when the profile cannot be made.
    """
    if browser.family is not Family.FIREFOX:
        return
    parts = urlsplit(proxy_url)
    preferences: dict[str, str | int | bool | None] = {
        **_FIREFOX_PREFERENCES,
        "network.proxy.type": 1,
        "network.proxy.share_proxy_settings": False,
        "network.proxy.ssl": parts.hostname,
        "network.proxy.ssl_port": parts.port,
        "network.proxy.http": parts.hostname,
        "network.proxy.http_port": parts.port,
        "network.proxy.no_proxies_on": "",
        "network.trr.mode": 5,  # names are found by the proxy, not by a service that Firefox asks on its own
        "security.enterprise_roots.enabled": True,  # a company's root, for the hosts that pass unopened
    }
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
    try:
        (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise AuditError(
            f"cannot write the browser's profile {profile} ({error.strerror or error})"
        ) from error
    if shutil.which("certutil") is None or os.name == "nt":  # Windows has another program of that name
        raise AuditError(
            "Firefox's own store needs NSS's certutil, which is missing. Use another browser with --browser, or "
            "install it: sudo apt install libnss3-tools (Fedora: nss-tools, macOS: brew install nss)."
        )
    for step in add_to(profile, load_certificate(authority)):
        step.perform()


def arguments(
    browser: Browser, profile: Path, url: str, *, proxy_url: str, spki_hash: str, headless: bool = False
) -> list[str]:
    """The command line that opens `url` in the browser with that `profile`.

    `spki_hash`: base64 of the SHA-256 of the public key that Chromium accepts in place of a trusted authority's, in
    this process only.
    """
    if browser.family is Family.FIREFOX:
        options = ["--no-remote", "--new-instance", "--profile", str(profile)]
        # On Windows a launcher starts the real one and would be gone at once.
        waiting = ["--wait-for-browser"] if os.name == "nt" else []
        return [str(browser.path), *options, *waiting, *(["--headless"] if headless else []), url]
    options = [
        f"--user-data-dir={profile}",
        f"--proxy-server={proxy_url}",
        "--proxy-bypass-list=<-loopback>",  # the minus takes out the bypass of loopback that is built in
        f"--ignore-certificate-errors-spki-list={spki_hash}",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-mode",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-extensions",
        "--disable-sync",
        "--password-store=basic",  # not the user's key ring
        "--use-mock-keychain",
        "--disable-breakpad",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium does not start as root otherwise
    if headless:
        options += ["--headless=new", "--disable-gpu"]
    return [str(browser.path), *options, url]


def surroundings(variables: Mapping[str, str], profile: Path) -> dict[str, str]:
    """The browser's environment: on Linux what it writes beside its profile goes into the profile's folder, too."""
    child = dict(variables)
    if sys.platform == "linux":
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            child[name] = str(profile / name.lower())
        # Chromium puts a socket there, whose path may have 107 characters.
        if len(str(profile)) <= 107 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket"):
            child["TMPDIR"] = str(profile)
    # A corporate proxy that the terminal names is behind ours; the browser is told of ours on its command line.
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", *SECRETS):
        child.pop(name, None)
        child.pop(name.lower(), None)
    return child


def _path_of(name: str, variables: Mapping[str, str], platform: str, root: Path) -> Path | None:
    if platform == "win32":
        folders = [variables[folder] for folder in _WINDOWS_FOLDERS if variables.get(folder)]
        candidates = [Path(folder, *_WINDOWS[name].split("\\")) for folder in folders]
    elif platform == "darwin":
        homes = [root / "Applications", Path(variables.get("HOME", "/")) / "Applications"]
        candidates = [home / _MACOS[name] for home in homes]
    else:
        programs = [
            shutil.which(program, path=variables.get("PATH", os.defpath)) for program in _PROGRAMS[name]
        ]
        candidates = [Path(program) for program in programs if program is not None]
    return next((path for path in candidates if path.is_file()), None)

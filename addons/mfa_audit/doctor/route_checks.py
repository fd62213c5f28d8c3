"""Checks of the way to Partner Center: variables, system settings, proxies, clock and the API itself."""

from __future__ import annotations

import os
import re
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Final

from mfa_audit.doctor import Finding, State, Surroundings
from mfa_audit.doctor.probe import Probe, Step, probe
from mfa_audit.errors import AuditError
from mfa_audit.machine.environment import roots
from mfa_audit.machine.environment.shells import Shell, how_to_run
from mfa_audit.machine.environment.variables import REPLACING, exempts_api, keep_proxied
from mfa_audit.machine.proxies import PROXY, RunningProxy
from mfa_audit.proxy.upstream import Upstream, from_settings

# Entra's tokens and TLS bear a few minutes; our "expired when used" allows five.
LARGEST_SKEW: Final = 300
_ENV: Final = how_to_run(Shell.BASH)
_ENV_WINDOWS: Final = how_to_run(Shell.POWERSHELL)


def check_proxy_variables(around: Surroundings) -> Finding:
    """Whether the proxy variables of this terminal agree and lead to something that answers."""
    lower, upper = around.variables.get("https_proxy"), around.variables.get("HTTPS_PROXY")
    if not around.windows and lower and upper and lower.rstrip("/") != upper.rstrip("/"):
        return Finding(
            "proxy-variables",
            State.WRONG,
            "https_proxy and HTTPS_PROXY name different proxies: some programs take the one, some the other.",
            "Unset both; then, to send this terminal through mfa-audit, use `mfa-audit env`.",
            around.unset_line("https_proxy", "HTTPS_PROXY"),
        )
    own = _own_proxy(around)
    running = [proxy for proxy in around.proxies if proxy.kind == PROXY]
    if own is None and running:
        return Finding(
            "proxy-variables",
            State.NOTE,
            f"A proxy runs at {running[0].url}, but this terminal does not use it: calls of programs started here are "
            "not recorded.",
            "Send this terminal through it.",
            _ENV_WINDOWS if around.windows else _ENV,
        )
    if own is not None:
        sentence = f"This terminal goes through mfa-audit's proxy at {own.url}."
    else:
        sentence = "HTTPS_PROXY is not set in this terminal."
    if own is not None or not around.variable("https_proxy"):
        return Finding("proxy-variables", State.RIGHT, sentence)
    upstream, trouble = _upstream(around)
    if upstream is None:
        return Finding(
            "proxy-variables",
            State.WRONG if trouble else State.NOTE,
            trouble or "HTTPS_PROXY is set, but no API host would go through it.",
            "Give it as http://HOST:PORT, or unset it." if trouble else None,
            around.unset_line("https_proxy", "HTTPS_PROXY") if trouble else None,
        )
    found = _reach_proxy(upstream)
    if found is not None:
        return Finding(
            "proxy-variables",
            State.WRONG,
            f"HTTPS_PROXY names {upstream.url}, where nobody answers ({found}).",
            "Start that proxy, or unset the variables (a proxy of mfa-audit that has ended: mfa-audit env --unset).",
            around.unset_line(*_set_names(around, "https_proxy", "http_proxy", "all_proxy")),
        )
    return Finding(
        "proxy-variables",
        State.NOTE,
        f"HTTPS_PROXY names {upstream.url}; mfa-audit's own proxy will go through it.",
    )


def check_exemptions(around: Surroundings) -> Finding:
    """Whether NO_PROXY keeps calls to an API host from every proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        value = around.variables.get(name, "")
        culprits = [
            entry for entry in re.split(r"[,;\s]+", value) if entry and exempts_api(entry, around.hosts)
        ]
        if culprits:
            kept = keep_proxied(value, around.hosts)
            lines = [around.set_line(one, kept) for one in _set_names(around, "no_proxy")]
            return Finding(
                "exemptions",
                State.WRONG,
                f"{name} has {', '.join(culprits)}: calls to Partner Center go past any proxy and would not be seen.",
                "Take that out (`run` does so by itself for what it starts).",
                "; ".join(lines),
            )
    return Finding("exemptions", State.RIGHT, "NO_PROXY exempts no API host.")


def check_trust_variables(around: Surroundings) -> Finding:
    """Whether the variables that name bundles name files that are there and hold the running proxy's authority."""
    own = _own_proxy(around)
    authority = set(_certificates(own.authority)) if own is not None else set()
    for name in REPLACING:
        value = around.variables.get(name)
        if not value:
            continue
        held = _certificates(Path(value))
        if not held:
            return Finding(
                "trust-variables",
                State.WRONG,
                f"{name} names {value}, which is missing or holds no certificate: programs that read it trust nobody.",
                "Unset it, or name a bundle that is there.",
                around.unset_line(name),
            )
        if authority and not authority & set(held):
            return Finding(
                "trust-variables",
                State.WRONG,
                f"This terminal goes through mfa-audit's proxy, but {name} names a bundle without its authority.",
                "Let mfa-audit set both.",
                _ENV_WINDOWS if around.windows else _ENV,
            )
    if authority and not around.variables.get("SSL_CERT_FILE"):
        return Finding(
            "trust-variables",
            State.WRONG,
            "This terminal goes through mfa-audit's proxy, but no variable names a bundle with its authority.",
            "Let mfa-audit set both.",
            _ENV_WINDOWS if around.windows else _ENV,
        )
    return Finding(
        "trust-variables", State.RIGHT, "The variables that name trust bundles are sound, or not set."
    )


def check_system_proxy(_: Surroundings) -> Finding:
    """The proxy in the settings of Windows or macOS, which browsers and .NET Framework use."""
    read = getattr(urllib.request, "getproxies_registry", None) or getattr(
        urllib.request, "getproxies_macosx_sysconf", None
    )
    if read is None:
        return Finding(
            "system-proxy", State.UNKNOWN, "This system has no one place for proxy settings to look at."
        )
    script = _proxy_script()
    if script:
        return Finding(
            "system-proxy",
            State.NOTE,
            "The system's proxy is chosen by a script (PAC), which mfa-audit does not run.",
            "If the API is not reached, name the proxy that the script chooses: mfa-audit proxy --upstream URL",
        )
    https = read().get("https")
    if not https:
        return Finding("system-proxy", State.RIGHT, "The system's settings name no proxy.")
    return Finding(
        "system-proxy",
        State.NOTE,
        "The system's settings name a proxy; mfa-audit's own proxy will go through it.",
    )


def check_running(around: Surroundings) -> Finding:
    """Which proxy of mfa-audit runs, and whether it records where reports will look."""
    proxies = [proxy for proxy in around.proxies if proxy.kind == PROXY]
    if not proxies:
        return Finding(
            "running", State.NOTE, "No proxy of mfa-audit is running; `run` and `browse` start their own."
        )
    proxy = proxies[0]
    if proxy.database != around.database.absolute():
        return Finding(
            "running",
            State.WRONG,
            f"The proxy at {proxy.url} records to {proxy.database}, but reports here read {around.database}.",
            "Let them read the same file.",
            around.set_line("MFA_AUDIT_DB", str(proxy.database)),
        )
    more = f" {len(proxies) - 1} more run." if len(proxies) > 1 else ""
    return Finding("running", State.RIGHT, f"A proxy runs at {proxy.url} (process {proxy.pid}).{more}")


def check_upstream(around: Surroundings) -> Finding:
    """Whether the proxy behind ours answers."""
    upstream, trouble = _upstream(around)
    if trouble:
        return Finding("upstream", State.WRONG, trouble, "Correct HTTPS_PROXY, or use --upstream URL.")
    if upstream is None:
        return Finding("upstream", State.RIGHT, "No other proxy stands between this machine and the API.")
    silent = _reach_proxy(upstream)
    if silent is not None:
        return Finding(
            "upstream",
            State.WRONG,
            f"The proxy {upstream.url} does not answer ({silent}).",
            "Ask who runs it, or name another one: mfa-audit proxy --upstream URL",
        )
    return Finding("upstream", State.RIGHT, f"The proxy {upstream.url} answers.")


def check_api(around: Surroundings) -> Finding:
    """Whether the API's host can be reached and shows a certificate that this machine trusts."""
    found = _call_api(around)
    if found.step is Step.DONE:
        return Finding("api", State.RIGHT, f"{found.host} answers ({found.detail}).")
    return Finding(
        "api",
        State.WRONG,
        f"{found.host} cannot be reached: {found.step} failed ({found.detail}).",
        "Check the network. Behind a company's proxy: mfa-audit proxy --upstream http://HOST:PORT. A certificate that "
        "is not trusted: let SSL_CERT_FILE name a bundle with your company's root.",
    )


def check_clock(around: Surroundings) -> Finding:
    """Whether this machine's clock agrees with the API's: periods, expiry and certificates depend on it."""
    found = _call_api(around)
    if found.date is None:
        return Finding(
            "clock", State.UNKNOWN, "The clock could not be compared, since the API did not answer."
        )
    skew = time.time() - found.date
    if abs(skew) > LARGEST_SKEW:
        way = "fast" if skew > 0 else "slow"
        return Finding(
            "clock",
            State.WRONG,
            f"This machine's clock is {abs(skew) / 60:.0f} minutes {way}.",
            "Let the system set its clock from the network.",
            "w32tm /resync" if around.windows else "sudo timedatectl set-ntp true",
        )
    return Finding(
        "clock", State.RIGHT, f"The clock agrees with the API's within {max(1, round(abs(skew)))} s."
    )


def trusting(authority: Path | None = None) -> ssl.SSLContext:
    """A client's TLS that trusts the system's roots, what SSL_CERT_FILE names, and an authority's file."""
    context = ssl.create_default_context()
    held = [*roots.of_system(), *([] if authority is None else roots.at(authority))]
    if held:
        context.load_verify_locations(cadata=roots.to_pem(held).decode())
    return context


def _call_api(around: Surroundings) -> Probe:
    """One call for the two checks that need it."""
    key = (around.hosts[0], around.variable("https_proxy"))
    if key not in _called:
        own = _own_proxy(around)
        upstream, _ = _upstream(around)
        proxy = own.url if own is not None else upstream.url if upstream is not None else None
        _called[key] = probe(around.hosts[0], trusting(own.authority if own is not None else None), proxy)
    return _called[key]


_called: Final[dict[tuple[str, str], Probe]] = {}


def _own_proxy(around: Surroundings) -> RunningProxy | None:
    value = around.variable("https_proxy").rstrip("/")
    return next(
        (proxy for proxy in around.proxies if value in (proxy.url, f"http://localhost:{proxy.port}")), None
    )


def _upstream(around: Surroundings) -> tuple[Upstream | None, str | None]:
    """The proxy behind ours, and a sentence instead where its address cannot be read."""
    try:
        return from_settings(around.variables, own=[proxy.url for proxy in around.proxies]), None
    except AuditError as error:
        return None, f"HTTPS_PROXY: {error}"


def _reach_proxy(upstream: Upstream) -> str | None:
    """Why the proxy does not answer, or None when it does."""
    import socket

    try:
        socket.create_connection((upstream.host, upstream.port), 5).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _set_names(around: Surroundings, *names: str) -> list[str]:
    both = [spelled for name in names for spelled in (name, name.upper())]
    return [name for name in both if name in around.variables]


def _certificates(path: Path) -> list[bytes]:
    try:
        return roots.at(path)
    except OSError:
        return []


def _proxy_script() -> str | None:
    if sys.platform != "win32":
        return os.environ.get("AUTO_PROXY")
    import winreg

    try:
        with winreg.OpenKey(
            winreg.HKEY_CURRENT_USER, r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
        ) as key:
            return str(winreg.QueryValueEx(key, "AutoConfigURL")[0])
    except OSError:
        return None

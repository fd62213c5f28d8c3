"""The proxy behind ours, and our proxy's mode, address and users: what a user writes, checked. Pure.

No sentence of this module quotes what it was given: an address may hold a password.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mfa_audit.errors import AuditError
from mfa_audit.machine.environment import shells
from mfa_audit.machine.loopback import is_loopback, is_own_address

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
_HELP: Final = "--upstream takes http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# mitmproxy's modes that make sense here, and what each needs.
MODES: Final[Mapping[str, str]] = {
    "regular": "clients are told of the proxy (the default)",
    "local": "captures processes of this machine by name or number, without telling them",
    "socks5": "clients are told of a SOCKS proxy",
    "transparent": "the network brings the traffic here",
    "reverse": "clients are told of this address in place of the API's",
    "wireguard": "devices join a WireGuard network",
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy that our proxy has to go through. Its password shows in no repr and no text but
    `authentication`.
    """

    scheme: str
    host: str
    port: int
    authentication: str | None = field(
        default=None, repr=False
    )  # USER:PASSWORD, for mitmproxy's upstream_auth
    exempt: tuple[str, ...] = ()  # entries of NO_PROXY: these hosts are reached without it

    @property
    def url(self) -> str:
        """Without user and password: for people, and for mitmproxy's mode."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def mode(self) -> str:
        """The value of mitmproxy's option `mode`."""
        return f"upstream:{self.url}"


@dataclass(frozen=True, slots=True)
class Route:
    """How calls come to our proxy and leave it; `authentication` is what clients must give: USER:PASSWORD or @FILE."""

    modes: tuple[str, ...] = ()
    upstream: Upstream | None = None
    authentication: str | None = field(default=None, repr=False)

    def options(self) -> dict[str, Any]:
        """mitmproxy's options. There is always a plain listener, so that `env` and `doctor` find the proxy."""
        plain = "regular" if self.upstream is None else self.upstream.mode
        chosen: dict[str, Any] = {"mode": [plain, *(mode for mode in self.modes if mode != "regular")]}
        if self.upstream is not None and self.upstream.authentication is not None:
            chosen["upstream_auth"] = self.upstream.authentication
        if self.authentication is not None:
            chosen["proxyauth"] = self.authentication
        return chosen


def parse(text: str) -> Upstream:
    """The upstream proxy that `text` names. Raises AuditError, which does not quote it."""
    try:
        parts = urlsplit(text.strip() if "://" in text else f"http://{text.strip()}")
        port = parts.port
    except ValueError:
        raise AuditError(f"the address of the upstream proxy cannot be read. {_HELP}.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise AuditError(f"the upstream proxy must be an HTTP proxy, not {parts.scheme[:10]}. {_HELP}.")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise AuditError(f"the address of the upstream proxy cannot be read. {_HELP}.")
    login = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Upstream(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], login)


def from_settings(
    variables: Mapping[str, str], *, own: Sequence[str] = (), listening: tuple[str, int] | None = None
) -> Upstream | None:
    """The proxy that this user's HTTPS takes now: by the variables, else (Windows, macOS) by the system's
    settings. In a terminal that `mfa-audit env` has changed, by what was set before.

    `own` are the URLs of mfa-audit's running proxies, and `listening` is where this one will listen: none of them is
    a way out, however it is spelled. None when there is none, or when NO_PROXY exempts every host. Raises AuditError
    for an address that cannot be read, and for a SOCKS proxy, which mitmproxy cannot go through.
    """
    variables = shells.apply(variables, shells.restore(variables))
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in variables.items()
        if _is_proxy(name, value)
    }
    exempt = tuple(
        entry
        for name in ("no_proxy", "NO_PROXY")
        for entry in re.split(r"[,;\s]+", variables.get(name) or "")
        if entry
    )
    if not proxies:
        proxies = _of_system()
    address = proxies.get("https") or proxies.get("all")
    if address is None or "*" in exempt:
        return None
    if address.lower().startswith("socks"):
        raise AuditError(
            "your settings name a SOCKS proxy, and ours cannot go through one: name an HTTP proxy with "
            "--upstream URL, or --upstream none to go out without one."
        )
    found = parse(address)
    ours = [(one.host, one.port) for one in map(parse, own)] + ([listening] if listening else [])
    if any(is_same(found, host, port) for host, port in ours):
        return None
    return replace(found, exempt=tuple(dict.fromkeys(exempt)))


def is_same(upstream: Upstream, host: str, port: int) -> bool:
    """Whether `upstream` is what listens at `host` and `port` of this machine."""
    if upstream.port != port:
        return False
    return upstream.host.lower() == host.lower() or (
        is_own_address(upstream.host) and (is_own_address(host) or host in ("", "0.0.0.0", "::"))  # noqa: S104
    )


def check_mode(mode: str, *, platform: str, version: tuple[int, ...], root: bool) -> str:
    """mitmproxy's `mode`, or an AuditError that says why it cannot be here.

    `platform` is a `sys.platform`, `version` mitmproxy's, `root` whether this user is root or administrator.
    """
    name, _, rest = mode.partition(":")
    name = name.partition("@")[0]
    if name == "upstream":
        raise AuditError("--mode upstream is --upstream URL, which keeps the password out of sight.")
    if name not in MODES:
        listed = "; ".join(f"{known}: {what}" for known, what in MODES.items())
        raise AuditError(f"--mode does not know that. It takes {listed}.")
    if name == "local" and platform == "linux":
        if version < (11, 1):
            raise AuditError(
                "--mode local on Linux needs mitmproxy 11.1 and so Python 3.12 or newer; use `run`."
            )
        if not root:
            raise AuditError("--mode local on Linux needs root: start it with sudo, or use `run`.")
    if name == "local" and platform not in ("linux", "darwin", "win32"):
        raise AuditError("--mode local works on Windows, macOS and Linux only; use `run`.")
    if name == "transparent" and platform == "win32":
        raise AuditError("--mode transparent does not work on Windows; use --mode local.")
    if name == "reverse" and not rest:
        raise AuditError(
            "--mode reverse takes the API's address: reverse:https://api.partnercenter.microsoft.com."
        )
    return mode


def read_listen(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT`, `:PORT` or `PORT`. Raises AuditError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535 or (":" in host and not text.startswith("[")):
        raise AuditError("--listen takes HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080.")
    return host, int(port)


def check_listening(host: str, authentication: str | None) -> None:
    """Raise AuditError for a proxy that other machines could use without a password.

    `host` is where it listens, `authentication` is mitmproxy's `proxyauth`: USER:PASSWORD, or @FILE of
    htpasswd.
    """
    if authentication is not None and not authentication.startswith("@"):
        user, _, password = authentication.partition(":")
        if not user or not password:
            raise AuditError("--proxy-auth takes USER:PASSWORD, or @FILE with htpasswd lines.")
    if authentication is None and not is_loopback(host):
        raise AuditError(
            "who listens beyond this machine lets others use the proxy: add --proxy-auth USER:PASSWORD, "
            "or listen on 127.0.0.1."
        )


def _is_proxy(name: str, value: str) -> bool:
    return name.lower() in ("https_proxy", "all_proxy") and bool(value.strip())


def _of_system() -> dict[str, str]:
    """Windows: the Internet settings; macOS: the network's; elsewhere nothing. No proxy script is looked at."""
    read = getattr(urllib.request, "getproxies_registry", None) or getattr(
        urllib.request, "getproxies_macosx_sysconf", None
    )
    return dict(read()) if read is not None else {}

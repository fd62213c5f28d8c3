"""The variables and trust bundles that send a child process through the proxy.

The proxy opens only the connections to Partner Center's hosts and passes every other one on untouched. So a
variable that *replaces* a program's trust store is given the roots that it had before and the proxy's; one
that *adds* to it, the proxy's; and variables of programs that never call Partner Center (PIP_CERT,
AWS_CA_BUNDLE, GIT_SSL_CAINFO and the like) stay as they are.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_HOSTS, is_api_host
from mfa_audit.machine.environment import java, roots
from mfa_audit.machine.environment.curl_settings import curl_settings
from mfa_audit.machine.folders import make_private, write_private

# HTTP_PROXY too, although Partner Center speaks only HTTPS: Ruby's Net::HTTP and others look nowhere else.
# ALL_PROXY not: whatever looks at it looks at the more exact names first, except for FTP and the like, which
# this proxy could not serve.
PROXY_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY")
EXEMPTION_VARIABLE: Final = "NO_PROXY"
# This machine needs no proxy to reach itself, and Azure's metadata service, where a script may get its
# secret, does not support one (learn.microsoft.com/azure/virtual-machines/instance-metadata-service,
# "Proxies").
ALWAYS_DIRECT: Final = ("localhost", "127.0.0.1", "::1", "169.254.169.254")

# Replace the roots of: OpenSSL, Python's ssl, httpx, Go, .NET on Linux, Ruby; requests and Azure CLI; curl;
# httplib2; Perl's LWP.
REPLACING: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "PERL_LWP_SSL_CA_FILE",
)
# Come before one of those, but only where somebody set them: Nix's OpenSSL and Perl's Crypt::SSLeay.
REPLACING_WHERE_SET: Final = ("NIX_SSL_CERT_FILE", "HTTPS_CA_FILE")
ADDING: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
# Read by OpenSSL and Go beside SSL_CERT_FILE: it stays, and its certificates are in the bundle for those,
# like httpx, that then look at the file only.
FOLDERS: Final = "SSL_CERT_DIR"

# Variables of ours that may hold a password; no program that mfa-audit starts has a use for them.
SECRETS: Final = ("MFA_AUDIT_UPSTREAM", "MFA_AUDIT_PROXY_AUTH")


def child_environment(
    base: Mapping[str, str],
    *,
    proxy_url: str,
    authority_pem: bytes | Path,
    folder: Path,
    api_hosts: Sequence[str],
    say: Callable[[str], None] = lambda _: None,
    system: str = os.name,
) -> dict[str, str]:
    """`base` with every variable changed that clients look at for a proxy and for the roots they trust.

    `proxy_url` is `http://HOST:PORT`. `authority_pem`: the certificate of the proxy's authority, or the file
    that holds it. The bundles are written to `folder`, made private to this user; the caller deletes it when
    the child has ended. `api_hosts`: the hosts that no NO_PROXY entry may exempt, beside Partner Center's
    own. `say` gets one sentence for each thing that could not be done as it should. `system` is an `os.name`:
    on "nt" a variable has one name in any letters' case. Raises AuditError when `folder` cannot be written or
    the authority cannot be read. SECRETS are left out.
    """
    variables = _Variables(base, any_case=system == "nt")
    try:
        authority = roots.from_pem(
            authority_pem if isinstance(authority_pem, bytes) else authority_pem.read_bytes()
        )
        make_private(folder)
        _redirect(variables, proxy_url, (*API_HOSTS, *api_hosts))
        named = named_roots(base, say, system=system)
        _trust(variables, authority, named, folder, say)
        _direct_java(variables, authority, proxy_url, api_hosts, folder)
        if system == "nt":
            write_private(folder / ".curlrc", curl_settings(variables.get))
            variables.set("CURL_HOME", str(folder))
    except OSError as error:
        raise AuditError(
            f"cannot prepare the trust bundle in {folder} ({error.strerror or error}); make room there, or "
            "name another temporary folder with TMPDIR (Windows: TEMP)"
        ) from error
    return {name: value for name, value in variables.result().items() if name.upper() not in SECRETS}


def exempts(entry: str, host: str) -> bool:
    """Whether any client might read the NO_PROXY `entry` as exempting the DNS name or address `host`.

    Clients differ: curl and Go match whole labels, requests any end of the name, .NET and Node take
    wildcards, some compare a port. Taken in the widest sense, for an exempted API host would be missing from
    the report.
    """
    pattern = entry.strip().lower()
    if not pattern:
        return False
    if pattern == "*":
        return True
    pattern = re.sub(r"^[a-z]+://", "", pattern)
    network = _network(pattern.strip("[]"))
    if network is not None:
        address = _network(host)
        return address is not None and address.version == network.version and address.subnet_of(network)  # type: ignore[arg-type]
    name = re.sub(r":[\d*]+\Z", "", pattern).rstrip(".")
    if "*" in name.lstrip("*") or "?" in name:
        return fnmatch.fnmatchcase(host, name) or fnmatch.fnmatchcase(host, f"*.{name}")
    suffix = name.lstrip("*").lstrip(".")
    return not suffix or host.endswith(suffix)


def exempts_api(entry: str, api_hosts: Sequence[str]) -> bool:
    """Whether the NO_PROXY `entry` might exempt one of `api_hosts`, or a name below Partner Center's domain."""
    name = re.sub(r"^[a-z]+://|:[\d*]+\Z", "", entry.strip().lower()).lstrip("*.")
    return is_api_host(name) or any(exempts(entry, host) for host in api_hosts)


def keep_proxied(exemptions: str, api_hosts: Sequence[str]) -> str:
    """The NO_PROXY value `exemptions` without the entries that might exempt one of `api_hosts`."""
    entries = [entry for entry in re.split(r"[,;\s]+", exemptions) if entry]
    return ",".join(entry for entry in entries if not exempts_api(entry, api_hosts))


class _Variables:
    """An environment block that is being changed; on Windows a name is found in any letters' case."""

    def __init__(self, base: Mapping[str, str], *, any_case: bool) -> None:
        self._any_case = any_case
        self._values = {name.upper() if any_case else name: value for name, value in base.items()}
        self._spelling = {name.upper(): name for name in base} if any_case else {}

    def get(self, name: str) -> str:
        return self._values.get(name, "")

    def set(self, name: str, value: str) -> None:
        self._values[name] = value

    def set_both_cases(self, name: str, value: str) -> None:
        """curl reads `http_proxy` in lower case only, others HTTP_PROXY only; to Windows they are one."""
        self.set(name, value)
        if not self._any_case:
            self.set(name.lower(), value)

    def get_either_case(self, name: str) -> str:
        return self.get(name) or ("" if self._any_case else self.get(name.lower()))

    def result(self) -> dict[str, str]:
        return {self._spelling.get(name, name): value for name, value in self._values.items()}


def _redirect(variables: _Variables, proxy_url: str, api_hosts: Sequence[str]) -> None:
    for name in PROXY_VARIABLES:
        variables.set_both_cases(name, proxy_url)
    exemptions = variables.get_either_case(EXEMPTION_VARIABLE)
    kept = keep_proxied(",".join([exemptions, *ALWAYS_DIRECT]), api_hosts)
    variables.set_both_cases(EXEMPTION_VARIABLE, ",".join(dict.fromkeys(kept.split(","))))
    # Node looks at the proxy variables for its own fetch only when told so: from 24.0 and 22.21 on.
    variables.set("NODE_USE_ENV_PROXY", "1")


def named_roots(
    base: Mapping[str, str], say: Callable[[str], None] = lambda _: None, *, system: str = os.name
) -> list[bytes]:
    """The DER roots in the bundles that the variables of `base` name, so that a company's root stays trusted.

    `say` gets a sentence for each bundle that cannot be read.
    """
    variables = _Variables(base, any_case=system == "nt")
    separator = ";" if system == "nt" else ":"
    named = [(name, variables.get(name)) for name in (*REPLACING, *REPLACING_WHERE_SET)]
    named += [(FOLDERS, path) for path in variables.get(FOLDERS).split(separator)]
    each = {path: name for name, path in reversed(named)}
    return [der for path, name in reversed(each.items()) for der in _read_named(name, path, say)]


def _trust(
    variables: _Variables,
    authority: Sequence[bytes],
    named: Sequence[bytes],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    of_system = roots.of_system()
    if not of_system:
        say("This system keeps no list of root certificates: the command is given Mozilla's (certifi).")
    # Windows lists only the roots that it has needed so far, fewer than requests and httpx bring with them.
    spare = roots.of_mozilla() if os.name == "nt" or not of_system else []
    bundle = folder / "trusted.pem"
    write_private(bundle, roots.to_pem([*authority, *named, *of_system, *spare]))
    for name in REPLACING:
        variables.set(name, str(bundle))
    for name in REPLACING_WHERE_SET:
        if variables.get(name):
            variables.set(name, str(bundle))
    for name in ADDING:
        addition = folder / f"{name.lower().replace('_', '-')}.pem"
        write_private(addition, roots.to_pem([*authority, *_read_named(name, variables.get(name), say)]))
        variables.set(name, str(addition))


def _read_named(name: str, path: str, say: Callable[[str], None]) -> list[bytes]:
    """What the variable `name` names by `path`; nothing, and a word about it, where that fails."""
    if not path:
        return []
    try:
        return roots.at(Path(path))
    except OSError as error:
        say(f"{name} names {path}, which cannot be read ({error.strerror or error}): left out.")
        return []


def _direct_java(
    variables: _Variables,
    authority: Sequence[bytes],
    proxy_url: str,
    api_hosts: Sequence[str],
    folder: Path,
) -> None:
    """Where there is Java: its own roots, what the caller's options name, and the authority, in a store."""
    homes = java.find_homes(variables.result())
    if not homes:
        return
    present = variables.get("JAVA_TOOL_OPTIONS")
    known = [der for home in homes for der in java.roots_of(home)]
    store = folder / "trusted.jks"
    write_private(store, java.write_store([*authority, *java.named_roots(present), *known]))
    direct = java.property_of(present, "http.nonProxyHosts")
    kept = None
    if direct is not None:
        hosts = (*API_HOSTS, *api_hosts)
        kept = [entry for entry in direct.split("|") if not exempts_api(entry, hosts)]
    variables.set(
        "JAVA_TOOL_OPTIONS", java.options(present, proxy_url=proxy_url, store=store, direct_hosts=kept)
    )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None

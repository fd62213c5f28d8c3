"""mitmproxy's own options and what `--set` may do with each: allowed, allowed with a warning, or refused.

An option that is not here is refused, so that a later mitmproxy cannot bring one that opens more than Partner Center,
signs with somebody else's authority or listens for others. The tables hold the options of each mitmproxy that CI runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from mfa_audit.addon.options import OPTIONS
from mfa_audit.errors import AuditError
from mfa_audit.printable import line

# How mitmproxy speaks to clients, servers and name servers. `mode` is checked again once it listens.
ALLOWED: Final = frozenset(
    {
        "block_private",
        "ciphers_client",
        "ciphers_server",
        "client_certs",
        "connect_addr",
        "connection_strategy",
        "dns_name_servers",
        "dns_use_hosts_file",
        "http2",
        "http2_ping_keepalive",
        "http3",
        "http_connect_send_host_header",
        "keep_host_header",
        "mode",
        "normalize_outbound_headers",
        "rawtcp",
        "request_client_cert",
        "save_stream_filter",
        "ssl_verify_upstream_trusted_ca",
        "ssl_verify_upstream_trusted_confdir",
        "stream_large_bodies",
        "strip_ech",
        "tcp_timeout",
        "tls_ecdh_curve_client",
        "tls_ecdh_curve_server",
        "tls_version_client_max",
        "tls_version_client_min",
        "tls_version_server_max",
        "tls_version_server_min",
        "validate_inbound_headers",
        "websocket",
    }
)

_TOKENS: Final = "that file will hold live tokens; anybody who can read it can use them until they expire"
_CHANGED: Final = "calls leave here changed; the report judges them as the tool sent them"

# Option -> what its user should know.
WARNED: Final[Mapping[str, str]] = {
    "anticache": _CHANGED,
    "anticomp": _CHANGED,
    "block_global": "clients with public addresses may connect",
    "hardump": _TOKENS,
    "ignore_hosts": "calls to these hosts are not read; those to Partner Center make the answer unclear",
    "keep_alt_svc_header": "clients may go past the proxy from their second call on, unseen",
    "map_remote": "calls go elsewhere with their tokens, and what answers is taken for Partner Center",
    "modify_body": _CHANGED,
    "modify_headers": _CHANGED,
    "save_stream_file": _TOKENS,
    "scripts": "the script sees live tokens",
    "ssl_insecure": "the server's certificate is not checked; anybody on the way to it can read the tokens",
    "store_streamed_bodies": "large bodies are kept in memory",
}

_AUTHORITY: Final = "the certificate authority is mfa-audit's own"
_COPYING: Final = "a certificate that copies the server's names breaks the limits of mfa-audit's authority"
_HOSTS: Final = "only Partner Center's hosts are opened; add an API host with --host NAME"
_ANSWERS: Final = "an answer that is not Partner Center's own would be judged as if it were"
_PASSIVE: Final = "no call may fail or change whose it is because of the recording"
_LISTEN: Final = "use --listen HOST:PORT"
_NO_WINDOW: Final = (
    "it changes mitmproxy's windows, and there is none here; use mitmproxy or mitmweb for that"
)
_REPLAY: Final = "only live calls are recorded; audit a saved one with mfa-audit import FILE"
_SILENT: Final = "nothing of a call is printed here; `mfa-audit addon` says how to use mitmdump, which can"
_EMUDHRA: Final = (
    "it signs with a compromised public authority whose key everybody has; programs trust mfa-audit's own after "
    "`mfa-audit trust`"
)

# Option -> why not, and what to use instead.
REFUSED: Final[Mapping[str, str]] = {
    "add_upstream_certs_to_client_chain": _COPYING,
    "allow_hosts": _HOSTS,
    "block_list": _ANSWERS,
    "body_size_limit": _PASSIVE,
    "cert_passphrase": _AUTHORITY,
    "certs": _AUTHORITY,
    "client_replay": _REPLAY,
    "client_replay_concurrency": _REPLAY,
    "command_history": _NO_WINDOW,
    "confdir": _AUTHORITY,
    "content_view_lines_cutoff": _NO_WINDOW,
    "dumper_default_contentview": _SILENT,
    "dumper_filter": _SILENT,
    "emudhra": _EMUDHRA,
    "emudhra_old": _EMUDHRA,
    "export_preserve_original_ip": _NO_WINDOW,
    "flow_detail": _SILENT,
    "keepserving": "the proxy serves until it is stopped",
    "key_size": _AUTHORITY,
    "listen_host": _LISTEN,
    "listen_port": _LISTEN,
    "map_local": _ANSWERS,
    "onboarding": "mitm.it stays off; the start names the authority's file, and `mfa-audit trust` installs it",
    "onboarding_host": "mitm.it stays off",
    "protobuf_definitions": _NO_WINDOW,
    "proxy_debug": _SILENT,
    "proxyauth": "use mfa-audit proxy --proxy-auth USER:PASSWORD",
    "readfile_filter": _REPLAY,
    "rfile": _REPLAY,
    "server": "the proxy is what records",
    "server_replay": _ANSWERS,
    "server_replay_extra": _ANSWERS,
    "server_replay_ignore_content": _ANSWERS,
    "server_replay_ignore_host": _ANSWERS,
    "server_replay_ignore_params": _ANSWERS,
    "server_replay_ignore_payload_params": _ANSWERS,
    "server_replay_ignore_port": _ANSWERS,
    "server_replay_kill_extra": _ANSWERS,
    "server_replay_nopop": _ANSWERS,
    "server_replay_refresh": _ANSWERS,
    "server_replay_reuse": _ANSWERS,
    "server_replay_use_headers": _ANSWERS,
    "show_ignored_hosts": _NO_WINDOW,
    "showhost": _NO_WINDOW,
    "stickyauth": _PASSIVE,
    "stickycookie": _PASSIVE,
    "tcp_hosts": "calls to these hosts could not be read; leave hosts unopened with --set ignore_hosts=PATTERN",
    "termlog_verbosity": _SILENT,
    "udp_hosts": "calls to these hosts could not be read; leave hosts unopened with --set ignore_hosts=PATTERN",
    "upstream_auth": "use --upstream http://USER:PASSWORD@HOST:PORT",
    "upstream_cert": _COPYING,
    **{option.mitmproxy_name: f"use {option.flag}" for option in OPTIONS if option.flag is not None},
}
_OWN: Final = frozenset(option.mitmproxy_name for option in OPTIONS if option.flag is None)


def check_names(names: Sequence[str]) -> None:
    """Raise AuditError for the first of these options that `--set` may not touch."""
    for name in names:
        if name in REFUSED:
            refuse(name, REFUSED[name])
        if name not in ALLOWED and name not in WARNED and name not in _OWN:
            refuse(
                name,
                "mfa-audit does not know this option of mitmproxy, so it is not allowed; see docs/options.md",
            )


def refuse(name: str, why: str) -> NoReturn:
    """Raise the AuditError for an option given to `--set`."""
    raise AuditError(f"--set {line(name)}: {why}.")

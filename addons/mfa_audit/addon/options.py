"""The addon's options in mitmproxy, and what they ask the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mitmproxy.addonmanager import Loader

from mfa_audit.judging.people import Mode

# Asked for by the user with --validate and --enforce: the header, its value, and the methods it may be added to.
# MS-Enforce-MFA makes the server refuse, so it is kept to calls that change nothing.
TESTS: Final = {
    "mfa_audit_validate": ("ValidateMfa", "true", None),
    "mfa_audit_enforce": ("MS-Enforce-MFA", "True", ("GET", "HEAD")),
}

# A change of any of these starts a new recording.
RECORDING_OPTIONS: Final = (
    "mfa_audit_db",
    "mfa_audit_validate",
    "mfa_audit_enforce",
    "mfa_audit_users",
    "mfa_audit_synchronous",
    "mfa_audit_keep_calls",
    "mfa_audit_keep_totals",
)


def add_options(loader: Loader) -> None:
    """Tell mitmproxy of the options."""
    loader.add_option(
        "mfa_audit_db",
        str,
        "",
        "The audit database. Empty: audit.db in your data folder, as `mfa-audit` uses.",
    )
    loader.add_option(
        "mfa_audit_hosts",
        Sequence[str],
        [],
        "Further API hosts to audit, by name.",
    )
    loader.add_option(
        "mfa_audit_validate",
        bool,
        False,
        "Ask Partner Center whether each user token is MFA compliant (adds ValidateMfa: true to calls).",
    )
    loader.add_option(
        "mfa_audit_enforce",
        bool,
        False,
        "Ask Partner Center to refuse user tokens without MFA (adds MS-Enforce-MFA: True to GET and HEAD).",
    )
    loader.add_option(
        "mfa_audit_users",
        str,
        "name",
        "How users are stored: by name, under a pseudonym, or not at all (none).",
        choices=[mode.value for mode in Mode],
    )
    loader.add_option(
        "mfa_audit_synchronous",
        str,
        "normal",
        "normal: recorded calls survive the end of the process; full: also a power failure, at the disk's speed.",
        choices=["normal", "full"],
    )
    loader.add_option(
        "mfa_audit_tunnel",
        bool,
        True,
        "Let connections pass unread that would fail: of a program that has just refused the proxy's certificate, "
        "and to a server whose TLS fails.",
    )
    loader.add_option("mfa_audit_keep_calls", int, 90, "Days to keep single calls.")
    loader.add_option("mfa_audit_keep_totals", int, 400, "Days to keep hourly totals.")


def add_page_option(loader: Loader) -> None:
    """Tell mitmproxy of the option of the live page, which `mfa-audit proxy` alone has."""
    loader.add_option(
        "mfa_audit_page",
        str,
        "mfa.audit",
        "The name of the live report page for browsers that use this proxy. Empty: no page.",
    )

"""The recorder's options, a row each: mitmproxy's options, the command line and the docs all follow from these rows.

Loads no mitmproxy: `mfa-audit run --help` reads the rows too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mfa_audit.judging.people import Mode

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader

PREFIX: Final = "mfa_audit_"


@dataclass(frozen=True, slots=True)
class RecorderOption:
    """One option of the recorder.

    `name` is its name in mitmproxy without `mfa_audit_`; `type` is what mitmproxy's own options have. `flag` is what
    sets it in `run`, `proxy` and `browse`, with its argument; an option without one is set by `--set`. `restarts`: a
    change begins a new recording. `page`: it belongs to the live page, which only `proxy` has.
    """

    name: str
    type: Any
    default: Any
    help: str
    flag: str | None = None
    choices: tuple[str, ...] = ()
    restarts: bool = True
    page: bool = False

    @property
    def mitmproxy_name(self) -> str:
        """The option's name in mitmproxy."""
        return PREFIX + self.name

    @property
    def how(self) -> str:
        """What a person types to set it on mfa-audit's own command line."""
        return self.flag or f"--set {self.mitmproxy_name}=VALUE"


OPTIONS: Final[Sequence[RecorderOption]] = (
    RecorderOption("db", str, "", "The audit database. Empty: audit.db in your data folder.", "--db PATH"),
    RecorderOption(
        "hosts", Sequence[str], (), "A further API host. Repeatable.", "--host NAME", restarts=False
    ),
    RecorderOption(
        "validate",
        bool,
        False,
        "Ask Partner Center on each call with a user token whether it is MFA compliant (ValidateMfa).",
        "--validate",
    ),
    RecorderOption(
        "enforce",
        bool,
        False,
        "Ask Partner Center to refuse user tokens without MFA (MS-Enforce-MFA), GET and HEAD only.",
        "--enforce",
    ),
    RecorderOption(
        "users",
        str,
        "name",
        "Store users by name, under a pseudonym, or not at all.",
        "--users MODE",
        choices=tuple(mode.value for mode in Mode),
    ),
    RecorderOption(
        "synchronous",
        str,
        "normal",
        "full: recorded calls survive a power failure too, at the disk's speed.",
        "--synchronous MODE",
        choices=("normal", "full"),
    ),
    RecorderOption(
        "tunnel",
        bool,
        True,
        "Fail calls that would else pass unread: after a refused certificate, or where the server's TLS fails.",
        "--no-tunnel",
        restarts=False,
    ),
    RecorderOption("keep_calls", int, 90, "Days to keep single calls."),
    RecorderOption("keep_totals", int, 400, "Days to keep hourly totals."),
    RecorderOption(
        "page",
        str,
        "mfa.audit",
        "The name of the live report page for browsers that use the proxy. Empty: no page.",
        restarts=False,
        page=True,
    ),
)

# A header that asks the server something, its value, and the methods it may be added to (None: all).
Test = tuple[str, str, tuple[str, ...] | None]

# Asked for by the user with --validate and --enforce: by the name of the option.
# MS-Enforce-MFA makes the server refuse, so it is kept to calls that change nothing.
TESTS: Final[dict[str, Test]] = {
    "mfa_audit_validate": ("ValidateMfa", "true", None),
    "mfa_audit_enforce": ("MS-Enforce-MFA", "True", ("GET", "HEAD")),
}

# A change of any of these starts a new recording.
RECORDING_OPTIONS: Final = tuple(option.mitmproxy_name for option in OPTIONS if option.restarts)


def add_options(loader: Loader, *, page: bool = False) -> None:
    """Tell mitmproxy of the recorder's options, or with `page` of those of the live page."""
    for option in OPTIONS:
        if option.page is page:
            default = list(option.default) if isinstance(option.default, tuple) else option.default
            loader.add_option(
                option.mitmproxy_name, option.type, default, option.help, choices=option.choices or None
            )

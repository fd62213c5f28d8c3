"""The options that all recording commands share: what to record, how to ask Partner Center, which way out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mfa_audit.addon.options import OPTIONS, RecorderOption
from mfa_audit.commands import database_option
from mfa_audit.commands.judging_options import names_option, read_settings, strict_option
from mfa_audit.exchanges.exchange import check_hosts
from mfa_audit.machine import proxies
from mfa_audit.machine.authorities import Authority
from mfa_audit.proxy.mitmproxy_options import check_names
from mfa_audit.proxy.upstream import Route, Upstream, from_settings, parse
from mfa_audit.reports.settings import Settings

if TYPE_CHECKING:
    from mfa_audit.proxy.serving import ProxySettings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _as_click(option: RecorderOption) -> Decorator:
    """The command line's option for one of the recorder's, whose value has the option's name in mitmproxy."""
    flag, _, argument = (option.flag or "").partition(" ")
    name, help_ = option.mitmproxy_name, option.help
    if option.type is bool:
        return click.option(
            flag, name, is_flag=True, flag_value=not option.default, default=option.default, help=help_
        )
    if option.choices:
        return click.option(
            flag,
            name,
            type=click.Choice(option.choices),
            default=option.default,
            show_default=True,
            help=help_,
        )
    return click.option(
        flag, name, metavar=argument, multiple=not isinstance(option.default, str), help=help_
    )


# `--db` is the same for all commands that read or store.
_RECORDER: Final = tuple(option for option in OPTIONS if option.flag is not None and option.name != "db")
_OPTIONS: Final = (
    database_option(),
    *map(_as_click, _RECORDER),
    click.option(
        "--upstream",
        metavar="URL",
        envvar="MFA_AUDIT_UPSTREAM",
        help="The proxy behind ours, http://USER:PASSWORD@HOST:PORT, or none. Default: the one in use now.",
    ),
    click.option(
        "--set",
        "extra",
        multiple=True,
        metavar="NAME=VALUE",
        help="A mitmproxy option, as for mitmdump (docs/options.md says which). Repeatable.",
    ),
    names_option,
    strict_option,
)


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What the options that all recording commands share were given.

    `recorder`: the recorder's own options but the database, by their names in mitmproxy.
    """

    database: Path
    recorder: Mapping[str, Any]
    upstream: str | None
    extra: tuple[str, ...]
    names: Path | None
    strict: bool

    @property
    def hosts(self) -> tuple[str, ...]:
        """The further API hosts."""
        return tuple(self.recorder["mfa_audit_hosts"])

    def report_settings(self) -> Settings:
        """How to report on the recording. Raises AuditError."""
        return read_settings(self.names, None, self.strict)

    def read_upstream(self, listening: tuple[str, int]) -> Upstream | None:
        """The proxy behind ours: what `--upstream` names, else the one that this user's HTTPS takes now.

        `listening` is where ours will listen.

        None for `--upstream none`, and where `--set mode=...` says otherwise. Raises AuditError.
        """
        if self.upstream is not None:
            return None if self.upstream.lower() == "none" else parse(self.upstream)
        if any(spec.startswith("mode=") for spec in self.extra):
            return None
        return from_settings(os.environ, own=[proxy.url for proxy in proxies.find_all()], listening=listening)

    def proxy_settings(
        self,
        kind: str,
        authority: Authority,
        listen: tuple[str, int],
        *,
        route: Route | None = None,
        page: bool = False,
    ) -> ProxySettings:
        """How to record as a command of this `kind`. Raises AuditError."""
        from mfa_audit.proxy.serving import ProxySettings

        host, port = listen
        return ProxySettings(
            kind=kind,
            database=self.database,
            authority=authority,
            host=host,
            port=port,
            hosts=self.hosts,
            recorder=self.recorder,
            extra=self.extra,
            route=route or Route(upstream=self.read_upstream(listen)),
            page=page,
        )


def recording_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command, which gets them as one argument, `recording`."""

    @wraps(function)
    def gather(**values: Any) -> Any:
        recorder = {option.mitmproxy_name: values.pop(option.mitmproxy_name) for option in _RECORDER}
        recorder["mfa_audit_hosts"] = check_hosts(recorder["mfa_audit_hosts"])
        check_names([spec.partition("=")[0] for spec in values["extra"]])  # before anything is made
        given = {one.name: values.pop(one.name) for one in fields(RecordingOptions) if one.name != "recorder"}
        return function(recording=RecordingOptions(recorder=recorder, **given), **values)

    command: Callable[..., Any] = gather
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

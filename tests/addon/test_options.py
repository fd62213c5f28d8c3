"""The recorder's options: one table, which mitmproxy, the command line, `--set` and the docs follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from mfa_audit.addon.live import PartnerCenterMfa
from mfa_audit.addon.options import OPTIONS, RecorderOption
from mfa_audit.commands import browse, proxy, run
from mfa_audit.errors import AuditError
from mfa_audit.proxy.live_page_addon import LivePage
from mfa_audit.proxy.mitmproxy_options import check_names

FLAGGED = [option for option in OPTIONS if option.flag is not None]
DOCS = Path(__file__).parents[2] / "docs" / "options.md"


def test_mitmproxy_gets_each_of_them(mitmproxy_context: Any) -> None:
    """The addon and the live page have exactly the table's options, with its defaults and choices."""
    mitmproxy_context.master.addons.add(PartnerCenterMfa(opens=False), LivePage())
    there = mitmproxy_context.options._options
    assert {option.mitmproxy_name for option in OPTIONS} == {
        name for name in there if name.startswith("mfa_audit_")
    }
    for option in OPTIONS:
        held = there[option.mitmproxy_name]
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        assert (default, list(option.choices) or None) == (held.default, held.choices and list(held.choices))


@pytest.mark.parametrize(
    "command", [run.command, proxy.command, browse.command], ids=["run", "proxy", "browse"]
)
@pytest.mark.parametrize("option", FLAGGED, ids=lambda option: option.name)
def test_the_command_line_has_those_with_a_flag(command: click.Command, option: RecorderOption) -> None:
    """Each option with a flag is an option of every recording command."""
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert str(option.flag).split()[0] in flags


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_set_takes_those_without_a_flag(option: RecorderOption) -> None:
    """`--set` refuses an option that has a flag, naming it, and takes one that has none."""
    if option.flag is None:
        check_names([option.mitmproxy_name])
        return
    with pytest.raises(AuditError, match=f"{option.mitmproxy_name}: use {option.flag}"):
        check_names([option.mitmproxy_name])


def test_the_docs_list_them() -> None:
    """docs/options.md has a row for each option, with how it is set, its default and its help."""
    rows = DOCS.read_text("utf-8").splitlines()
    for option in OPTIONS:
        default = option.default if option.default not in ("", ()) else "(none)"
        choices = f" One of {', '.join(option.choices)}." if option.choices else ""
        shown = str(default).lower() if isinstance(default, bool) else default
        assert f"| `{option.mitmproxy_name}` | `{option.how}` | {shown} | {option.help}{choices} |" in rows, (
            option.name
        )

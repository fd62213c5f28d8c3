"""What `--set` may do with mitmproxy's own options: each is known, and what could harm is refused or warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mitmproxy import options, version
from mitmproxy.addons import default_addons
from mitmproxy.addons.dumper import Dumper
from mitmproxy.addons.keepserving import KeepServing
from mitmproxy.addons.readfile import ReadFileStdin
from mitmproxy.addons.termlog import TermLog

from mfa_audit.addon.options import PREFIX
from mfa_audit.errors import AuditError
from mfa_audit.proxy.mitmproxy_options import ALLOWED, REFUSED, WARNED, check_names
from processes import Audit

DOCS = Path(__file__).parents[2] / "docs" / "options.md"
MAJOR = int(version.VERSION.partition(".")[0])
# Options of the table that an older mitmproxy lacks.
SINCE_12 = {"emudhra", "emudhra_old", "protobuf_definitions", "store_streamed_bodies", "tcp_timeout"}


def of_mitmproxy(names: Any) -> set[str]:
    return {name for name in names if not name.startswith(PREFIX)}


def test_the_table_has_the_options_of_this_mitmproxy(mitmproxy_context: Any) -> None:
    """Each option of the installed mitmproxy, mitmdump's included, is allowed, warned of or refused; no other is."""
    addons = [*default_addons(), Dumper(), KeepServing(), ReadFileStdin(), TermLog()]
    mitmproxy_context.master.addons.add(*(one for one in addons if type(one).__name__ != "Core"))
    installed = set(mitmproxy_context.options._options) | set(options.Options()._options)
    known = of_mitmproxy([*ALLOWED, *WARNED, *REFUSED])
    assert set() == installed - known
    assert (SINCE_12 if MAJOR < 12 else set()) == known - installed


def test_no_option_is_in_two_places() -> None:
    """Allowed, warned of and refused are three sets without a common option."""
    assert len({*ALLOWED, *WARNED, *REFUSED}) == len(ALLOWED) + len(WARNED) + len(REFUSED)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("emudhra", "compromised public authority"),
        ("emudhra_old", "compromised public authority"),
        ("certs", "certificate authority is mfa-audit's own"),
        ("allow_hosts", "add an API host with --host"),
        ("listen_port", "use --listen HOST:PORT"),
        ("upstream_auth", "use --upstream"),
        ("server_replay", "not Partner Center's own"),
        ("an_option_of_tomorrow", "does not know this option"),
    ],
)
def test_refused(name: str, told: str) -> None:
    """What would open, sign, listen or answer otherwise is refused with the reason, and so is an unknown option."""
    with pytest.raises(AuditError, match=f"--set {name}: .*{told}"):
        check_names(["http2", name])


def test_a_file_of_live_tokens_is_warned_of(audit: Audit, database: Path, tmp_path: Path) -> None:
    """`run` says that a file of flows will hold live tokens; not with --quiet, and not for an option that is off."""
    flows = f"save_stream_file={tmp_path / 'all.flows'}"
    common = ("--db", database, "--fail-on", "no", "--set", flows, "--set", "ssl_insecure=false")
    told = audit.run("run", *common, "--", "true").stderr
    assert "--set save_stream_file: that file will hold live tokens" in told
    assert "ssl_insecure" not in told
    assert "" == audit.run("run", "--quiet", *common, "--", "true").stderr


def test_an_option_of_another_mitmproxy_is_refused(audit: Audit, database: Path) -> None:
    """An allowed option that the installed mitmproxy lacks ends the start, since mitmproxy would ignore it."""
    done = audit.run("run", "--db", database, "--set", "tcp_timeout=100", "--", "true")
    if MAJOR < 12:
        assert 2 == done.returncode
        assert f"--set tcp_timeout: mitmproxy {version.VERSION} has no such option." in done.stderr
    else:
        assert 3 == done.returncode


def test_the_docs_list_them() -> None:
    """docs/options.md names each option where it belongs, with the warning or the reason."""
    text = DOCS.read_text("utf-8")
    rows = text.splitlines()
    allowed = text.partition("<!-- allowed -->")[2].partition("\n\n")[0]
    assert sorted(ALLOWED) == allowed.strip().rstrip(".").replace("`", "").replace("\n", " ").split(", ")
    for table in (WARNED, REFUSED):
        for name, told in table.items():
            if not name.startswith(PREFIX):
                assert f"| `{name}` | {told[0].upper()}{told[1:]}. |" in rows, name

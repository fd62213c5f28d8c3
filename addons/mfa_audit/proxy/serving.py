"""The recording proxy: mitmproxy in this process, opened for Partner Center only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mitmproxy import addons, exceptions, master, options, version
from mitmproxy.net import tls

from mfa_audit.addon.live import PartnerCenterMfa
from mfa_audit.addon.programs import holder_of
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import API_DOMAIN, API_HOSTS
from mfa_audit.machine import scratch
from mfa_audit.machine.authorities import PRIVATE_FILE, Authority
from mfa_audit.machine.environment import roots
from mfa_audit.machine.environment.variables import named_roots
from mfa_audit.machine.folders import write_private
from mfa_audit.machine.loopback import is_loopback
from mfa_audit.printable import line
from mfa_audit.proxy.live_page_addon import LivePage, Read
from mfa_audit.proxy.mitmproxy_options import WARNED, check_names, refuse
from mfa_audit.proxy.passing import passing
from mfa_audit.proxy.passing.connecting import IDLE_SECONDS, keep_alive
from mfa_audit.proxy.passing.passing_addon import Passing
from mfa_audit.proxy.upstream import DEFAULT_HOST, DEFAULT_PORT, Route, is_same
from mfa_audit.store.recorder import Recorder

_START_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How to record. `kind` as in Session; port 0 takes a free one; `extra` are NAME=VALUE for mitmproxy's options.

    `recorder`: further options of the recorder, by their names in mitmproxy. `page`: with a live report page, which
    `Proxy.open_page` opens.
    """

    kind: str
    database: Path
    authority: Authority
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    hosts: tuple[str, ...] = ()
    recorder: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = field(default=())
    route: Route = field(default_factory=Route)
    page: bool = False
    refusing: str | None = None


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that listens. `url` is what a client is given; `remarks` what its user should know of `--set`."""

    host: str
    port: int
    recorder: Recorder
    page: LivePage | None = None
    remarks: tuple[str, ...] = ()

    def open_page(self, read: Read) -> str | None:
        """Show the reports that `read` gives on the proxy's own port, and through it under the page's name.

        The address that opens the page, secret included; None where there is to be no page, which is so whenever
        others than this machine reach the proxy (`LivePage.open`).
        """
        return None if self.page is None else self.page.open(read)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _Master(master.Master):
    """mitmproxy's master that says when it is ready, and keeps what went wrong until then.

    Not mitmproxy's DumpMaster: its error check ends the process with 1, and its log may use stdout.
    """

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts)
        self.ready = asyncio.Event()

    async def running(self) -> None:
        await super().running()
        self.ready.set()


class _Talk(logging.Handler):
    """Passes on what the addon and the recorder have to say."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


class _StartLog(logging.Handler):
    """Keeps mitmproxy's error messages of the start; later ones may quote a request, and are never shown."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def allowed_hosts(hosts: Sequence[str]) -> list[str]:
    """mitmproxy's `allow_hosts` for Partner Center's and these further hosts: all others are tunnelled unopened."""
    names = [re.escape(host) for host in (*API_HOSTS, *hosts)]
    return [rf"^{name}:\d+$" for name in (*names, rf"[^:/]+\.{re.escape(API_DOMAIN)}")]


@contextlib.asynccontextmanager
async def serve(settings: ProxySettings, say: Callable[[str], None]) -> AsyncIterator[Proxy]:
    """A proxy that records for as long as the context lasts; `say` gets its warnings, such as lost rows.

    Raises AuditError before any traffic is taken: for an option that mitmproxy does not know or take, a port in
    use, an unusable database.
    """
    log, talk = _StartLog(), _Talk(say)
    logging.getLogger().addHandler(log)
    logging.getLogger("mfa_audit").addHandler(talk)
    addon = PartnerCenterMfa(settings.kind, opens=False)
    page = LivePage() if settings.page else None
    running: asyncio.Task[None] | None = None
    replaced = contextlib.ExitStack()
    try:
        replaced.enter_context(passing())
        folder = replaced.enter_context(scratch.folder())
        settings.authority.lend_key(folder)
        machine, remarks = _configure(settings, addon, page, folder)
        _mute()
        _keep_no_tls_secrets()
        running = asyncio.create_task(machine.run())
        await _wait_until_ready(machine, running, log, settings)
        (folder / PRIVATE_FILE).unlink()  # mitmproxy has it in memory, and loads it no more once it runs
        address = machine.addons.get("proxyserver").listen_addrs()[0]
        logging.getLogger().removeHandler(log)
        _check_listeners(machine, settings.route)
        keep_alive(machine.addons.get("proxyserver"))
        assert addon.recorder is not None  # noqa: S101 - configuring opened it, or raised
        yield Proxy(address[0], address[1], addon.recorder, page, remarks)
    finally:
        logging.getLogger().removeHandler(log)
        if running is not None:
            await _stop(machine, running)
        if addon.recorder is not None:
            addon.recorder.close()
        replaced.close()
        logging.getLogger("mfa_audit").removeHandler(talk)


def _configure(
    settings: ProxySettings, addon: PartnerCenterMfa, page: LivePage | None, folder: Path
) -> tuple[_Master, tuple[str, ...]]:
    opts = options.Options()
    machine = _Master(opts)
    # Ours first: they must see each request before any addon that reroutes or rewrites it.
    ours = [addon] if page is None else [addon, page]
    last = Passing(addon, settings.authority, settings.hosts, settings.route, settings.refusing)
    machine.addons.add(*ours, *addons.default_addons(), last)
    if "tcp_timeout" in opts:  # mitmproxy 12; in 11 it is a constant, which `passing` sets
        opts.update(tcp_timeout=IDLE_SECONDS)
    try:
        opts.update(
            confdir=str(folder),
            listen_host=settings.host,
            listen_port=settings.port,
            allow_hosts=allowed_hosts(settings.hosts),
            # A large body goes on to the client as it comes.
            stream_large_bodies="1m",
            # A leaf that copied names from the server's certificate would break the authority's constraints.
            upstream_cert=False,
            onboarding=False,
            # mitmproxy refuses what some servers send and their clients take, such as blanks around a field. Its
            # connections to servers belong to one client's connection each, so nobody can smuggle into another's.
            validate_inbound_headers=False,
            # A ping that clients never sent may count as abuse, and keeps alive what the server wants to close.
            http2_ping_keepalive=0,
            ssl_verify_upstream_trusted_ca=str(_write_roots(folder)),
            **settings.route.options(),
        )
        remarks = _set_extra(opts, settings.extra)
        own = {"mfa_audit_hosts": list(settings.hosts), "mfa_audit_db": str(settings.database)}
        opts.update(**{**settings.recorder, **own})
        addon.open()
    except exceptions.OptionsError as error:
        raise AuditError(line(str(error), 1_000)) from None
    return machine, remarks


def _write_roots(folder: Path) -> Path:
    """The roots for the API's own certificate: what this machine's clients trust, a company's root included.

    mitmproxy's default is Mozilla's list alone, which fails behind a company's inspecting proxy.
    """
    path = folder / "upstream-roots.pem"
    trusted = roots.to_pem([*named_roots(os.environ), *roots.of_system(), *roots.of_mozilla()])
    try:
        write_private(path, trusted)
    except OSError as error:
        raise AuditError(
            f"cannot write {path} ({error.strerror or error}); make that folder writable."
        ) from None
    return path


def _set_extra(opts: options.Options, extra: Sequence[str]) -> tuple[str, ...]:
    """Apply `--set NAME=VALUE` and return what its user should know of these options.

    mitmproxy ignores unknown names and bad choices without a word; here they are refused (AuditError).
    """
    names = list(dict.fromkeys(spec.partition("=")[0] for spec in extra))
    check_names(names)
    opts.set(*extra, defer=True)
    remarks = []
    for name in names:
        if name in opts.deferred:
            refuse(name, f"mitmproxy {version.VERSION} has no such option")
        option = opts._options[name]
        if option.choices and option.current() not in option.choices:
            refuse(name, f"it must be one of {', '.join(map(str, option.choices))}")
        if name in WARNED and option.current() != option.default:
            remarks.append(f"--set {name}: {WARNED[name]}.")
    return tuple(remarks)


def _mute() -> None:
    """mitmproxy lets every library log at DEBUG; a library's debug message may quote a header."""
    logging.getLogger().setLevel(logging.WARNING)
    # On a stop mitmproxy cancels its open connections, and asyncio of Python 3.11 logs a traceback for each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _keep_no_tls_secrets() -> None:
    """Where SSLKEYLOGFILE or MITMPROXY_SSLKEYLOGFILE names a file when mitmproxy is loaded, it appends the secrets of
    all TLS that it opens to that file, which everybody may read; with them a recording of the network shows tokens.
    """
    tls.log_master_secret = None


async def _wait_until_ready(
    machine: _Master, running: asyncio.Task[None], log: _StartLog, settings: ProxySettings
) -> None:
    ready = asyncio.create_task(machine.ready.wait())
    await asyncio.wait([ready, running], timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    server = machine.addons.get("proxyserver")
    if machine.ready.is_set() and server.listen_addrs() and not running.done():
        return
    trouble = " ".join(log.messages) or "mitmproxy did not start."
    if "address already in use" in trouble.lower() or "10048" in trouble:  # the latter on Windows
        who = holder_of(settings.port) or "a program"
        trouble = (
            f"port {settings.port} on {settings.host} is in use: {who} has it; name another port with "
            "--listen HOST:PORT, or end that program."
        )
    raise AuditError(line(trouble, 1_000))


def _check_listeners(machine: _Master, route: Route) -> None:
    """Raise AuditError when others than this machine reach the proxy without a password, whatever opened it, and
    when the proxy would go out through itself.
    """
    addresses = machine.addons.get("proxyserver").listen_addrs()
    if route.upstream is not None and any(is_same(route.upstream, *address[:2]) for address in addresses):
        raise AuditError(
            "--upstream names this very proxy, which would send each call to itself: name another, or none."
        )
    open_to_all = [f"{address[0]}:{address[1]}" for address in addresses if not is_loopback(address[0])]
    if open_to_all and not machine.options.proxyauth:
        raise AuditError(
            f"others than this machine would reach the proxy at {line(', '.join(open_to_all))} without a password: "
            "add --proxy-auth USER:PASSWORD, or have each --mode listen on 127.0.0.1, as in socks5@127.0.0.1:1080."
        )


async def _stop(machine: _Master, running: asyncio.Task[None]) -> None:
    """Free the port, end what is open, and let every addon finish."""
    with contextlib.suppress(Exception):
        await machine.addons.get("proxyserver").servers.update([])
    machine.shutdown()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(running, timeout=15)

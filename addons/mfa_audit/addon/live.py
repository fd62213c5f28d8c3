"""Live traffic: mitmproxy's hooks. They change nothing, and no call fails for what happens in here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

from mitmproxy import connection, ctx, exceptions, http, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import layer

from mfa_audit.addon.calls import PROGRAM_PATIENCE, Calls
from mfa_audit.addon.connections import Blindness
from mfa_audit.addon.options import RECORDING_OPTIONS, TESTS, add_options
from mfa_audit.addon.programs import Programs
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Program, check_hosts, is_api_host
from mfa_audit.judging.clients import client_of
from mfa_audit.judging.observations import Judge
from mfa_audit.judging.people import NAMES, Mode
from mfa_audit.machine.folders import default_database
from mfa_audit.machine.loopback import is_loopback
from mfa_audit.machine.people_key import people_for
from mfa_audit.store.files import warn_if_shared
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.retention import FEWEST_TOTALS_DAYS, Retention
from mfa_audit.store.sessions import Session

logger = logging.getLogger("mfa_audit")

Result = TypeVar("Result")


def _guarded(hook: Callable[..., Result]) -> Callable[..., Result | None]:
    """The hook, but what goes wrong in it is counted, and never raised."""

    @wraps(hook)
    def run(self: PartnerCenterMfa, *given: object) -> Result | None:
        try:
            return hook(self, *given)
        except Exception as error:
            self._fail(error)
            return None

    return run


class PartnerCenterMfa:
    """The addon. `kind` says in the database how it was started: addon, proxy, run, browse or demo.

    Begins a recording whenever its options change, unless `opens` is False: then its owner calls `open` once all
    options are set.
    """

    def __init__(self, kind: str = "addon", *, opens: bool = True) -> None:
        self.kind = kind
        self._opens = opens
        self.recorder: Recorder | None = None
        self.failures = 0
        self._settings: tuple[object, ...] = ()
        self._people = NAMES
        self._further: tuple[str, ...] = ()
        self._programs = Programs()
        self.blindness = Blindness(self._note_not_audited)
        self._calls = Calls(self.blindness, self._find_program, self._fail)
        self._said_captures = False

    # -- life -------------------------------------------------------------------------------------------------

    def load(self, loader: Loader) -> None:
        add_options(loader)

    def configure(self, updated: set[str]) -> None:
        if not any(name.startswith("mfa_audit_") for name in updated):
            return
        options = ctx.options
        try:
            hosts = check_hosts(options.mfa_audit_hosts)
        except AuditError as error:
            raise exceptions.OptionsError(f"mfa_audit_hosts: {error}") from None
        least = max(options.mfa_audit_keep_calls, FEWEST_TOTALS_DAYS)
        if options.mfa_audit_keep_calls < 1 or options.mfa_audit_keep_totals < least:
            raise exceptions.OptionsError(
                "mfa_audit_keep_calls must be 1 or more, and mfa_audit_keep_totals not less than it, nor than "
                f"{FEWEST_TOTALS_DAYS}: a report looks so far back for calls without MFA"
            )
        self._further = hosts
        settings = tuple(getattr(options, name) for name in RECORDING_OPTIONS)
        if self._opens and settings != self._settings:
            self.open()

    def open(self) -> None:
        """Begin a recording as the options say, and end the one before. Raises OptionsError."""
        options = ctx.options
        session = Session(
            self.kind, time.time(), validate=options.mfa_audit_validate, enforce=options.mfa_audit_enforce
        )
        try:
            path = Path(options.mfa_audit_db).expanduser() if options.mfa_audit_db else default_database()
            people = people_for(Mode(options.mfa_audit_users))
            recorder = Recorder(
                path,
                session,
                synchronous="FULL" if options.mfa_audit_synchronous == "full" else "NORMAL",
                retention=Retention(options.mfa_audit_keep_calls, options.mfa_audit_keep_totals),
            )
        except AuditError as error:
            raise exceptions.OptionsError(str(error)) from None
        warn_if_shared(path, logger.warning)
        if self.recorder is not None:
            self.recorder.close()
        self.recorder = recorder
        self._people = people
        tests = [test for name, test in TESTS.items() if getattr(options, name)]
        self._calls.record_with(recorder, Judge(people), tests)
        self._settings = tuple(getattr(options, name) for name in RECORDING_OPTIONS)

    def running(self) -> None:
        if self.recorder is None:
            return
        logger.info("mfa-audit records to %s.", self.recorder.path)
        for name, (header, value, _) in TESTS.items():
            if getattr(ctx.options, name):
                logger.warning("mfa-audit adds %s: %s to calls, as %s asks.", header, value, name)

    def done(self) -> None:
        if self.recorder is None:
            return
        try:
            self._calls.end_all()
            self.blindness.flush()
        except Exception as error:
            self._fail(error)
        finally:
            stopped = ctx.master.should_exit.is_set()
            self.recorder.close("stopped" if stopped else "unloaded")

    # -- calls ------------------------------------------------------------------------------------------------

    @_guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.live and not flow.is_replay:
            self._calls.ask(flow, self._further)
        else:
            self._say_captures(flow)

    @_guarded
    def responseheaders(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        return self._calls.begin_answer(flow)

    @_guarded
    def response(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        return self._calls.end(flow.id, flow.response)

    @_guarded
    def error(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        return self._calls.end(flow.id)

    def awaits_body(self, flow: http.HTTPFlow) -> bool:
        """Whether the call is recorded only once its answer's body is there. Asked after `responseheaders`."""
        return self._calls.awaits(flow.id)

    # -- connections ------------------------------------------------------------------------------------------

    @_guarded
    def http_connect(self, flow: http.HTTPFlow) -> None:
        host, agent = flow.request.host, flow.request.headers.get("user-agent")
        if is_api_host(host, self._further):
            agent = client_of(None, None, None, agent, None).user_agent
            program = self._find_program(flow.client_conn)
            self.blindness.open(flow.client_conn.id, host.lower(), agent, program)

    @_guarded
    def next_layer(self, data: layer.NextLayer) -> None:
        if self.blindness.knows(data.context.client.id) and data.data_client():
            self.blindness.saw_bytes(data.context.client.id)

    @_guarded
    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        client, name = data.context.client, data.client_hello.sni
        if name and is_api_host(name, self._further) and not self.blindness.knows(client.id):
            self.blindness.open(client.id, name.lower(), None, self._find_program(client))
        self.blindness.saw_hello(client.id)

    async def tls_start_client(self, data: tls.TlsData) -> None:
        try:
            program = self.blindness.program(data.context.client.id)
            if program is not None and not program.done():
                await asyncio.wait([program], timeout=PROGRAM_PATIENCE)
        except Exception as error:
            self._fail(error)

    @_guarded
    def tls_failed_client(self, data: tls.TlsData) -> None:
        # A client that refuses our certificate says so (a TLS alert). One that just hangs up may have changed its
        # mind, as a healthy Chromium does now and then: that is an unused connection.
        error = data.conn.error or ""
        if "trust the proxy's certificate" in error and "disconnected" not in error:
            self.blindness.refused_certificate(data.context.client.id)

    @_guarded
    def tls_failed_server(self, data: tls.TlsData) -> None:
        self.blindness.failed_upstream(data.context.client.id)

    @_guarded
    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None and flow.response.status_code == 502:
            self.blindness.failed_connect(flow.client_conn.id)
        else:  # a client that has yet to give the proxy's password (407)
            self.blindness.forget(flow.client_conn.id)

    @_guarded
    def client_disconnected(self, client: connection.Client) -> None:
        self.blindness.close(client.id)

    def _find_program(self, client: connection.Client) -> asyncio.Future[Program | None]:
        theirs, ours = client.peername[:2], client.sockname[:2]
        if not (is_loopback(theirs[0]) or theirs[0] == ours[0]):
            unknown: asyncio.Future[Program | None] = asyncio.get_running_loop().create_future()
            unknown.set_result(None)
            return unknown
        return asyncio.ensure_future(self._programs.find(theirs, ours))

    def _note_not_audited(
        self, host: str, user_agent: str | None, program: Program | None, reason: str
    ) -> None:
        if self.recorder is not None:
            self.recorder.programs_denied = self._programs.denied
            program = self._people.program(program)
            self.recorder.note_not_audited(time.time(), host, user_agent, program, reason)

    # -- trouble ----------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """Count a bug of ours; said once, by its type only, since its text may hold what nobody may see."""
        self.failures += 1
        if self.recorder is not None:
            self.recorder.count_failure()
        if self.failures == 1:
            logger.warning(
                "mfa-audit met an unexpected %s; traffic is not touched, the call is counted as lost.",
                type(error).__name__,
            )

    def _say_captures(self, flow: http.HTTPFlow) -> None:
        if not self._said_captures and not flow.is_replay:
            self._said_captures = True
            logger.warning(
                "mfa-audit records live traffic only: audit a capture with `mfa-audit import FILE`."
            )

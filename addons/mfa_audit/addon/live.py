"""Live traffic: the mitmproxy addon. It changes nothing, and no call fails for what happens in here.

Who calls, and what for, is taken from the first look at a request (`requestheaders`): other addons may reroute or
rewrite it later. A call is recorded where its answer's first byte leaves (`responseheaders`), so that what a
client has seen answered is on disk; only a small 401 waits for its body, which says whether MFA was the cause.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from mitmproxy import connection, ctx, exceptions, http, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import layer

from mfa_audit.addon.connections import Blindness
from mfa_audit.addon.options import RECORDING_OPTIONS, TESTS, add_options
from mfa_audit.addon.programs import Programs
from mfa_audit.captures.entries import decode_text
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.bodies import BODY_LIMIT, decode
from mfa_audit.exchanges.exchange import (
    HOST_NAME,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Exchange,
    Program,
    Secret,
    is_api_host,
)
from mfa_audit.judging.clients import client_of
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.judging.people import Mode
from mfa_audit.machine.folders import default_database
from mfa_audit.machine.people_key import people_for
from mfa_audit.store.files import warn_if_shared
from mfa_audit.store.recorder import Recorder
from mfa_audit.store.retention import Retention
from mfa_audit.store.sessions import Session

logger = logging.getLogger("mfa_audit")

_REQUEST: Final = {name.encode(): field for name, field in REQUEST_HEADERS.items()}
_RESPONSE: Final = {name.encode(): field for name, field in RESPONSE_HEADERS.items()}
_HOSTS_REMEMBERED: Final = 1_000
# Seconds that a new connection waits, at most, for the name of its program, before its TLS begins and again before
# its first answer. Finding it takes some 13 ms; a program that refuses our certificate may end right after that.
_PROGRAM_PATIENCE: Final = 0.100


class _Asked(NamedTuple):
    """The first look at a request."""

    connection: str
    at: float
    method: str
    host: str
    path: str
    authorization: tuple[Secret, ...]
    parts: dict[str, str]
    tested: bool


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
        self._further: tuple[str, ...] = ()
        self._hosts: dict[str, str | None] = {}
        self._asked: dict[str, _Asked] = {}
        self._programs = Programs()
        self.blindness = Blindness(self._note_not_audited)
        self._judge = Judge()
        self._said_captures = False

    # -- life -------------------------------------------------------------------------------------------------

    def load(self, loader: Loader) -> None:
        add_options(loader)

    def configure(self, updated: set[str]) -> None:
        if not any(name.startswith("mfa_audit_") for name in updated):
            return
        options = ctx.options
        hosts = tuple(host.lower().rstrip(".") for host in options.mfa_audit_hosts)
        for host in hosts:
            if not HOST_NAME.fullmatch(host):
                raise exceptions.OptionsError(
                    f"mfa_audit_hosts: {host!r} is not a host name such as api.example.com"
                )
        if options.mfa_audit_keep_calls < 1 or options.mfa_audit_keep_totals < options.mfa_audit_keep_calls:
            raise exceptions.OptionsError(
                "mfa_audit_keep_calls must be 1 or more, and mfa_audit_keep_totals not less than it"
            )
        self._further = hosts
        self._hosts.clear()
        settings = tuple(getattr(options, name) for name in RECORDING_OPTIONS)
        if self._opens and settings != self._settings:
            self.open()

    def open(self) -> None:
        """Begin a recording as the options say, and end the one before. Raises OptionsError."""
        options = ctx.options
        path = Path(options.mfa_audit_db).expanduser() if options.mfa_audit_db else default_database()
        session = Session(
            self.kind, time.time(), validate=options.mfa_audit_validate, enforce=options.mfa_audit_enforce
        )
        try:
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
        self._judge = Judge(people)
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
            for asked in self._asked.values():  # what was asked will not be answered any more
                program = self.blindness.known_program(asked.connection)
                self.recorder.record(self._judge.observe(_exchange(asked, None, program)))
            self._asked.clear()
            self.blindness.flush()
        except Exception as error:
            self._fail(error)
        finally:
            stopped = ctx.master.should_exit.is_set()
            self.recorder.close("stopped" if stopped else "unloaded")

    # -- calls ------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        try:
            if not flow.live or flow.is_replay:
                self._say_captures(flow)
                return
            host = self._api_host(flow.request)
            if host is not None:
                self._look(flow, host)
        except Exception as error:
            self._fail(error)

    def responseheaders(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        asked = self._asked.get(flow.id)
        if asked is None or flow.response is None:
            return None
        if flow.response.status_code == 401 and _is_small(flow.response):
            return None
        return self._record(flow.id, flow.response)

    def response(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        return self._record(flow.id, flow.response) if flow.id in self._asked else None

    def error(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        return self._record(flow.id, None) if flow.id in self._asked else None

    def awaits_body(self, flow: http.HTTPFlow) -> bool:
        """Whether the call is recorded only once its answer's body is there. Asked after `responseheaders`."""
        return flow.id in self._asked

    def _look(self, flow: http.HTTPFlow, host: str) -> None:
        request = flow.request
        authorization: list[Secret] = []
        parts: dict[str, str] = {}
        tested = False
        for raw, value in request.headers.fields:
            name = raw.lower()
            if name == b"authorization":
                authorization.append(Secret(value))
            elif (field := _REQUEST.get(name)) is not None and field not in parts:
                parts[field] = decode_text(value)
        self.blindness.saw_request(flow.client_conn.id)
        if request.method == "OPTIONS" and not authorization:
            return  # a browser asks whether it may call (CORS preflight): no call yet
        secrets = tuple(authorization)
        for option, (header, value_, methods) in TESTS.items():
            if (
                secrets
                and getattr(ctx.options, option)
                and (methods is None or request.method in methods)
                and header not in request.headers
                and self._judge.is_user_token(secrets)
            ):
                request.headers[header] = value_
                tested = True
        path = request.data.path.partition(b"?")[0].decode("latin-1")
        self._asked[flow.id] = _Asked(
            flow.client_conn.id, request.timestamp_start, request.method, host, path, secrets, parts, tested
        )

    def _record(self, flow_id: str, response: http.Response | None) -> Awaitable[object] | None:
        """Record the call; what is returned waits until it is on disk (20 ms at most)."""
        try:
            asked = self._asked.pop(flow_id)
            if self.recorder is None:
                return None
            program = self.blindness.program(asked.connection)
            if program is not None and not program.done():
                return self._record_with(program, asked, response)
            known = self.blindness.known_program(asked.connection)
            saved = self.recorder.record(self._judge.observe(_exchange(asked, response, known)))
            return None if saved is None else saved.wait()
        except Exception as error:
            self._fail(error)
            return None

    async def _record_with(
        self, program: asyncio.Future[Program | None], asked: _Asked, response: http.Response | None
    ) -> None:
        """The same for the first call of a connection whose process is still being looked up.

        The answer waits a little for that, since many a program ends as soon as it has it. If that is too
        short, the call is recorded without its program, and gets it later.
        """
        try:
            await asyncio.wait([program], timeout=_PROGRAM_PATIENCE)
            known = self.blindness.known_program(asked.connection)
            observation = self._judge.observe(_exchange(asked, response, known))
            assert self.recorder is not None  # noqa: S101 - _record looked
            saved = self.recorder.record(observation)
            if not program.done():
                program.add_done_callback(partial(self._name_program, self.recorder, observation))
            if saved is not None:
                await saved.wait()
        except Exception as error:
            self._fail(error)

    def _name_program(
        self, recorder: Recorder, observation: Observation, program: asyncio.Future[Program | None]
    ) -> None:
        found = None if program.cancelled() or program.exception() else program.result()
        if found is not None:
            recorder.name_program(observation, found)

    def _api_host(self, request: http.Request) -> str | None:
        """The API host that a request is for, by its address or, where it was rerouted, by its Host header."""
        address = request.data.host
        if address in self._hosts:
            host = self._hosts[address]
        else:
            host = address.lower().rstrip(".") if is_api_host(address, self._further) else None
            if len(self._hosts) >= _HOSTS_REMEMBERED:
                self._hosts.clear()
            self._hosts[address] = host
        if host is not None:
            return host
        named = request.host_header
        if named is None:
            return None
        name = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named
        return name.lower().rstrip(".") if is_api_host(name, self._further) else None

    # -- connections ------------------------------------------------------------------------------------------

    def http_connect(self, flow: http.HTTPFlow) -> None:
        try:
            if is_api_host(flow.request.host, self._further):
                agent = flow.request.headers.get("user-agent")
                client = client_of(None, None, None, agent, None)
                self.blindness.open(
                    flow.client_conn.id,
                    flow.request.host.lower(),
                    client.user_agent,
                    self._find_program(flow.client_conn),
                )
        except Exception as error:
            self._fail(error)

    def next_layer(self, data: layer.NextLayer) -> None:
        if self.blindness.knows(data.context.client.id) and data.data_client():
            self.blindness.saw_bytes(data.context.client.id)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        try:
            client = data.context.client
            name = data.client_hello.sni
            if name and is_api_host(name, self._further) and not self.blindness.knows(client.id):
                self.blindness.open(client.id, name.lower(), None, self._find_program(client))
            self.blindness.saw_hello(client.id)
        except Exception as error:
            self._fail(error)

    async def tls_start_client(self, data: tls.TlsData) -> None:
        try:
            program = self.blindness.program(data.context.client.id)
            if program is not None and not program.done():
                await asyncio.wait([program], timeout=_PROGRAM_PATIENCE)
        except Exception as error:
            self._fail(error)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        # A client that refuses our certificate says so (a TLS alert). One that just hangs up may have changed its
        # mind, as a healthy Chromium does now and then: that is an unused connection.
        error = data.conn.error or ""
        if "trust the proxy's certificate" in error and "disconnected" not in error:
            self.blindness.refused_certificate(data.context.client.id)

    def tls_failed_server(self, data: tls.TlsData) -> None:
        self.blindness.failed_upstream(data.context.client.id)

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None and flow.response.status_code == 502:
            self.blindness.failed_connect(flow.client_conn.id)
        else:  # a client that has yet to give the proxy's password (407)
            self.blindness.forget(flow.client_conn.id)

    def client_disconnected(self, client: connection.Client) -> None:
        try:
            self.blindness.close(client.id)
        except Exception as error:
            self._fail(error)

    def _find_program(self, client: connection.Client) -> asyncio.Future[Program | None]:
        address, port = client.peername[:2]
        if not _is_loopback(address):
            unknown: asyncio.Future[Program | None] = asyncio.get_running_loop().create_future()
            unknown.set_result(None)
            return unknown
        return asyncio.ensure_future(self._programs.find(port, client.sockname[1]))

    def _note_not_audited(
        self, host: str, user_agent: str | None, program: Program | None, reason: str
    ) -> None:
        if self.recorder is not None:
            self.recorder.programs_denied = self._programs.denied
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


def _exchange(asked: _Asked, response: http.Response | None, program: Program | None) -> Exchange:
    parts: dict[str, Any] = dict(asked.parts)
    if response is not None:
        for raw, value in response.headers.fields:
            field = _RESPONSE.get(raw.lower())
            if field is not None:
                parts.setdefault(field, decode_text(value))
        parts["status"] = response.status_code
        parts["reason_phrase"] = response.data.reason.decode("latin-1")
        content = response.data.content
        if response.status_code == 401 and content and len(content) <= BODY_LIMIT:
            parts["body"] = decode(content, response.headers.get("content-encoding", ""))
    return Exchange(
        at=asked.at,
        method=asked.method,
        host=asked.host,
        path=asked.path,
        authorization=asked.authorization,
        program=program,
        tested=asked.tested,
        **parts,
    )


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


def _is_small(response: http.Response) -> bool:
    """Whether the body will be with us before the client has any of it."""
    length = response.headers.get("content-length", "")
    return not response.stream and (not length.isdigit() or int(length) <= BODY_LIMIT)

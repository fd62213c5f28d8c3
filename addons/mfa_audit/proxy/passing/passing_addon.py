"""The hooks that keep the proxy out of its clients' way: what is streamed, stripped, and left unread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from mitmproxy import connection, ctx, http, tls
from mitmproxy.proxy.mode_specs import UpstreamMode

from mfa_audit.addon.connections import AUTHORITY_ENDED, OTHER_NAME, REFUSED_BEFORE, REFUSES_KNOWN
from mfa_audit.addon.live import PartnerCenterMfa
from mfa_audit.addon.refusals import Refusals
from mfa_audit.exchanges.exchange import is_api_host
from mfa_audit.machine.authorities import Authority
from mfa_audit.machine.environment.variables import exempts
from mfa_audit.proxy.passing.bodies_passing import PassingBody
from mfa_audit.proxy.upstream import Route

logger = logging.getLogger("mfa_audit")

# Interception ends this long before the authority does, or with a twentieth of its time left: clients' clocks differ.
_AUTHORITY_MARGIN: Final = timedelta(hours=1)
# Seconds that a hello waits, at most, for the name of its program.
_PROGRAM_PATIENCE: Final = 0.100


class Passing:
    """Comes after mitmproxy's own addons. `hosts` are the further API hosts, `recording` the recorder's addon.

    `refusing` is the name of a program that is known to refuse the certificate.
    """

    def __init__(
        self,
        recording: PartnerCenterMfa,
        authority: Authority,
        hosts: Sequence[str],
        route: Route,
        refusing: str | None = None,
    ) -> None:
        self._refusing = refusing
        self._recording = recording
        self._hosts = tuple(hosts)
        self._exempt = () if route.upstream is None else route.upstream.exempt
        self._refusals = Refusals()
        self._said_ended = False
        left = authority.expires - datetime.now(UTC)
        self._ends = authority.expires - min(_AUTHORITY_MARGIN, left / 20)

    # -- calls ------------------------------------------------------------------------------------------------

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Reach what NO_PROXY exempts from the proxy behind ours without it, as the client would have."""
        if self._is_exempt(flow.request.host):
            flow.server_conn.via = None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Keep what a client told its proxy from the server. With a proxy behind ours, it may be that one's."""
        behind = isinstance(flow.client_conn.proxy_mode, UpstreamMode) and flow.request.scheme == "http"
        if behind and self._is_exempt(flow.request.host):
            flow.server_conn = connection.Server(
                address=None
            )  # the client's next request may be for another host
            flow.request.authority = ""
            behind = False
        if not behind:
            flow.request.headers.pop("proxy-authorization", None)

    def _is_exempt(self, host: str) -> bool:
        return any(exempts(entry, host.lower()) for entry in self._exempt)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Let each answer go on as it comes; mitmproxy would hold it back until it is complete."""
        response = flow.response
        if response is None or response.stream or flow.is_replay:
            return
        awaited = self._recording.awaits_body(flow)
        response.stream = PassingBody(flow, self._recording.response) if awaited else True

    # -- connections ------------------------------------------------------------------------------------------

    async def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Pass on unread what we could only break."""
        blindness, client = self._recording.blindness, data.context.client
        reason = None
        if datetime.now(UTC) >= self._ends:
            reason = AUTHORITY_ENDED
            self._say_ended()
        elif data.client_hello.sni and not is_api_host(data.client_hello.sni, self._hosts):
            reason = OTHER_NAME  # our authority's constraints exclude it
        elif ctx.options.mfa_audit_tunnel and not ctx.options.mfa_audit_enforce:
            reason = await self._why_refuse(client.id)
        if reason is not None:
            data.ignore_connection = True
            blindness.pass_unread(client.id, reason)

    async def _why_refuse(self, identifier: str) -> str | None:
        """Why this client would refuse our certificate. Nobody waits for a program's name where no name counts."""
        if not self._refusals and self._refusing is None:
            return None
        blindness = self._recording.blindness
        program = blindness.program(identifier)
        if program is not None and not program.done():
            await asyncio.wait([program], timeout=_PROGRAM_PATIENCE)
        known = blindness.known_program(identifier)
        if self._refusals.is_recent(known, time.monotonic()):
            return REFUSED_BEFORE
        return REFUSES_KNOWN if known is not None and known.name == self._refusing else None

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """Remember who refuses our certificate."""
        blindness, client = self._recording.blindness, data.context.client
        program = blindness.program(client.id)
        if program is None or not blindness.was_refused(client.id):
            return
        if program.done():
            self._refusals.note(blindness.known_program(client.id), time.monotonic())
        else:
            program.add_done_callback(
                lambda found: self._refusals.note(
                    None if found.cancelled() or found.exception() else found.result(), time.monotonic()
                )
            )

    def _say_ended(self) -> None:
        if not self._said_ended:
            self._said_ended = True
            logger.warning(
                "The proxy's certificate authority is at its end: calls pass unread from now on. "
                "Stop mfa-audit and start it again, and let your tools trust the new one."
            )

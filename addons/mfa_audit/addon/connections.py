"""Connections to an API host from which no request could be read: the blind spots, each with its reason."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from mfa_audit.exchanges.exchange import Program

# Reasons, as stored and reported; docs/verdicts.md tells what to do about each.
CERTIFICATE_REFUSED: Final = "certificate-refused"
UPSTREAM_TLS_FAILED: Final = "upstream-tls-failed"
TUNNELLED: Final = "tunnelled"
NO_REQUEST: Final = "no-request"
UNREACHABLE: Final = "unreachable"
# The proxy let a connection pass unread, so that it would not fail: its program had refused the certificate a moment
# ago, or is known to refuse it; the proxy's authority is at its end; the hello names a host that the authority may
# not sign for.
REFUSED_BEFORE: Final = "refused-before"
REFUSES_KNOWN: Final = "known-to-refuse"
AUTHORITY_ENDED: Final = "authority-ended"
OTHER_NAME: Final = "other-name"

# Far more than a proxy has open at once; beyond it connections are not told apart, and none is kept.
_OPEN_LIMIT: Final = 100_000


class Note(Protocol):
    """Where a blind spot is written down."""

    def __call__(self, host: str, user_agent: str | None, program: Program | None, reason: str) -> None: ...


class _Connection:
    __slots__ = ("closed", "host", "program", "reason", "seen", "user_agent")

    def __init__(self, host: str, user_agent: str | None, program: asyncio.Future[Program | None]) -> None:
        self.host = host
        self.user_agent = user_agent
        self.program = program
        self.seen = False
        self.closed = False
        self.reason = NO_REQUEST


class Blindness:
    """Follows client connections to API hosts from their CONNECT (or TLS hello) to their end."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._open: dict[str, _Connection] = {}

    def open(
        self, identifier: str, host: str, user_agent: str | None, program: asyncio.Future[Program | None]
    ) -> None:
        """A client connected for `host`; `program` is being looked up."""
        if len(self._open) < _OPEN_LIMIT:
            self._open[identifier] = _Connection(host, user_agent, program)

    def knows(self, identifier: str) -> bool:
        """Whether the connection is being followed."""
        return identifier in self._open

    def program(self, identifier: str) -> asyncio.Future[Program | None] | None:
        """The program behind a followed connection."""
        found = self._open.get(identifier)
        return None if found is None else found.program

    def known_program(self, identifier: str) -> Program | None:
        """The program behind a followed connection, as far as it is known by now."""
        found = self.program(identifier)
        if found is None or not found.done() or found.cancelled() or found.exception() is not None:
            return None
        return found.result()

    def saw_bytes(self, identifier: str) -> None:
        """The client sent something; until it says hello to us, all we know is that it went through a tunnel."""
        self._set(identifier, TUNNELLED)

    def saw_hello(self, identifier: str) -> None:
        """The client began TLS with us."""
        self._set(identifier, NO_REQUEST)

    def saw_request(self, identifier: str) -> None:
        """A request could be read: no blind spot."""
        found = self._open.get(identifier)
        if found is not None:
            found.seen = True

    def refused_certificate(self, identifier: str) -> None:
        """The client broke off the TLS handshake with us."""
        self._set(identifier, CERTIFICATE_REFUSED)

    def was_refused(self, identifier: str) -> bool:
        """Whether the client has refused the proxy's certificate."""
        found = self._open.get(identifier)
        return found is not None and found.reason == CERTIFICATE_REFUSED

    def pass_unread(self, identifier: str, reason: str) -> None:
        """The proxy lets the connection pass as a tunnel, for this reason."""
        self._set(identifier, reason)

    def failed_upstream(self, identifier: str) -> None:
        """TLS with the server failed."""
        self._set(identifier, UPSTREAM_TLS_FAILED)

    def failed_connect(self, identifier: str) -> None:
        """The server could not be reached, and the client was told so."""
        self._set(identifier, UNREACHABLE)

    def forget(self, identifier: str) -> None:
        """The client was refused, by its own fault or ours: there was nothing to see."""
        self._open.pop(identifier, None)

    def close(self, identifier: str) -> None:
        """The client is gone; if its program is still being looked up, the blind spot is noted after that."""
        found = self._open.get(identifier)
        if found is None or found.seen or found.program.done():
            self._end(identifier)
        elif not found.closed:
            found.closed = True
            found.program.add_done_callback(lambda _: self._end(identifier))

    def _end(self, identifier: str) -> None:
        program = self.known_program(identifier)
        found = self._open.pop(identifier, None)
        if found is not None and not found.seen:
            self._note(found.host, found.user_agent, program, found.reason)

    def flush(self) -> None:
        """The recorder ends: what is still open and has said nothing is a blind spot too."""
        for identifier in list(self._open):
            self._end(identifier)

    def _set(self, identifier: str, reason: str) -> None:
        found = self._open.get(identifier)
        if found is not None:
            found.reason = reason

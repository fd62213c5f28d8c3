"""Live calls, each followed from its request to its answer and then recorded.

Who calls, and what for, is taken from the first look at a request (`requestheaders`): other addons may reroute or
rewrite it later. A call is recorded where its answer's first byte leaves (`responseheaders`), so that what a
client has seen answered is on disk; only a small 401 or 403 waits for its body, which says whether MFA was the cause.
Where answers go on as they come (`proxy/passing`), its head leaves before that: a client that hangs up at once is
recorded with what the head says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final, NamedTuple

from mitmproxy import connection, http

from mfa_audit.addon.connections import Blindness
from mfa_audit.addon.options import Test
from mfa_audit.exchanges.bodies import BODY_LIMIT, REFUSING
from mfa_audit.exchanges.exchange import Program, Secret
from mfa_audit.exchanges.maker import (
    NO_ANSWER,
    WANTED,
    Answer,
    Fields,
    Request,
    decode_text,
    is_preflight,
    make_exchange,
    name_api_host,
    read_authorization,
)
from mfa_audit.judging.observations import Judge, Observation
from mfa_audit.store.recorder import Key, Recorder

# Seconds that a new connection waits, at most, for the name of its program, before its TLS begins and again before
# its first answer. On Linux most need 1 ms and no wait (scripts/bench/programs.py); a program that refuses our
# certificate may end right after that.
PROGRAM_PATIENCE: Final = 0.100

_WANTED: Final = {name.encode(): name for name in WANTED}


class _Asked(NamedTuple):
    """The first look at a request, and the head of its answer where the body is still awaited."""

    connection: str
    at: float
    host: str
    request: Request
    head: http.Response | None = None


class Calls:
    """Calls that were asked and not yet answered.

    `find_program` begins to look for the one behind a connection; `fail` is told what went wrong while nobody waits.
    """

    def __init__(
        self,
        blindness: Blindness,
        find_program: Callable[[connection.Client], asyncio.Future[Program | None]],
        fail: Callable[[Exception], None],
    ) -> None:
        self._blindness = blindness
        self._find_program = find_program
        self._fail = fail
        self._recorder: Recorder | None = None
        self._judge = Judge()
        self._tests: Sequence[Test] = ()
        self._asked: dict[str, _Asked] = {}

    def record_with(self, recorder: Recorder, judge: Judge, tests: Sequence[Test] = ()) -> None:
        """Use these from now on, and ask the server for `tests`."""
        self._recorder, self._judge, self._tests = recorder, judge, tests

    def ask(self, flow: http.HTTPFlow, further: Collection[str]) -> None:
        """Look at a request for the first time, and remember it if it is a call of an API host."""
        sent = flow.request
        host = name_api_host(sent.data.host, (sent.host_header or "",), further)
        if host is None:
            return
        path = sent.data.path.partition(b"?")[0].decode("latin-1")
        request = Request(sent.method, host, path, _read_fields(sent.headers))
        client = flow.client_conn
        if not self._blindness.knows(client.id):
            # No tunnel led here: `GET https://…` to the proxy, plain HTTP, or reverse mode.
            self._blindness.open(client.id, host, None, self._find_program(client))
        self._blindness.saw_request(client.id)
        if is_preflight(request):
            return
        if self._tests and self._add_tests(sent, read_authorization(request.fields)):
            request = request._replace(fields=_read_fields(sent.headers))
        self._asked[flow.id] = _Asked(flow.client_conn.id, sent.timestamp_start, host, request)

    def begin_answer(self, flow: http.HTTPFlow) -> Awaitable[object] | None:
        """Record the call now that its answer's head is there, unless its body is needed and comes first."""
        asked = self._asked.get(flow.id)
        if asked is None or flow.response is None:
            return None
        if flow.response.status_code in REFUSING and _is_small(flow.response):
            # The body may never come (a stall, a client that hangs up, our own end): the head says enough.
            self._asked[flow.id] = asked._replace(head=flow.response)
            return None
        return self.end(flow.id, flow.response)

    def end(self, flow_id: str, response: http.Response | None = None) -> Awaitable[object] | None:
        """Record the call if that has not been done yet; it is on disk then, and after what is returned, if anything.

        Without `response` no answer came, or only its head.
        """
        asked = self._asked.pop(flow_id, None)
        if asked is None or self._recorder is None:
            return None
        answer = _read_answer(response or asked.head)
        program = self._blindness.program(asked.connection)
        if program is not None and not program.done():
            return self._end_with(program, asked, answer)
        self._recorder.record(self._observe(asked, answer))
        return None

    def awaits(self, flow_id: str) -> bool:
        """Whether the call waits for its answer, or for the body of it."""
        return flow_id in self._asked

    def end_all(self) -> None:
        """What was asked will not be answered any more."""
        for asked in self._asked.values():
            if self._recorder is not None:
                self._recorder.record(self._observe(asked, _read_answer(asked.head)))
        self._asked.clear()

    async def _end_with(self, program: asyncio.Future[Program | None], asked: _Asked, answer: Answer) -> None:
        """Record the first call of a connection whose process is still being looked up.

        The answer waits a little for that, since many a program ends as soon as it has it. If that is too
        short, the call is recorded without its program, and gets it later.
        """
        try:
            await asyncio.wait([program], timeout=PROGRAM_PATIENCE)
            recorder = self._recorder
            assert recorder is not None  # noqa: S101 - `end` looked
            key = recorder.record(self._observe(asked, answer))
            if not program.done():
                program.add_done_callback(partial(_name_program, recorder, key, self._judge))
        except Exception as error:
            self._fail(error)

    def _observe(self, asked: _Asked, answer: Answer) -> Observation:
        program = self._blindness.known_program(asked.connection)
        return self._judge.observe(
            make_exchange(asked.request, asked.host, answer, at=asked.at, program=program)
        )

    def _add_tests(self, request: http.Request, authorization: tuple[Secret, ...]) -> bool:
        """Add what --validate and --enforce ask for, unless the token is an app's own; whether any was added."""
        added = False
        for header, value, methods in self._tests:
            if (
                authorization
                and (methods is None or request.method in methods)
                and header not in request.headers
                and self._judge.may_be_user_token(authorization)
            ):
                request.headers[header] = value
                added = True
        return added


def _name_program(
    recorder: Recorder, key: Key, judge: Judge, program: asyncio.Future[Program | None]
) -> None:
    found = None if program.cancelled() or program.exception() else judge.keep(program.result())
    if found is not None:
        recorder.name_program(key, found)


def _read_fields(headers: http.Headers) -> Fields:
    return [
        (name, decode_text(value))
        for raw, value in headers.fields
        if (name := _WANTED.get(raw.lower())) is not None
    ]


def _read_answer(response: http.Response | None) -> Answer:
    if response is None:
        return NO_ANSWER
    body = response.data.content if response.status_code in REFUSING else None
    return Answer(
        response.status_code,
        response.data.reason.decode("latin-1"),
        _read_fields(response.headers),
        body if body and len(body) <= BODY_LIMIT else None,
    )


def _is_small(response: http.Response) -> bool:
    """Whether the body comes to us, and is short enough to be looked at."""
    length = response.headers.get("content-length", "")
    return not response.stream and (not length.isdigit() or int(length) <= BODY_LIMIT)

"""mitmproxy's flow files. The only reader of captures that knows mitmproxy, and it loads it only for old
formats.

A flow file is a row of tnetstrings (`12:hello world!,`: length, colon, data, type), one dictionary a flow.
Each length is known before its data is read, so a flow that cannot be read is passed over, and bodies are
never parsed. Flows of the current format take the short way of this module; all others, and all that the
short way stumbles over, are migrated and read by mitmproxy's own code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from mfa_audit.captures import entries, netstrings
from mfa_audit.captures.entries import Answer, Reading, Request, SkipError
from mfa_audit.captures.streams import Tape
from mfa_audit.exchanges.bodies import BODY_LIMIT, REFUSING
from mfa_audit.exchanges.exchange import Exchange

# mitmproxy's FLOW_FORMAT_VERSION since 10.1, which the short way knows; a test compares.
CURRENT: Final = 21
# A flow longer than this is read without its bodies; what then is still longer is no flow of a call.
WHOLE: Final = 4 * 1024 * 1024

_START: Final = re.compile(rb"\d{1,12}:(?:\d{1,3}:[a-z_]{2,20}[;,]|0:\})")


def recognise(start: bytes) -> bool:
    """Whether the first bytes of a capture are those of a flow file."""
    return _START.match(start) is not None


def read(tape: Tape, reading: Reading) -> Iterator[Exchange]:
    """The calls of a flow file, in its order; never raises on bad content."""
    try:
        for number, record in enumerate(netstrings.read_records(tape, reading.remarks, WHOLE), 1):
            place = f"flow {number}"
            try:
                exchange = _read_record(record, reading, place)
            except SkipError as skip:
                reading.remarks.skip(str(skip), place)
                continue
            if exchange is not None:
                yield exchange
    finally:
        _forget_connections()


def _read_record(record: bytes, reading: Reading, place: str) -> Exchange | None:
    if not record:
        raise SkipError(f"larger than {WHOLE >> 20} MiB without its bodies")
    try:
        return read_current(record, reading, place)
    except (_OtherFormatError, ValueError, IndexError, KeyError, TypeError):
        return read_by_mitmproxy(record, reading, place)


class _OtherFormatError(Exception):
    """A flow that the short way does not know."""


def read_current(record: bytes, reading: Reading, place: str) -> Exchange | None:
    """The call in one flow of the current format, read without parsing what is not needed.

    Raises SkipError; and _OtherFormatError, ValueError, IndexError, KeyError or TypeError where mitmproxy
    should try instead.
    """
    flow = netstrings.index(record, 0, len(record))
    if netstrings.read_value(record, flow[b"version"]) != CURRENT:
        raise _OtherFormatError
    if netstrings.read_text(record, flow[b"type"]) != "http":
        return None
    _, start, end = flow[b"request"]
    parts = netstrings.index(record, start, end)
    own = _choose_time(
        netstrings.read_value(record, parts[b"timestamp_start"]),
        netstrings.read_value(record, flow[b"timestamp_created"]),
    )
    method, host, path, authority = (
        netstrings.read_text(record, parts[name]) for name in (b"method", b"host", b"path", b"authority")
    )
    request = _make_request(method, host, path, _read_fields(record, parts[b"headers"]), authority)
    api_host = reading.find_api_host(request, own)
    if api_host is None:
        return None
    answer = Answer()
    tag, start, end = flow[b"response"]
    if tag == netstrings.DICT:
        parts = netstrings.index(record, start, end)
        answer = _make_answer(
            netstrings.read_value(record, parts[b"status_code"]),
            netstrings.read_text(record, parts[b"reason"]),
            _read_fields(record, parts[b"headers"]),
            lambda: netstrings.read_value(record, parts[b"content"]),
        )
    elif tag != netstrings.NULL:
        raise _OtherFormatError
    return reading.make_exchange(request, api_host, answer, own=own, place=place)


def _read_fields(record: bytes, headers: netstrings.Slot) -> list[tuple[str, str]]:
    return netstrings.read_pairs(record, headers, entries.WANTED, entries.HEADER_FIELDS)


def read_by_mitmproxy(record: bytes, reading: Reading, place: str) -> Exchange | None:
    """The call in one flow of any format that mitmproxy reads, read by mitmproxy. Raises SkipError."""
    from mitmproxy import flow, http
    from mitmproxy.io import compat, tnetstring

    version: object = None
    try:
        state: Any = tnetstring.parse(netstrings.DICT, memoryview(record))
        version = _version(state)
        found = flow.Flow.from_state(compat.migrate_flow(state))
        return _convert(found, reading, place) if isinstance(found, http.HTTPFlow) else None
    except SkipError:
        raise
    except (
        Exception
    ) as error:  # KeyError, AssertionError, AttributeError and others, depending on what is odd
        raise SkipError(_why_unreadable(version, error, compat.converters)) from error


def _convert(flow: Any, reading: Reading, place: str) -> Exchange | None:
    """The call in a flow (an HTTPFlow) that mitmproxy's own code has made. Raises SkipError, and anything for
    odd ones.
    """
    data = flow.request.data
    own = _choose_time(data.timestamp_start, flow.timestamp_created)
    method, path, authority = map(entries.decode_text, (data.method, data.path, data.authority))
    request = _make_request(method, data.host, path, _decode_fields(data.headers.fields), authority)
    api_host = reading.find_api_host(request, own)
    if api_host is None:
        return None
    answer = Answer()
    if flow.response is not None:
        data = flow.response.data
        fields = _decode_fields(data.headers.fields)
        answer = _make_answer(
            data.status_code, entries.decode_text(data.reason), fields, lambda: data.content
        )
    return reading.make_exchange(request, api_host, answer, own=own, place=place)


def _decode_fields(fields: Any) -> list[tuple[str, str]]:
    if len(fields) > entries.HEADER_FIELDS:
        raise entries.TooManyFieldsError
    texts = ((entries.decode_text(name), entries.decode_text(value)) for name, value in fields)
    return [(name, value) for name, value in texts if name.lower() in entries.WANTED]


def _make_request(method: str, host: str, path: str, fields: entries.Fields, authority: str) -> Request:
    # The path may be in absolute form, as in plain HTTP to a proxy (RFC 9112, 3.2).
    address = entries.read_url(path)
    path = address[1] if address else re.split("[?#]", path, maxsplit=1)[0] or "/"
    return Request(method, host.lower().rstrip("."), path, fields, authority)


def _make_answer(
    status: object, phrase: str, fields: entries.Fields, content: Callable[[], object]
) -> Answer:
    if not isinstance(status, int) or not 100 <= status <= 999:
        return Answer(None, phrase, fields)
    body = content() if status in REFUSING else None
    return Answer(status, phrase, fields, body[:BODY_LIMIT] if isinstance(body, bytes) else None)


def _choose_time(*candidates: object) -> float | None:
    return next((float(value) for value in candidates if isinstance(value, int | float) and value > 0), None)


def _version(state: dict[Any, Any]) -> object:
    """The format of a flow: a number, of mitmproxy up to 3 its version as a pair, None where there is none.

    The oldest formats have bytes for keys.
    """
    version = state.get("version", state.get(b"version"))
    return tuple(version[:2]) if isinstance(version, list | tuple) else version


def _why_unreadable(version: object, error: Exception, converters: Collection[object]) -> str:
    """A phrase; `converters` are the older formats that the installed mitmproxy reads."""
    if isinstance(version, tuple) and len(version) == 2 and all(isinstance(part, int) for part in version):
        name, old = f"{version[0]}.{version[1]}", version not in converters
    elif isinstance(version, int):
        name, old = str(version), version < CURRENT and version not in converters
    else:
        return f"not a flow that mitmproxy can read ({type(error).__name__})"
    if isinstance(version, int) and version > CURRENT:
        return f"written by a newer mitmproxy (flow format {name})"
    if old:
        return f"written in flow format {name}, which is too old for the installed mitmproxy"
    return f"not a flow that mitmproxy can read ({type(error).__name__}, flow format {name})"


def _forget_connections() -> None:
    """Empty what mitmproxy's migration of old formats remembers of one file, which would grow for ever."""
    import sys

    compat = sys.modules.get("mitmproxy.io.compat")
    for name in ("client_connections", "server_connections", "_websocket_handshakes"):
        getattr(compat, name, {}).clear()

"""mitmproxy's flow files. The only reader of captures that knows mitmproxy, and it loads it only for old formats.

A flow file is a row of tnetstrings (`12:hello world!,`: length, colon, data, type), one dictionary a flow. Each
length is known before its data is read, so a flow that cannot be read is passed over, and bodies are never parsed.
Flows of the current format take the short way of this module; all others, and all that the short way stumbles
over, are migrated and read by mitmproxy's own code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from mfa_audit.exchanges import Exchange
from mfa_audit.sources import bodies, calls, netstrings
from mfa_audit.sources.calls import Address, Calendar
from mfa_audit.sources.remarks import Remarks
from mfa_audit.sources.tapes import Tape

# mitmproxy's FLOW_FORMAT_VERSION since 10.1, which the short way knows; a test compares.
CURRENT: Final = 21
# A flow longer than this is read without its bodies; what then is still longer is no flow of a call.
WHOLE: Final = 4 * 1024 * 1024

_START: Final = re.compile(rb"\d{1,12}:(?:\d{1,3}:[a-z_]{2,20}[;,]|0:\})")


def recognise(start: bytes) -> bool:
    """Whether the first bytes of a capture are those of a flow file."""
    return _START.match(start) is not None


def read(tape: Tape, remarks: Remarks, now: float, further: Collection[str] = ()) -> Iterator[Exchange]:
    """The calls of a flow file, in its order. Never raises on bad content; `now` in seconds since 1970."""
    calendar = Calendar(remarks, now)
    try:
        for number, record in enumerate(netstrings.read_records(tape, remarks, WHOLE), 1):
            place = f"flow {number}"
            if not record:
                remarks.skip(f"larger than {WHOLE >> 20} MiB without its bodies", place)
                continue
            try:
                exchange = read_current(record, calendar, further, place)
            except (_OtherFormat, ValueError, IndexError, KeyError, TypeError):
                exchange = _read_by_mitmproxy(record, calendar, remarks, further, place)
            if exchange is not None:
                yield exchange
    finally:
        _forget_connections()


class _OtherFormat(Exception):
    """A flow that the short way does not know."""


def read_current(record: bytes, calendar: Calendar, further: Collection[str], place: str) -> Exchange | None:
    """The call in one flow of the current format, read without parsing what is not needed.

    Raises _OtherFormat, ValueError, IndexError, KeyError or TypeError where mitmproxy should try instead.
    """
    flow = netstrings.index(record, 0, len(record))
    if netstrings.read_value(record, flow["version"]) != CURRENT:
        raise _OtherFormat
    if netstrings.read_text(record, flow["type"]) != "http":
        return None
    _, start, end = flow["request"]
    request = netstrings.index(record, start, end)
    host = netstrings.read_text(record, request["host"]).lower().rstrip(".")
    method = netstrings.read_text(record, request["method"])
    own = _timestamp(netstrings.read_value(record, request["timestamp_start"]))
    if own is None:
        own = _timestamp(netstrings.read_value(record, flow["timestamp_created"]))
    fields = _read_fields(record, request)
    authority = netstrings.read_text(record, request["authority"])
    api_host = calls.find_api_host(host, fields, further, authority)
    if api_host is None or not calls.is_call(method, fields):
        calendar.pass_by(own)
        return None
    status, phrase, answer_fields, body = None, "", [], None
    tag, start, end = flow["response"]
    if tag == netstrings.DICT:
        response = netstrings.index(record, start, end)
        status = netstrings.read_value(record, response["status_code"])
        phrase = netstrings.read_text(record, response["reason"])
        answer_fields = _read_fields(record, response)
        if status == 401:
            body = netstrings.read_value(record, response["content"])
    elif tag != netstrings.NULL:
        raise _OtherFormat
    return _finish(
        calendar, place, own, method, api_host, netstrings.read_text(record, request["path"]), fields,
        status, phrase, answer_fields, body,
    )  # fmt: skip


def _read_fields(record: bytes, message: dict[str, netstrings.Slot]) -> list[tuple[str, str]]:
    _, start, end = message["headers"]
    fields = []
    for _, pair_start, pair_end in netstrings.walk(record, start, end):
        name, value = netstrings.walk(record, pair_start, pair_end)
        fields.append((netstrings.read_text(record, name), netstrings.read_text(record, value)))
        if len(fields) > calls.HEADER_FIELDS:
            raise _OtherFormat
    return fields


def _read_by_mitmproxy(
    record: bytes, calendar: Calendar, remarks: Remarks, further: Collection[str], place: str
) -> Exchange | None:
    from mitmproxy import flow, http
    from mitmproxy.io import compat, tnetstring

    try:
        state: Any = tnetstring.parse(netstrings.DICT, memoryview(record))
        found = flow.Flow.from_state(compat.migrate_flow(state))
    except Exception as error:  # KeyError, AssertionError, AttributeError and others, depending on what is odd
        version = _version(record)
        if version is not None and version > CURRENT:
            remarks.skip(f"written by a newer mitmproxy (flow format {version})", place)
        else:
            remarks.skip(f"not a flow that mitmproxy can read ({type(error).__name__})", place)
        return None
    if not isinstance(found, http.HTTPFlow):
        return None
    try:
        return _convert(found, calendar, remarks, further, place)
    except Exception as error:  # mitmproxy does not check the types inside a state
        remarks.skip(f"not a flow that mitmproxy can read ({type(error).__name__})", place)
        return None


def _convert(
    flow: Any, calendar: Calendar, remarks: Remarks, further: Collection[str], place: str
) -> Exchange | None:
    """The call in a flow (an HTTPFlow) that mitmproxy's own code has made."""
    request, response = flow.request, flow.response
    own = _timestamp(request.timestamp_start) or _timestamp(flow.timestamp_created)
    if max(len(request.headers.fields), len(response.headers.fields) if response else 0) > calls.HEADER_FIELDS:
        remarks.skip(f"more than {calls.HEADER_FIELDS:,} header fields", place)
        return None
    fields = [(calls.decode_text(name), calls.decode_text(value)) for name, value in request.headers.fields]
    host = request.data.host.lower().rstrip(".")
    method = calls.decode_text(request.data.method)
    api_host = calls.find_api_host(host, fields, further, calls.decode_text(request.data.authority))
    if api_host is None or not calls.is_call(method, fields):
        calendar.pass_by(own)
        return None
    path = calls.decode_text(request.data.path)
    if response is None:
        return _finish(calendar, place, own, method, api_host, path, fields, None, "", [], None)
    answer_fields = [
        (calls.decode_text(name), calls.decode_text(value)) for name, value in response.headers.fields
    ]
    phrase = calls.decode_text(response.data.reason)
    return _finish(
        calendar, place, own, method, api_host, path, fields, response.status_code, phrase, answer_fields,
        response.raw_content,
    )  # fmt: skip


def _finish(
    calendar: Calendar,
    place: str,
    own: float | None,
    method: str,
    host: str,
    path: str,
    fields: calls.Fields,
    status: object,
    phrase: str,
    answer_fields: calls.Fields,
    body: object,
) -> Exchange | None:
    at = calendar.find(own, answer_fields, place)
    if at is None:
        return None
    # Absolute-form and asterisk-form (RFC 9112, 3.2) come from plain HTTP proxying.
    address = calls.read_url(path)
    return calls.make_exchange(
        at=at,
        method=method,
        address=Address(host, address.path if address else path.split("?")[0].split("#")[0] or "/"),
        request_fields=fields,
        status=status if isinstance(status, int) and 100 <= status <= 999 else None,
        reason_phrase=phrase,
        response_fields=answer_fields,
        body=_unpack(body, answer_fields) if isinstance(body, bytes) and status == 401 else None,
    )


def _unpack(body: bytes, fields: calls.Fields) -> bytes | None:
    encodings = ", ".join(value for name, value in fields if name.lower() == "content-encoding")
    return bodies.decode(body[: bodies.BODY_LIMIT], encodings)


def _timestamp(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _version(record: bytes) -> int | None:
    try:
        version = netstrings.read_value(record, netstrings.index(record, 0, len(record))["version"])
    except (ValueError, IndexError, KeyError):
        return None
    return version if isinstance(version, int) else None


def _forget_connections() -> None:
    """Empty what mitmproxy's migration of old formats remembers of one file, which would grow for ever."""
    import sys

    compat = sys.modules.get("mitmproxy.io.compat")
    for name in ("client_connections", "server_connections", "_websocket_handshakes"):
        getattr(compat, name, {}).clear()

"""Fiddler's session archives: a zip with `raw/N_c.txt` (request), `N_s.txt` (answer) and `N_m.xml` (metadata).

Nothing is unpacked to disk, and of each member only the beginning is unpacked at all: no member's name is ever
used as a path, and a member that would unpack to gigabytes costs what its first KiB cost.
The format: https://docs.telerik.com/fiddler/knowledge-base/saz-format
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import IO, Final

from mfa_audit.exchanges import Exchange
from mfa_audit.sources import bodies, calls
from mfa_audit.sources.archives import Archive, Damaged
from mfa_audit.sources.calls import Calendar
from mfa_audit.sources.remarks import Remarks

# The longest head of a message that is read; servers refuse more than 16 to 64 KiB.
HEAD: Final = 1024 * 1024
METADATA: Final = 256 * 1024

_MEMBER: Final = re.compile(r"(?:.*[/\\])?raw[/\\](?P<session>\d{1,12})_(?P<part>[csm])\.(?:txt|xml)\Z", re.I)
_REQUEST_LINE: Final = re.compile(rb"([^\s]+)[ \t]+([^\s]+)(?:[ \t]+HTTP/[\d.]+)?\s*\Z")
_STATUS_LINE: Final = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})(?:[ \t]+(.*))?\Z")
# Fiddler writes this where a time is not known (.NET's DateTime.MinValue).
_NEVER: Final = "0001-01-01"

def recognise(names: Collection[str]) -> bool:
    """Whether the members of a zip are those of a session archive."""
    return any(match["part"] in "cC" for name in names if (match := _MEMBER.match(name)))


def read(
    archive: Archive, remarks: Remarks, now: float, further: Collection[str] = ()
) -> Iterator[Exchange]:
    """The calls of a session archive in the order of their numbers; never raises on bad content."""
    sessions: dict[int, dict[str, str]] = {}
    for name in archive.names:
        if not (match := _MEMBER.match(name)):
            continue
        if ".." in re.split(r"[/\\]", name):
            remarks.skip("a path that leads out of the archive", name)
            continue
        parts = sessions.setdefault(int(match["session"]), {})
        if match["part"].lower() in parts:
            remarks.skip("a second file of the same session", name)
        parts.setdefault(match["part"].lower(), name)
    calendar = Calendar(remarks, now)
    for number in sorted(sessions):
        try:
            exchange = _read_session(archive, sessions[number], calendar, remarks, further, f"session {number}")
        except Damaged as error:
            remarks.skip(str(error), f"session {number}")
            continue
        if exchange is not None:
            yield exchange


def _read_session(
    archive: Archive,
    parts: dict[str, str],
    calendar: Calendar,
    remarks: Remarks,
    further: Collection[str],
    place: str,
) -> Exchange | None:
    if "c" not in parts:
        remarks.skip("no request", place)
        return None
    with archive.open(parts["c"]) as file:
        line, fields, _ = _read_head(file)
    match = _REQUEST_LINE.match(line)
    if match is None:
        remarks.skip("no request", place)
        return None
    method, target = calls.decode_text(match[1]).upper(), calls.decode_text(match[2])
    if method == "CONNECT":
        return None
    address = calls.read_url(target)
    host = calls.find_api_host(address.host if address else "", fields, further)
    if address is None and target.startswith(("/", "*")):
        address = calls.Address("", re.split("[?#]", target)[0])
    if address is None:
        remarks.skip("no readable URL", place)
        return None
    if host is None or not calls.is_call(method, fields):
        return None
    status, phrase, answer_fields, body = _read_answer(archive, parts.get("s"), remarks, place)
    if max(len(fields), len(answer_fields)) > calls.HEADER_FIELDS:
        remarks.skip(f"more than {calls.HEADER_FIELDS:,} header fields", place)
        return None
    begun, program = _read_metadata(archive, parts.get("m"), remarks, place)
    at = calendar.find(calendar.read(begun, place), answer_fields, place)
    if at is None:
        return None
    return calls.make_exchange(
        at=at,
        method=method,
        address=calls.Address(host, address.path),
        request_fields=fields,
        status=status,
        reason_phrase=phrase,
        response_fields=answer_fields,
        body=body,
        program=program,
    )


def _read_answer(
    archive: Archive, name: str | None, remarks: Remarks, place: str
) -> tuple[int | None, str, calls.Fields, bytes | None]:
    """Status, reason phrase, header fields and the body of a 401; no status where no answer came."""
    if name is None:
        return None, "", [], None
    try:
        with archive.open(name) as file:
            line, fields, rest = _read_head(file)
            match = _STATUS_LINE.match(line)
            if match is None:
                return None, "", [], None
            status = int(match[1])
            body = None
            if status == 401:
                body = rest + file.read(2 * bodies.BODY_LIMIT - min(len(rest), bodies.BODY_LIMIT))
    except Damaged:
        # The request alone still proves who called with which token.
        remarks.note("the answer is damaged in the archive", place)
        return None, "", [], None
    return status, calls.decode_text(match[2] or b""), fields, _unpack(body, fields) if body else None


def _unpack(body: bytes, fields: calls.Fields) -> bytes | None:
    encodings = ", ".join(value for name, value in fields if name.lower() == "content-encoding")
    if any(name.lower() == "transfer-encoding" and "chunked" in value.lower() for name, value in fields):
        # Fiddler stores what came over the wire, unless its user has asked for decoded bodies.
        body = bodies.dechunk(body)
    return bodies.decode(body[: bodies.BODY_LIMIT], encodings)


def _read_head(file: IO[bytes]) -> tuple[bytes, list[tuple[str, str]], bytes]:
    """First line, header fields, and what was read of the body; raises Damaged for an endless head."""
    data = b""
    while b"\r\n\r\n" not in data and b"\n\n" not in data:
        more = file.read(8192 if not data else 65536)
        data += more
        if not more:
            break
        if len(data) > HEAD:
            raise Damaged("a head of more than 1 MiB")
    head, _, rest = data.partition(b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n")
    lines = head.lstrip(b"\xef\xbb\xbf\r\n").splitlines()
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t") and fields:
            # A folded line (RFC 9112, 5.2) goes on with the value of the one before.
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {calls.decode_text(line.strip())}"[: calls.VALUE_LIMIT])
            continue
        name_bytes, colon, value_bytes = line.partition(b":")
        # HTTP/2 pseudo-headers begin with a colon of their own.
        if not name_bytes and colon:
            name_bytes, colon, value_bytes = line[1:].partition(b":")
            name_bytes = b":" + name_bytes
        if colon:
            fields.append((calls.decode_text(name_bytes.strip()), calls.decode_text(value_bytes.strip())))
    return (lines[0] if lines else b""), fields, rest


def _read_metadata(
    archive: Archive, name: str | None, remarks: Remarks, place: str
) -> tuple[str | None, str | None]:
    """When the request began, as written, and the name of the process that made it."""
    if name is None:
        return None, None
    import defusedxml.ElementTree

    try:
        with archive.open(name) as file:
            data = file.read(METADATA)
        root = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except (Damaged, SyntaxError, ValueError, LookupError, RecursionError):  # ParseError is a SyntaxError
        remarks.note("its metadata cannot be read", place)
        return None, None
    begun = None
    for timers in root.iter("SessionTimers"):
        for timer in ("ClientBeginRequest", "ClientDoneRequest", "ServerGotRequest", "ClientConnected"):
            written = timers.get(timer)
            if begun is None and written and not written.startswith(_NEVER):
                begun = written
    program = None
    for flag in root.iter("SessionFlag"):
        if (flag.get("N") or "").lower() == "x-processinfo":
            # "powershell:4711"; the number is of that process only.
            program = calls.clean((flag.get("V") or "").rpartition(":")[0])[:200].strip() or None
    return begun, program

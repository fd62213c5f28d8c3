"""Fiddler's session archives: a zip with `raw/N_c.txt` (request), `N_s.txt` (answer) and `N_m.xml`
(metadata).

Nothing is unpacked to disk, and of each member only the beginning is unpacked at all: no member's name is
ever used as a path, and a member that would unpack to gigabytes costs what its first KiB cost.
The format: https://docs.telerik.com/fiddler/knowledge-base/saz-format
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import IO, Final

from mfa_audit.captures import entries
from mfa_audit.captures.archives import Archive, DamagedError
from mfa_audit.captures.entries import Answer, Reading, Request, SkipError
from mfa_audit.exchanges import bodies
from mfa_audit.exchanges.exchange import Exchange, Program

# The longest head of a message that is read; servers refuse more than 16 to 64 KiB.
HEAD: Final = 1024 * 1024
METADATA: Final = 256 * 1024

_MEMBER: Final = re.compile(r"(?:.*[/\\])?raw[/\\](?P<session>\d{1,12})_(?P<part>[csm])\.(?:txt|xml)\Z", re.I)
_PARTS: Final = "csm"
_REQUEST_LINE: Final = re.compile(rb"([^\s]+)[ \t]+([^\s]+)(?:[ \t]+HTTP/[\d.]+)?\s*\Z")
_STATUS_LINE: Final = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})(?:[ \t]+(.*))?\Z")
# An empty line, with or without carriage returns.
_ENDS_OF_HEAD: Final = (b"\n\r\n", b"\n\n")
# Fiddler writes this where a time is not known (.NET's DateTime.MinValue).
_NEVER: Final = "0001-01-01"


def recognise(names: Collection[str]) -> bool:
    """Whether the members of a zip are those of a session archive."""
    return any(match["part"] in "cC" for name in names if (match := _MEMBER.match(name)))


def read(archive: Archive, reading: Reading) -> Iterator[Exchange]:
    """The calls of a session archive in the order of their numbers; never raises on bad content."""
    # Request, answer and metadata of each session, by their places among the names: an archive may have 100,000.
    sessions: dict[int, list[int]] = {}
    for at, name in enumerate(archive.names):
        if not (match := _MEMBER.match(name)):
            continue
        if ".." in re.split(r"[/\\]", name):
            reading.remarks.skip("a path that leads out of the archive", name)
            continue
        parts = sessions.setdefault(int(match["session"]), [-1, -1, -1])
        part = _PARTS.index(match["part"].lower())
        if parts[part] >= 0:
            reading.remarks.skip("a second file of the same session", name)
        else:
            parts[part] = at
    for number in sorted(sessions):
        place = f"session {number}"
        try:
            names = {
                part: archive.names[at] for part, at in zip(_PARTS, sessions[number], strict=True) if at >= 0
            }
            exchange = _read_session(archive, names, reading, place)
        except (DamagedError, SkipError) as error:
            reading.remarks.skip(str(error), place)
            continue
        if exchange is not None:
            yield exchange


def _read_session(archive: Archive, parts: dict[str, str], reading: Reading, place: str) -> Exchange | None:
    if "c" not in parts:
        raise SkipError("no request")
    request = _read_request(archive, parts["c"])
    host = reading.find_api_host(request)
    if host is None:
        return None
    answer = Answer()
    if "s" in parts:
        try:
            answer = _read_answer(archive, parts["s"])
        except DamagedError:
            # The request alone still proves who called with which token.
            reading.remarks.note("the answer is damaged in the archive", place)
    begun = program = None
    if "m" in parts:
        try:
            begun, program = _read_metadata(archive, parts["m"])
        except DamagedError:
            reading.remarks.note("the metadata cannot be read", place)
    own = reading.read_date(begun, place)
    return reading.make_exchange(
        request, host, answer, own=own, place=place, program=None if program is None else Program(program)
    )


def _read_request(archive: Archive, name: str) -> Request:
    with archive.open(name) as file:
        line, fields, _ = _read_head(file)
    match = _REQUEST_LINE.match(line)
    if match is None:
        raise SkipError("no request")
    method, target = entries.decode_text(match[1]).upper(), entries.decode_text(match[2])
    # Fiddler writes the whole URL; other writers write what was on the wire, and CONNECT has host and port
    # only.
    address = entries.read_url(target)
    if address is None and not target.startswith(("/", "*")) and method != "CONNECT":
        raise SkipError("no readable URL")
    return Request(method, *(address or ("", re.split("[?#]", target, maxsplit=1)[0])), fields)


def _read_answer(archive: Archive, name: str) -> Answer:
    with archive.open(name) as file:
        line, fields, rest = _read_head(file)
        match = _STATUS_LINE.match(line)
        if match is None:
            return Answer()
        status = int(match[1])
        body = (
            (rest + file.read(bodies.BODY_LIMIT))[: 2 * bodies.BODY_LIMIT]
            if status in bodies.REFUSING
            else None
        )
    return Answer(
        status, entries.decode_text(match[2] or b""), fields, _dechunk(body, fields) if body else None
    )


def _dechunk(body: bytes, fields: entries.Fields) -> bytes:
    if any(name.lower() == "transfer-encoding" and "chunked" in value.lower() for name, value in fields):
        # Fiddler stores what came over the wire, unless its user has asked for decoded bodies.
        body = bodies.dechunk(body)
    return body[: bodies.BODY_LIMIT]


def _read_head(file: IO[bytes]) -> tuple[bytes, list[tuple[str, str]], bytes]:
    """First line, header fields, and what was read of the body; raises DamagedError for an endless head."""
    data = bytearray()
    ends: list[tuple[int, int]] = []
    while not ends and (more := file.read(65536 if data else 8192)):
        # Only what is new is searched, and the two bytes before it, in which the end may have begun.
        searched = max(len(data) - 2, 0)
        data += more
        ends = [(at, len(end)) for end in _ENDS_OF_HEAD if (at := data.find(end, searched)) >= 0]
        if not ends and len(data) > HEAD:
            raise DamagedError("a head of more than 1 MiB")
    at, length = min(ends, default=(len(data), 0))
    head, rest = data[:at], bytes(data[at + length :])
    lines = bytes(head).lstrip(b"\xef\xbb\xbf\r\n").splitlines()
    if len(lines) > entries.HEADER_FIELDS:
        raise entries.TooManyFieldsError
    fields: list[tuple[str, str]] = []
    wanted = False
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t"):
            # A folded line (RFC 9112, 5.2) goes on with the value of the one before.
            if wanted:
                name, value = fields[-1]
                fields[-1] = (name, f"{value} {entries.decode_text(line.strip())}"[: entries.VALUE_LIMIT])
            continue
        name_bytes, colon, value_bytes = line.partition(b":")
        # HTTP/2 pseudo-headers begin with a colon of their own.
        if not name_bytes and colon:
            name_bytes, colon, value_bytes = line[1:].partition(b":")
            name_bytes = b":" + name_bytes
        name = entries.decode_text(name_bytes.strip())
        if wanted := bool(colon) and name.lower() in entries.WANTED:
            fields.append((name, entries.decode_text(value_bytes.strip())))
    return (lines[0] if lines else b""), fields, rest


def _read_metadata(archive: Archive, name: str) -> tuple[str | None, str | None]:
    """When the request began, as written, and the name of the process that made it. Raises DamagedError."""
    import defusedxml.ElementTree

    with archive.open(name) as file:
        # Whatever is wrong with the XML, entities included, comes out as DamagedError.
        root = defusedxml.ElementTree.fromstring(file.read(METADATA), forbid_dtd=True)
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
            program = entries.clean((flag.get("V") or "").rpartition(":")[0])[:200].strip() or None
    return begun, program

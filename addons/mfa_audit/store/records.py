"""The journal's format: records of one session, each with version, length and checksum. Pure.

A record is a head of 8 bytes (version, kind, length of the content, and a check of these), a CRC-32 of head and
content, and the content. A segment is one file of records; it begins with OPEN. Clients, tokens, programs and
operations are spelled out once a segment, and named by their number after that. docs/data.md describes it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Hashable, Iterator
from dataclasses import asdict, fields
from typing import Any, Final, NamedTuple
from zlib import crc32

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import Client
from mfa_audit.judging.observations import Observation
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import Form, Token, User
from mfa_audit.store.sessions import Session

VERSION: Final = 1
# No record of ours is longer: the longest value of a header or claim is 64 KiB.
LONGEST: Final = 1 << 20

# Kinds of records.
OPEN, CLIENT, TOKEN, PROGRAM, OPERATION, CALL, NAMED, UNREAD, END = range(1, 10)

_HEAD: Final = struct.Struct("<BBIH")
_SUM: Final = struct.Struct("<I")
OVERHEAD: Final = _HEAD.size + _SUM.size
# Number in the session, time, numbers of client, token, program and operation, status, facts, which ids follow.
_CALL: Final = struct.Struct("<IdIIIIhHB")
_NAMED: Final = struct.Struct("<II")

# The bits of a call's facts.
_BITS: Final = ("accepted", "blocked", "blocked_by_test", "expired", "unanswered", "refused")
_FACTS: Final = {name: 1 << bit for bit, name in enumerate(_BITS) if name in Observation._fields}
_COMPLIANT: Final = 1 << 14
_NON_COMPLIANT: Final = 1 << 15
_LATEST: Final = 1e11  # seconds since 1970: no time of a call is later


class DamageError(Exception):
    """A record that is not as it was written; the text says what is wrong with it, in a fixed phrase."""


class NewerError(Exception):
    """A record in a format that a newer mfa-audit writes."""


class Opened(NamedTuple):
    """The begin of a segment: whose it is, its number (from 1 on), and how many calls came before it."""

    session: Session
    segment: int
    calls_before: int


class Recorded(NamedTuple):
    """A call, with its number in the session (from 1 on)."""

    number: int
    observation: Observation


class Named(NamedTuple):
    """The program of a call became known after the call was recorded."""

    number: int
    program: Program


class Unread(NamedTuple):
    """A connection that could not be read. `at` in seconds since 1970 (UTC)."""

    at: float
    host: str
    user_agent: str | None
    program: Program | None
    reason: str


class Ended(NamedTuple):
    """The end of the session, and its counts. `at` in seconds since 1970 (UTC)."""

    at: float
    how: str
    lost: int
    late: int
    programs_denied: int


Entry = Recorded | Named | Unread | Ended
Event = Opened | Entry


class Encoder:
    """Writes the records of one segment. What is not `keep`-ed after an entry counts as never written."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, Hashable], int] = {}
        self._new: list[tuple[int, Hashable]] = []

    @property
    def spelled(self) -> int:
        """How many clients, tokens, programs and operations the segment spells out."""
        return len(self._numbers)

    def encode(self, entry: Entry) -> bytes:
        """The records of an entry. Raises struct.error, ValueError, TypeError for values that have no place in it."""
        for key in self._new:
            del self._numbers[key]
        self._new.clear()
        parts: list[bytes] = []
        match entry:
            case Recorded(number, seen):
                parts.append(_record(CALL, self._call(number, seen, parts)))
            case Named(number, program):
                parts.append(_record(NAMED, _NAMED.pack(number, self._program(program, parts))))
            case Unread():
                parts.append(_record(UNREAD, _json(list(entry))))
            case Ended():
                parts.append(_record(END, _json(list(entry))))
        return b"".join(parts)

    def keep(self) -> None:
        """The entry encoded last is written."""
        self._new.clear()

    def _call(self, number: int, seen: Observation, parts: list[bytes]) -> bytes:
        facts = sum(bit for name, bit in _FACTS.items() if getattr(seen, name))
        if seen.server is not None:
            facts |= _COMPLIANT if seen.server else _NON_COMPLIANT
        ids = [bytes.fromhex(one.replace("-", "")) for one in (seen.request_id, seen.correlation_id) if one]
        return _CALL.pack(
            number,
            seen.at,
            self._number(CLIENT, seen.client, seen.client, parts),
            self._token(seen.token, parts),
            self._program(seen.program, parts),
            self._number(OPERATION, seen.operation, seen.operation, parts),
            -1 if seen.status is None else seen.status,
            facts,
            (seen.request_id is not None) | (seen.correlation_id is not None) << 1,
        ) + b"".join(ids)

    def _token(self, token: Token, parts: list[bytes]) -> int:
        known = self._numbers.get((TOKEN, token.key))
        return known or self._number(TOKEN, token.key, _spell_token(token), parts)

    def _program(self, program: Program | None, parts: list[bytes]) -> int:
        return 0 if program is None else self._number(PROGRAM, program, program, parts)

    def _number(self, kind: int, key: Hashable, spelled: object, parts: list[bytes]) -> int:
        """The number of a client, token, program or operation; a new one is spelled out before."""
        known = self._numbers.get((kind, key))
        if known is None:
            known = self._numbers[kind, key] = len(self._numbers) + 1
            self._new.append((kind, key))
            parts.append(_record(kind, known.to_bytes(4, "little") + _json(spelled)))
        return known


def encode_open(opened: Opened) -> bytes:
    """The first record of a segment."""
    return _record(OPEN, _json([asdict(opened.session), opened.segment, opened.calls_before]))


def _record(kind: int, content: bytes) -> bytes:
    if len(content) > LONGEST:
        raise ValueError("a record that is too long")
    head = struct.pack("<BBI", VERSION, kind, len(content))
    head += struct.pack("<H", crc32(head) & 0xFFFF)
    return head + _SUM.pack(crc32(content, crc32(head))) + content


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _spell_token(token: Token) -> list[object]:
    user = token.user and [token.user.tenant, token.user.object_id, token.user.name]
    return [
        token.fingerprint, token.form.value, token.verdict.value, token.reason, dict(token.claims),
        token.app_id, user, token.issued, token.expires,
    ]  # fmt: skip


def read_records(data: bytes) -> Iterator[tuple[int, memoryview, int]]:
    """Kind, content and end of each record; ends without a word at one that is not all there yet.

    Raises DamageError and NewerError at the first that is not as it should be.
    """
    view, start = memoryview(data), 0
    while len(view) - start >= OVERHEAD:
        version, kind, length, check = _HEAD.unpack_from(view, start)
        if crc32(view[start : start + 6]) & 0xFFFF != check:
            raise DamageError("the head of a record")
        if version > VERSION:
            raise NewerError
        content = start + OVERHEAD
        if not version or length > LONGEST:
            raise DamageError("the head of a record")
        if len(view) - content < length:
            return
        found = view[content : content + length]
        if (
            crc32(found, crc32(view[start : start + _HEAD.size]))
            != _SUM.unpack_from(view, start + _HEAD.size)[0]
        ):
            raise DamageError("the content of a record")
        start = content + length
        yield kind, found, start


class Decoder:
    """Reads the records of one segment, from its first one on."""

    def __init__(self) -> None:
        self._spelled: dict[int, Any] = {}

    def decode(self, kind: int, content: memoryview) -> Event | None:
        """What a record says; None for one that spells something out. Raises DamageError for nonsense."""
        try:
            return self._decode(kind, content)
        except Exception:  # whatever nonsense does to the parsers: the sum was right, the content is not ours
            raise DamageError("the content of a record") from None

    def _decode(self, kind: int, content: memoryview) -> Event | None:
        match kind:
            case _ if kind in _SPELLINGS:
                number = int.from_bytes(content[:4], "little")
                self._spelled[number] = _SPELLINGS[kind](_read_json(content[4:]))
            case _ if kind == CALL:
                return self._call(content)
            case _ if kind == NAMED:
                number, program = _NAMED.unpack(content)
                return Named(number, self._get(program, Program))
            case _ if kind == UNREAD:
                at, host, agent, spelled, reason = _read_json(content)
                program = None if spelled is None else _read_program(spelled)
                return Unread(_time(at), _text(host), _text_or_none(agent), program, _text(reason))
            case _ if kind == OPEN:
                session, segment, calls_before = _read_json(content)
                return Opened(_read_session(session), _count(segment), _count(calls_before))
            case _ if kind == END:
                at, how, *counts = _read_json(content)
                return Ended(_time(at), _text(how), *map(_count, counts))
            case _:
                raise DamageError("a record of an unknown kind")
        return None

    def _call(self, content: memoryview) -> Recorded:
        number, at, client, token, program, operation, status, facts, ids = _CALL.unpack_from(content)
        rest = bytes(content[_CALL.size :])
        if len(rest) != 16 * (ids & 1) + 16 * (ids >> 1 & 1):
            raise ValueError
        server = bool(facts & _COMPLIANT) if facts & (_COMPLIANT | _NON_COMPLIANT) else None
        return Recorded(
            number,
            Observation(
                at=_time(at),
                client=self._get(client, Client),
                token=self._get(token, Token),
                program=self._get(program, Program) if program else None,
                operation=self._get(operation, str),
                status=None if status < 0 else status,
                server=server,
                request_id=_guid(rest[:16]) if ids & 1 else None,
                correlation_id=_guid(rest[-16:]) if ids & 2 else None,
                **{name: bool(facts & bit) for name, bit in _FACTS.items()},
            ),
        )

    def _get(self, number: int, kind: type) -> Any:
        found = self._spelled[number]
        if type(found) is not kind:
            raise TypeError
        return found


def _read_json(content: memoryview) -> Any:
    text = bytes(content).decode()
    found = json.loads(text)
    if "\\u" in text:  # only there can a lone surrogate hide, which no database takes
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _read_client(spelled: Any) -> Client:
    return Client(*map(_text_or_none, spelled))


def _read_token(spelled: Any) -> Token:
    fingerprint, form, verdict, reason, claims, app_id, user, issued, expires = spelled
    if not isinstance(claims, dict):
        raise TypeError
    return Token(
        _text_or_none(fingerprint),
        Form(form),
        Verdict(verdict),
        _text(reason),
        claims,
        _text_or_none(app_id),
        None if user is None else User(*map(_text_or_none, user)),
        None if issued is None else _time(issued),
        None if expires is None else _time(expires),
    )


def _read_program(spelled: Any) -> Program:
    name, *others = spelled
    return Program(_text(name), *map(_text_or_none, others))


def _read_session(spelled: Any) -> Session:
    known = {one.name for one in fields(Session)}
    session = Session(**{name: value for name, value in spelled.items() if name in known})
    for text in (session.uuid, session.kind, session.machine, session.account):
        _text(text)
    _text_or_none(session.machine_id)
    _time(session.started)
    return session


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _time(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > _LATEST:
        raise ValueError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ValueError
    return value


def _guid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_SPELLINGS: Final = {CLIENT: _read_client, TOKEN: _read_token, PROGRAM: _read_program, OPERATION: _text}

"""The journal's format: what is written is read, and what is damaged is told, whatever the bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest

from journals import damage, read_all, write_segment
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.observations import Observation
from mfa_audit.judging.tokens import NO_TOKEN
from mfa_audit.store import records
from mfa_audit.store.records import (
    DamageError,
    Decoder,
    Encoder,
    Ended,
    Named,
    NewerError,
    Opened,
    Recorded,
    Unread,
    encode_open,
    read_records,
)
from mfa_audit.store.sessions import Session
from observed import observe

SESSION = Session("proxy", 1_700_000_000.0, validate=True, source="café")


def observations() -> Iterator[Observation]:
    """Calls that differ in each thing that is kept."""
    usual = observe(1_700_000_000.25, claims={"upn": "zoë@contoso.com"})
    yield usual
    yield usual._replace(token=NO_TOKEN, status=None, program=Program("a.py", "svc", "cron"))
    yield usual._replace(program=Program("b"), operation="OTHER /", status=401)
    for name in Observation._fields:
        if isinstance(getattr(usual, name), bool):
            yield usual._replace(**{name: not getattr(usual, name)})
    for server in (True, False):
        yield usual._replace(server=server)
    yield usual._replace(request_id="11111111-2222-4333-8444-55555555555f")
    yield usual._replace(correlation_id="11111111-2222-4333-8444-555555555550")
    yield usual._replace(
        request_id="11111111-2222-4333-8444-55555555555f",
        correlation_id="21111111-2222-4333-8444-555555555550",
    )


def test_what_is_written_is_read() -> None:
    """Every field of every kind of entry survives, and each caller, token, program and operation is spelled once."""
    entries = [Recorded(number, seen) for number, seen in enumerate(observations(), 1)]
    others = [
        Named(1, Program("late.py")),
        Unread(1.5, "api.example.com", None, None, "no-request"),
        Unread(2.5, "api.example.com", "curl/8", Program("curl", None, "terminal"), "tunnelled"),
        Ended(3.5, "stopped", 1, 2, 3),
    ]
    data = write_segment(SESSION, 1, 0, [*entries, *others, *entries])
    events, damaged = read_all(data)
    assert [Opened(SESSION, 1, 0), *entries, *others, *entries] == events
    assert not damaged
    kinds = [kind for kind, _, _ in read_records(data)]
    assert [1, 3] == [kinds.count(records.CLIENT), kinds.count(records.OPERATION) + 1]
    assert 2 == kinds.count(records.TOKEN)


@pytest.mark.parametrize(
    "entry",
    [
        Recorded(1, observe()._replace(status=1 << 70)),
        Recorded(1, observe()._replace(operation="\ud800")),
        Recorded(1 << 40, observe()),
        Unread(0.0, "x" * (records.LONGEST + 1), None, None, "no-request"),
    ],
)
def test_what_has_no_place_in_a_record_leaves_no_trace(entry: Recorded | Unread) -> None:
    """It raises, and what comes after it is as if it had never been."""
    encoder = Encoder()
    with pytest.raises((ValueError, struct.error, UnicodeEncodeError)):
        encoder.encode(entry)
    seen = Recorded(2, observe())
    data = encode_open(Opened(SESSION, 1, 0)) + encoder.encode(seen)
    assert ([Opened(SESSION, 1, 0), seen], False) == read_all(data)


def test_what_could_not_be_written_is_spelled_again() -> None:
    """A caller in a record that did not get to the disk is spelled out in the next one."""
    encoder, seen = Encoder(), Recorded(1, observe())
    assert encoder.encode(seen) == encoder.encode(seen)
    encoder.keep()
    assert len(encoder.encode(seen)) < 100


def test_a_torn_end_is_dropped_without_a_word() -> None:
    """However many bytes of the last record are there, all before it is read, and nothing is told."""
    whole = write_segment(SESSION, 1, 0, [Recorded(1, observe())])
    data = whole + write_segment(SESSION, 2, 1, [Recorded(2, observe())])[:-1]
    start = len(data)
    while start > len(whole):
        start -= 1
        events, damaged = read_all(data[:start])
        assert 2 <= len(events)
        assert not damaged


def test_every_flipped_bit_is_told() -> None:
    """Whatever bit of a record is flipped: what is before it is read, and it is damage or a newer version."""
    before = write_segment(SESSION, 1, 0, [Recorded(1, observe())])
    record = Encoder().encode(Recorded(2, observe()))
    intact = read_all(before)[0]
    for place in range(8 * len(record)):
        broken = bytearray(record)
        broken[place // 8] ^= 1 << place % 8
        events, damaged = read_all(before + bytes(broken))
        assert damaged
        assert intact == events[: len(intact)]


def test_a_newer_version_is_left_to_a_newer_program() -> None:
    """A record of version 2 is no damage."""
    data = bytearray(write_segment(SESSION, 1, 0, []))
    data[0] = 2
    data[6:8] = struct.pack("<H", records.crc32(data[:6]) & 0xFFFF)
    with pytest.raises(NewerError):
        list(read_records(bytes(data)))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (0, b""),
        (77, b""),
        (records.OPEN, b"[]"),
        (records.OPEN, b'[{"uuid": 1}, 1, 0]'),
        (records.OPEN, b'[{"kind": "proxy", "started": 1e999}, 1, 0]'),
        (records.CLIENT, b"\x01\0\0\0[1,2,3,4,5]"),
        (records.CLIENT, b"\x01\0\0\0" + b"[" * 100_000),
        (records.CLIENT, b'\x01\0\0\0["\\ud800",null,null,null,null]'),
        (records.TOKEN, b"\x01\0\0\0[]"),
        (records.TOKEN, b'\x01\0\0\0["k","v1.0","maybe","x",{},null,null,null,null]'),
        (records.PROGRAM, b"\x01\0\0\0[]"),
        (records.OPERATION, b"\x01\0\0\0{}"),
        (records.CALL, b""),
        (records.CALL, bytes(200)),
        (records.NAMED, bytes(8)),
        (records.UNREAD, b'["now","h",null,null,"r"]'),
        (records.END, b'[1,"stopped",-1,0,0]'),
        (records.END, b'[1,"stopped",1e9,0,0]'),
        (records.END, b"[1," + b"9" * 10_000 + b"]"),
    ],
)
def test_nonsense_with_a_right_sum_is_damage(kind: int, content: bytes) -> None:
    """Content that is not ours is told as damage, and never raises anything else."""
    with pytest.raises(DamageError):
        Decoder().decode(kind, memoryview(content))


def test_damaged_segments_never_raise_and_keep_what_is_before() -> None:
    """A seeded share of what `scripts/damage_journals.py` tries a million times."""
    chance = random.Random(13)
    entries = [Recorded(number, observe()) for number in range(1, 9)]
    data = write_segment(SESSION, 1, 0, [*entries, Named(3, Program("x")), Ended(1.0, "stopped", 0, 0, 0)])
    whole, _ = read_all(data)
    for _ in range(2_000):
        broken, intact = damage(data, chance)
        events, _ = read_all(broken)
        before = [event for event, end in zip(whole, ends(data), strict=True) if end <= intact]
        assert before == events[: len(before)]


def ends(data: bytes) -> list[int]:
    """Where the record of each event ends."""
    decoder = Decoder()
    return [end for kind, content, end in read_records(data) if decoder.decode(kind, content) is not None]

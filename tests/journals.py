"""Segments of journals: written, read whole, and damaged at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mfa_audit.store.records import (
    DamageError,
    Decoder,
    Encoder,
    Entry,
    Event,
    NewerError,
    Opened,
    encode_open,
    read_records,
)
from mfa_audit.store.sessions import Session


def write_segment(session: Session, number: int, calls_before: int, entries: Sequence[Entry]) -> bytes:
    """A segment with these entries."""
    encoder = Encoder()
    parts = [encode_open(Opened(session, number, calls_before))]
    for entry in entries:
        parts.append(encoder.encode(entry))
        encoder.keep()
    return b"".join(parts)


def read_all(data: bytes) -> tuple[list[Event], bool]:
    """The events up to the end or the first damage, and whether there is any."""
    decoder = Decoder()
    events: list[Event] = []
    try:
        for kind, content, _ in read_records(data):
            event = decoder.decode(kind, content)
            if event is not None:
                events.append(event)
    except (DamageError, NewerError):
        return events, True
    return events, False


def damage(data: bytes, chance: random.Random) -> tuple[bytes, int]:
    """The data with one thing wrong with it, and how many bytes of it are as they were."""
    place = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:  # cut off
            return data[:place], place
        case 1:  # a bit
            flipped = bytearray(data)
            flipped[place] ^= 1 << chance.randrange(8)
            return bytes(flipped), place
        case 2:  # noise
            noise = chance.randbytes(chance.randrange(1, 64))
            return data[:place] + noise + data[place + len(noise) :], place
        case 3:  # a hole
            return data[:place] + data[place + chance.randrange(1, 64) :], place
        case 4:  # nothing was written
            return data[:place] + bytes(len(data) - place), place
        case _:  # a part twice
            return data[:place] + data[chance.randrange(place + 1) :], place

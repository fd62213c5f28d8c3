"""Noticing that the machine slept, which no timer tells."""

from __future__ import annotations

import time
from typing import Final

# Seconds that a wait may last longer than asked for before the machine must have slept.
_TOLERANCE: Final = 20.0


def read_clocks() -> tuple[float, float]:
    """Wall clock, and a clock that goes on while the machine sleeps and that nobody sets."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux, where CLOCK_MONOTONIC stands still meanwhile
        return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_MONOTONIC"):  # macOS: goes on, by clock_gettime(3), unlike time.monotonic()
        return time.time(), time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.time(), time.monotonic()  # Windows: GetTickCount64 and QueryPerformanceCounter go on


def find_sleep(since: tuple[float, float], timeout: float) -> tuple[float, float] | None:
    """From when to when the machine slept, if a wait of `timeout` seconds took more than 20 s longer."""
    now = read_clocks()
    overslept = now[1] - since[1] - timeout
    return (now[0] - overslept, now[0]) if overslept > _TOLERANCE else None

"""A stopwatch for the event loop: how many ms late a timer of 2 ms is, time and again. Written to BENCH_DELAYS."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

_TICK = 0.002


class Delays:
    def __init__(self) -> None:
        self.delays: list[float] = []

    def running(self) -> None:
        self.task = asyncio.create_task(self.watch())

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            self.delays.append((time.perf_counter() - began - _TICK) * 1000)

    def done(self) -> None:
        self.task.cancel()
        Path(os.environ["BENCH_DELAYS"]).write_text(json.dumps(self.delays))


addons = [Delays()]

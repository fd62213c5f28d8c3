"""Another addon's file with a stopwatch around its HTTP hooks.

BENCH_TIMED: the file; BENCH_TIMES: where the sums go, as JSON lists in microseconds per call: `inside` the
hooks, and `waited` on what they returned (during which other flows go on).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

HOOKS = ("requestheaders", "request", "responseheaders", "response")

_source = Path(os.environ["BENCH_TIMED"])
sys.path.insert(0, str(_source.parent))
_spec = importlib.util.spec_from_file_location("timed", _source)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

_inside: dict[str, int] = defaultdict(int)
_waited: dict[str, int] = defaultdict(int)


def _timed(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def measured(flow: Any) -> Any:
        start = perf_counter_ns()
        result = hook(flow)
        _inside[flow.id] += perf_counter_ns() - start
        return None if result is None else _wait(flow.id, result)

    return measured


async def _wait(flow_id: str, result: Awaitable[object]) -> None:
    start = perf_counter_ns()
    await result
    _waited[flow_id] += perf_counter_ns() - start


class Report:
    def done(self) -> None:
        sums = {"inside": _inside, "waited": _waited}
        shown = {name: [each / 1000 for each in times.values()] for name, times in sums.items()}
        Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(shown))


for _addon in _module.addons:
    for _name in HOOKS:
        if hasattr(_addon, _name):
            setattr(_addon, _name, _timed(getattr(_addon, _name)))

addons = [*_module.addons, Report()]

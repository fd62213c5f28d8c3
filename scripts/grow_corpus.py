"""Add to tests/corpus those random calls, or captures, that reach code which no saved one reaches.

    python scripts/grow_corpus.py --examples 20000
    python scripts/grow_corpus.py --captures --examples 20000

One is saved where it takes a step from one line to another, in judging, in the addon or in a reader of captures, that
none before it took. With `--examples 0` only the reasons of the saved calls are brought up to date, after a change of
the rules.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from mitmproxy.test import taddons  # noqa: E402

import mfa_audit  # noqa: E402
import odd_captures  # noqa: E402
from live_flows import play  # noqa: E402
from mfa_audit.addon.live import PartnerCenterMfa  # noqa: E402
from mfa_audit.judging.observations import Judge  # noqa: E402
from odd_calls import CORPUS, ODD_CALLS, OddCall, read_corpus, write_corpus  # noqa: E402

PACKAGE = str(Path(mfa_audit.__file__).parent)
CALLS = (f"{PACKAGE}/judging", f"{PACKAGE}/addon/live.py", f"{PACKAGE}/exchanges")
CAPTURES = (f"{PACKAGE}/captures", f"{PACKAGE}/exchanges")
# A saved capture is a small one: what it reaches, not how long it takes.
LARGEST = 8 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--captures", action="store_true")
    arguments = parser.parse_args()
    if arguments.captures:
        grow_captures(arguments.examples)
    else:
        grow_calls(arguments.examples)


def grow_calls(count: int) -> None:
    """Try so many random calls."""
    known: set[tuple[str, int, int]] = set()
    corpus: list[tuple[OddCall, str]] = []
    with tempfile.TemporaryDirectory() as folder, taddons.context() as context:
        addon = PartnerCenterMfa()
        context.master.addons.add(addon)
        context.configure(addon, mfa_audit_db=str(Path(folder) / "audit.db"))

        def look(call: OddCall) -> None:
            addon._judge = Judge()  # one that remembers no token
            steps = steps_of(lambda: play(addon, call.flow(), hangs_up=call.hangs_up), CALLS)
            if not steps <= known:
                known.update(steps)
                corpus.append((call, call.reason()))

        for call, _ in read_corpus() if CORPUS.exists() else []:
            look(call)
        before = len(corpus)
        if count:
            settings(
                max_examples=count,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(ODD_CALLS)(look))()
        addon.done()
    write_corpus(corpus)
    print(f"{before} calls were saved, {len(corpus)} are; {len(known):,} steps from line to line")


def grow_captures(count: int) -> None:
    """Try so many changed captures, of all formats in turn."""
    known: set[tuple[str, int, int]] = set()
    saved: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "odd"

        def look(data: bytes) -> None:
            path.write_bytes(data)
            steps = steps_of(lambda: odd_captures.read_odd(path), CAPTURES)
            if not steps <= known:
                known.update(steps)
                saved.append(data)

        for data in odd_captures.read_corpus() if odd_captures.CORPUS.exists() else ():
            look(data)
        before = len(saved)
        for seed in range(count):
            kind = list(odd_captures.FORMATS)[seed % len(odd_captures.FORMATS)]
            data = odd_captures.make_odd(kind, seed)
            if len(data) <= LARGEST:
                look(data)
    odd_captures.write_corpus(saved)
    print(f"{before} captures were saved, {len(saved)} are; {len(known):,} steps from line to line")


def steps_of(run: Callable[[], object], watched: tuple[str, ...]) -> set[tuple[str, int, int]]:
    """The steps, from line to line of a file, that `run` takes in the watched files."""
    steps: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(watched):
            return None
        last = frame.f_lineno

        def follow(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return follow

        return follow

    sys.settrace(enter)
    try:
        run()
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    main()

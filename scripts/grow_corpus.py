"""Add to tests/corpus those random calls that reach code which no saved one reaches.

    python scripts/grow_corpus.py --examples 20000

A call is saved where it takes a step from one line to another, in judging or in the addon, that none before it took.
With `--examples 0` only the reasons of the saved calls are brought up to date, after a change of the rules.
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
from live_flows import play  # noqa: E402
from mfa_audit.addon.live import PartnerCenterMfa  # noqa: E402
from mfa_audit.judging.observations import Judge  # noqa: E402
from odd_calls import CORPUS, ODD_CALLS, OddCall, read_corpus, write_corpus  # noqa: E402

PACKAGE = str(Path(mfa_audit.__file__).parent)
WATCHED = (f"{PACKAGE}/judging", f"{PACKAGE}/addon/live.py", f"{PACKAGE}/exchanges/bodies.py")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=20_000)
    count = parser.parse_args().examples
    known: set[tuple[str, int, int]] = set()
    corpus: list[tuple[OddCall, str]] = []
    with tempfile.TemporaryDirectory() as folder, taddons.context() as context:
        addon = PartnerCenterMfa()
        context.master.addons.add(addon)
        context.configure(addon, mfa_audit_db=str(Path(folder) / "audit.db"))

        def look(call: OddCall) -> None:
            addon._judge = Judge()  # one that remembers no token
            steps = steps_of(lambda: play(addon, call.flow(), hangs_up=call.hangs_up))
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


def steps_of(run: Callable[[], object]) -> set[tuple[str, int, int]]:
    """The steps, from line to line of a file, that `run` takes in what is watched."""
    steps: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(WATCHED):
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

"""Simulate months of partners and measure the rule of the report, and simpler ones, against what really happens next.

    python scripts/months.py --months 20000

Prints the figures of docs/verdicts.md as Markdown; progress goes to stderr. Takes about 30 minutes on two quiet cores.
With `--rules present` only the rule in use is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from months.contenders import CONTENDERS  # noqa: E402
from months.figures import Figures, Waited, measure  # noqa: E402
from months.scenes import make_world  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--months", type=int, default=20_000, help="partner-months to simulate")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="stop after this time, and say how far it got"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", default="months", help="another one makes other partners")
    parser.add_argument("--rules", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    options = parser.parse_args()
    started = time.monotonic()
    found = {rule: Figures() for rule in options.rules}
    partners = 0
    with Pool(options.processes) as pool:
        work = partial(measure_partner, options.seed, options.rules)
        # Partners are recorded for 60 to 120 days; the loop ends when their months are enough.
        for figures in pool.imap(work, range(options.months), chunksize=4):
            partners += 1
            for rule, one in figures.items():
                found[rule].add(one)
                for wrong in one.wrong:
                    if rule == "present" and wrong.kind == "false":
                        print(
                            f"FALSE YES: partner {wrong.seed}, day {wrong.day}, {wrong.row}",
                            file=sys.stderr,
                            flush=True,
                        )
            months = found[options.rules[0]].months
            minutes = (time.monotonic() - started) / 60
            if partners % 100 == 0:
                print(
                    f"{months:.0f} of {options.months} months, {minutes:.1f} minutes",
                    file=sys.stderr,
                    flush=True,
                )
            if months >= options.months or minutes >= options.minutes:
                pool.terminate()
                break
    print("\n".join(tell(found, partners, (time.monotonic() - started) / 60)))


def measure_partner(seed: str, rules: Sequence[str], number: int) -> dict[str, Figures]:
    """The figures of these rules over one partner."""
    name = f"{seed}-{number}"
    world = make_world(name)
    return {rule: measure(world, name, CONTENDERS[rule]) for rule in rules}


def tell(found: dict[str, Figures], partners: int, minutes: float) -> Iterable[str]:
    """The figures as Markdown."""
    yield f"{partners:,} partners, {next(iter(found.values())).months:,.0f} months, {minutes:.0f} minutes.\n"
    yield "| rule | months with a false YES | false, of YES after a bad call | rarer jobs | break again | cannot tell |"
    yield "|---|---|---|---|---|---|"
    for rule, one in found.items():
        kinds = Counter(wrong.kind for wrong in one.wrong)
        share = one.false_yes / max(1, one.yes_after_bad)
        yield (
            f"| {rule} | {one.bad_months:,} of {one.months:,.0f} | {share:.1%} of {one.yes_after_bad:,} row-days"
            f" | {kinds['rarer']} | {kinds['breaks again']} | {cannot_tell(one):.1%} |"
        )
    for rule, one in found.items():
        yield f"\nDays from a fix to YES, {rule} (median, 95th, worst; those not seen within the recording):\n"
        yield "| job | starter known | program known | may be several jobs |"
        yield "|---|---|---|---|"
        sorts = ("starter known", "program known", "may be several jobs")
        for often in sorted({wait.often for wait in one.waited}):
            yield f"| {often} | {' | '.join(days(one.waited, often=often, sort=sort) for sort in sorts)} |"
        for kind in sorted({wait.kind for wait in one.waited}):
            yield f"| *{kind}* | {' | '.join(days(one.waited, kind=kind, sort=sort) for sort in sorts)} |"
    for rule, one in found.items():
        causes = Counter(
            {verdict: count for verdict, count in one.verdicts.items() if verdict.startswith("undet")}
        )
        if len(causes) > 1:
            yield f"\nWhy a row cannot be told, {rule}:\n"
            yield "| cause | share of all rows |"
            yield "|---|---|"
            for verdict, count in causes.most_common():
                yield f"| {verdict.partition(': ')[2]} | {count / one.verdicts.total():.1%} |"


def cannot_tell(one: Figures) -> float:
    """The share of row-days that are neither YES nor NO."""
    return sum(n for word, n in one.verdicts.items() if word.startswith("undet")) / max(
        1, one.verdicts.total()
    )


def days(waited: Sequence[Waited], sort: str, often: str | None = None, kind: str | None = None) -> str:
    """Median, 95th and worst of the days to YES, with those that did not come."""
    fixes = [
        one for one in waited if one.sort == sort and often in (None, one.often) and kind in (None, one.kind)
    ]
    if not fixes:
        return "–"
    never = float("inf")
    found = sorted(never if one.days is None else one.days for one in fixes)
    parts = (median(found), found[min(len(found) - 1, int(len(found) * 0.95))], found[-1])
    missing = found.count(never)
    text = ", ".join("–" if part == never else f"{part:.0f}" for part in parts)
    return f"{text} (of {len(fixes)}, {missing} not)" if missing else f"{text} (of {len(fixes)})"


if __name__ == "__main__":
    main()

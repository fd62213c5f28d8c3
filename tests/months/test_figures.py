"""The small laboratory: partners of a fixed seed, the rule in use beside those that it took the place of."""

from __future__ import annotations

import pytest

from months.contenders import CONTENDERS
from months.figures import Figures, measure
from months.scenes import make_world

PARTNERS = 40


@pytest.fixture(scope="module")
def found() -> dict[str, Figures]:
    """What each rule did over the same partners."""
    figures = {rule: Figures() for rule in CONTENDERS}
    for number in range(PARTNERS):
        world = make_world(f"small-{number}")
        for rule, contender in CONTENDERS.items():
            figures[rule].add(measure(world, f"small-{number}", contender))
    return figures


def test_the_rule_in_use_calls_nothing_fixed_that_fails(found: dict[str, Figures]) -> None:
    """No row that failed in the 35 days and fails next is YES in any daily report."""
    assert [] == [wrong for wrong in found["present"].wrong if wrong.kind == "false"]
    assert 0 == found["present"].false_yes
    assert found["present"].yes_after_bad > 100


def test_simpler_rules_do(found: dict[str, Figures]) -> None:
    """The laboratory tells the rules apart: each step towards the one in use makes fewer false YES."""
    shares = [
        found[rule].false_yes / found[rule].yes_after_bad
        for rule in ("first", "two good tokens", "per credential")
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] > 0


def test_the_same_seed_is_the_same_world() -> None:
    """A world that was found can be played again."""
    assert make_world("again").recorded == make_world("again").recorded
    assert make_world("again").recorded != make_world("another").recorded

"""The rule in use falls into none of the usual traps, and each line of it is needed for one of them."""

from __future__ import annotations

import pytest

from months.contenders import PRESENT
from months.figures import measure
from months.traps import TRAPS, make_trap
from months.weakenings import WEAKENINGS


@pytest.mark.parametrize("trap", TRAPS)
def test_nothing_that_looks_like_a_fix_is_taken_for_one(trap: str) -> None:
    """In each trap a job goes on failing, and its row is never YES while its bad calls are young."""
    found = measure(make_trap(trap), trap, PRESENT)
    assert [] == [wrong for wrong in found.wrong if wrong.kind == "false"]


@pytest.mark.parametrize(
    ("trap", "weakening"), [(trap, weakening) for trap, (_, found) in TRAPS.items() for weakening in found]
)
def test_a_weaker_rule_falls_into_the_trap(trap: str, weakening: str) -> None:
    """With one line of the rule made weaker the laboratory finds a failing job that is called fixed."""
    with WEAKENINGS[weakening].applied():
        found = measure(make_trap(trap), trap, WEAKENINGS[weakening].contender(weakening))
    assert "false" in {wrong.kind for wrong in found.wrong}


def test_each_weakening_has_its_trap() -> None:
    """No line of the rule can be made weaker without a trap that shows it."""
    assert set(WEAKENINGS) == {weakening for _, found in TRAPS.values() for weakening in found}

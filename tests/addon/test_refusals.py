"""Which programs pass unread after they refused the proxy's certificate, and for how long."""

from __future__ import annotations

from mfa_audit.addon.refusals import WINDOW, Refusals
from mfa_audit.exchanges.exchange import Program

TOOL = Program("sync.py", "ann", "cron")


def test_a_refusal_counts_for_ten_minutes() -> None:
    """A program that refused is remembered for ten minutes from the last time."""
    refusals = Refusals()
    refusals.note(TOOL, 1_000.0)
    refusals.note(TOOL, 1_100.0)

    assert 600.0 == WINDOW
    assert refusals.is_recent(TOOL, 1_100.0 + WINDOW)
    assert not refusals.is_recent(TOOL, 1_101.0 + WINDOW)


def test_a_refusal_is_of_one_program() -> None:
    """Another program, another account, another starter, and one that is not known, are not meant."""
    refusals = Refusals()
    refusals.note(None, 1.0)
    assert not refusals
    refusals.note(TOOL, 1.0)

    assert refusals
    for other in (None, Program("other.py", "ann", "cron"), TOOL._replace(account="bob"), Program("sync.py")):
        assert not refusals.is_recent(other, 1.0)


def test_memory_is_bounded() -> None:
    """Of very many programs the first are forgotten."""
    refusals = Refusals()
    for number in range(1_001):
        refusals.note(Program(f"{number}.py"), 1.0)

    assert not refusals.is_recent(Program("0.py"), 1.0)
    assert refusals.is_recent(Program("1000.py"), 1.0)

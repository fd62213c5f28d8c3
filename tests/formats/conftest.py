"""What the tests of the formats share."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's zone is CET/CEST, spelled so that no zone files are needed."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process can only be set on POSIX")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()

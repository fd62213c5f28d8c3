"""Several databases as one: the same rows in any number of files, in any order, count once."""

from __future__ import annotations

import time
from itertools import permutations
from pathlib import Path

from mfa_audit.judging.observations import Observation
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period, Report
from mfa_audit.store.imports import Importer
from observed import fill, observe

ID = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e{:04x}"
AT = time.time() - 7_200
TOKEN = {"uti": "one", "iat": int(AT), "nbf": int(AT), "exp": int(AT) + 3_900}


def calls(count: int, **parts: object) -> list[Observation]:
    """So many calls with one token, each with a request id of its own."""
    return [
        observe(AT + number, claims=TOKEN, request_id=ID.format(number), **parts)  # type: ignore[arg-type]
        for number in range(count)
    ]


def bring_in(path: Path, seen: list[Observation], source: str = "portal.har") -> None:
    """Import these calls as those of a capture."""
    with Importer(path) as importer:
        importer.add_calls(source, seen, lambda: ("00" * 32, 0))


def requests(*paths: Path) -> set[int]:
    """How many calls the report over these files counts, in every order of them."""
    return {report(*order).totals.requests for order in permutations(paths)}


def report(*paths: Path) -> Report:
    return report_on(paths, Period(None, None))


def test_the_same_capture_in_two_files_counts_once(tmp_path: Path) -> None:
    """An imported call is known by its import key, in whatever file and under whatever name it lies."""
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    bring_in(one, calls(5))
    bring_in(two, calls(7), "copy.har")
    assert {7} == requests(one, two)
    assert {5} == requests(one)


def test_a_call_recorded_live_elsewhere_counts_once(tmp_path: Path) -> None:
    """A capture's calls that another file recorded live are those, by request id and token."""
    live, capture = tmp_path / "live.db", tmp_path / "capture.db"
    seen = calls(4)
    fill(live, seen)
    bring_in(capture, [*seen, *calls(6)[4:]])
    assert {6} == requests(live, capture)


def test_attempts_under_one_request_id_stay_several(tmp_path: Path) -> None:
    """Clients reuse a request id when they try again: each attempt that was recorded live stands for one."""
    live, capture = tmp_path / "live.db", tmp_path / "capture.db"
    attempts = [observe(AT + number / 10, claims=TOKEN, request_id=ID.format(1)) for number in range(3)]
    fill(live, attempts)
    bring_in(capture, attempts)
    assert {3} == requests(live, capture)


def test_calls_without_a_request_id_count_twice_and_the_report_says_so(tmp_path: Path) -> None:
    """Without a request id nothing shows that a live call and an imported one are the same."""
    live, capture = tmp_path / "live.db", tmp_path / "capture.db"
    seen = [observe(AT, claims=TOKEN)]
    fill(live, seen)
    bring_in(capture, seen)
    assert {2} == requests(live, capture)
    assert "counted-twice" in report(live, capture).notes


def test_tokens_are_different_tokens(tmp_path: Path) -> None:
    """A token that several files have seen is one token."""
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    for path in paths:
        fill(path, calls(2))
    assert {1} == {report(*order).totals.tokens for order in permutations(paths)}

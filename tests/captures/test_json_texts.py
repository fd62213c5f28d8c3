"""A JSON text read value by value: any place in it can be passed, or ends the reading."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.captures.json_texts import STRING, BrokenError, CutOffError, JsonText


def text_of(text: str | bytes) -> JsonText:
    return JsonText(io.BytesIO(text.encode() if isinstance(text, str) else text).read)


@pytest.mark.parametrize("text", ["", " ", "]", "}", ":", ",", ' ] {"a": 1}'])
def test_no_value_begins_here(text: str) -> None:
    """Where no value begins, reading one ends instead of staying in its place for ever."""
    with pytest.raises(CutOffError):
        text_of(text).value()


@pytest.mark.parametrize("broken", ["tru", "{1: 2}", "[1 2]", '{"a" 1}', "[" * 3000 + "]" * 3000, "nul,"])
def test_a_broken_value_is_passed(broken: str) -> None:
    """What is no JSON costs itself, and the next value is read."""
    text = text_of(f'[{broken}, "next"]')
    found: list[Any] = []
    for _ in text.items():
        try:
            found.append(text.value())
        except BrokenError:
            continue
    assert "next" == found[-1]


def test_long_strings_are_cut() -> None:
    """A value that does not fit into the window keeps the beginning of each of its strings."""
    text = text_of(json.dumps({"a": "x" * 12_000_000, "b": "y"}))
    assert {"a": "x" * STRING, "b": "y"} == text.value()


@given(st.text(alphabet='[]{}",:\\ \n1tnul', max_size=60))
def test_any_text_comes_to_an_end(content: str) -> None:
    """However values are asked for, the text ends."""
    text = text_of(content)
    for _ in range(100):
        if not text.peek():
            return
        try:
            text.value()
        except BrokenError:
            continue
        except CutOffError:
            return
        text.take(",")
    raise AssertionError(content)

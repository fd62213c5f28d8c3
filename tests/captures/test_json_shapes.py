"""What a JSON text is, by its beginning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from producers import entry, har
from test_microsoft_lists import ADOPTION, PRINCIPAL, REQUEST

from mfa_audit.captures.json_shapes import Beginning, Shape

LOG = json.loads(har(entry()))["log"]
CREATOR = {"name": "x", "version": "1"}


@pytest.mark.parametrize(
    "value",
    [
        {"log": LOG}, LOG, [entry()], {"version": "1.2", "creator": CREATOR, "entries": []},
        {"creator": CREATOR, "entries": [None]}, {"entries": [entry()]},
    ],
)  # fmt: skip
def test_a_har_with_and_without_its_wrapper(value: Any) -> None:
    """The archive, the value of its `log` alone, and the array of entries alone."""
    assert Shape.HAR is Beginning(json.dumps(value).encode()).shape


@pytest.mark.parametrize(
    "value",
    [
        [REQUEST], REQUEST, ADOPTION, PRINCIPAL, {"items": [REQUEST]}, {"value": [REQUEST], "Count": 1},
        {"items": {"value": [REQUEST], "Count": 1}}, [[REQUEST]], [{"items": [REQUEST]}], [],
        {"totalCount": 0, "items": []}, {"totalCount": 0, "items": {"value": [], "Count": 0}},
        {"requestId": "x", "mfaCompliant": None},
        {"requestId": "x", "operationName": "y", "tenantId": "z", "upn": "w"},
        {"applicationId": "x", "totalRequestCount": 1, "mfaCompliantRequestCount": 1},
    ],
)  # fmt: skip
def test_rows_of_microsofts_lists(value: Any) -> None:
    """What only the lists have, or four of their columns, in any wrapping."""
    assert Shape.ROWS is Beginning(json.dumps(value).encode()).shape


@pytest.mark.parametrize(
    "value",
    [
        {}, {"value": []}, {"items": []}, {"@odata.context": "x", "value": []}, {"entries": []}, {"log": []},
        {"requestId": "x", "operationName": "y", "tenantId": "z"}, [{"requestId": "x"}], [[]], [1], [None],
        {"applicationId": "x", "totalRequestCount": 1}, {"entries": [{"request": {"url": None}}]},
        {"item": [{"request": {"url": "https://x"}}]}, {"value": [entry()]}, 3, None, "log",
    ],
)  # fmt: skip
def test_anything_else_is_neither(value: Any) -> None:
    """A `requestId`, an empty page or a request of another program's file shows nothing."""
    assert Shape.OTHER is Beginning(json.dumps(value).encode()).shape


def test_keys_are_told_apart() -> None:
    """The keys of the outermost object, and those of the first row in it."""
    beginning = Beginning(b'{"A": 1, "value": [{"B": 2, "c": {"d": 3}}]}')
    assert (["a", "value"], ["b", "c"]) == (beginning.outer, beginning.inner)


@pytest.mark.parametrize("opening", ["[", '{"value":', '{"items":[', '[{"value":', '{"log":', '{"entries":['])
def test_any_depth_is_other(opening: str) -> None:
    """Brackets without end are no list, however they are opened."""
    Beginning((opening * 20_000).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["log", "entries", "value", "items", "request", "url", "requestId", "mfaCompliant", "creator"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(JSON, st.integers(0, 200))
def test_any_json_cut_anywhere(value: Any, length: int) -> None:
    """Any value, cut anywhere, is told to be something."""
    Beginning(json.dumps(value).encode()[:length])

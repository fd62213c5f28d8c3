"""Paths become templates that name nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.judging.operations import METHODS, WORDS, operation


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/customers/5b4d1f6e-8ddb-461a-bbee-02f9e1bf7b46/users", "GET /v1/customers/*/users"),
        ("get", "/V1/Customers/contoso.example/", "GET /v1/customers/*"),
        ("GET", "/v1/customers?filter=john@contoso.example", "GET /v1/customers"),
        ("GET", "/v1/customers#john", "GET /v1/customers"),
        ("GET", "/v1//customers", "GET /v1/customers"),
        ("GET", "/v1/%63ustomers/..%2Fusers", "GET /v1/*/*"),
        ("GET", "/v1/customers\\john/users;john", "GET /v1/*/*"),
        ("GET", "", "GET /"),
        ("GET", "/", "GET /"),
        ("PATCH", "/v1/invoices/receipts", "PATCH /v1/invoices/receipts"),
        ("JOHN", "/v1", "OTHER /v1"),
        ("GET", "/v1" * 12, "GET /" + "/".join(["v1"] * 12)),
        ("GET", "/v1" * 13, "GET /" + "/".join(["v1"] * 12) + "/**"),
        ("GET", "https://john.example/v1", "GET /*/*/v1"),
        ("GET", "/\ud800\x00", "GET /*"),
    ],
)
def test_operations(method: str, path: str, expected: str) -> None:
    """Known words stay, all else is a placeholder, queries go, depth and methods are bounded."""
    assert expected == operation(method, path)


@given(st.text(max_size=8), st.text(max_size=300))
def test_an_operation_holds_known_words_only(method: str, path: str) -> None:
    """Whatever the path, nothing but the API's own words comes through."""
    verb, _, template = operation(method, path).partition(" ")
    assert verb in METHODS | {"OTHER"}
    assert set(template.split("/")) <= WORDS | {"", "*", "**"}

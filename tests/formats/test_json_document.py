"""The JSON format, its schema and the interface it promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import reports_samples as samples
from mfa_audit.formats import render

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text("utf-8"))


def _closed(schema: Any) -> Any:
    """The schema with every object closed, so that a key it does not describe is an error here."""
    if isinstance(schema, dict):
        extra = {"additionalProperties": False} if "properties" in schema else {}
        return {key: _closed(part) for key, part in schema.items()} | extra
    return [_closed(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", samples.ALL)
def test_every_report_is_valid(name: str) -> None:
    """Each report validates, formats included, and has no key that the schema does not describe."""
    validator = jsonschema.Draft202012Validator(
        _closed(SCHEMA), format_checker=jsonschema.FormatChecker(["date"])
    )
    data = json.loads(render("json", samples.ALL[name]()))
    assert [error.message for error in validator.iter_errors(data)] == []


def test_schema_is_one() -> None:
    """The schema is itself a valid schema of 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_keys_stand_in_the_promised_order() -> None:
    """The keys that other programs rely on come first and in this order."""
    data = json.loads(render("json", samples.rich()))
    top = [
        *("schema_version", "generated_at", "answer", "answer_because", "period", "totals", "tools"),
        *("not_audited", "recorder"),
    ]
    tool = [
        *("name", "app_id", "client", "application", "sdk_versions", "user_agents", "programs", "verdict"),
        *(
            "reasons",
            "requests",
            "tokens",
            "blocked",
            "server",
            "users",
            "tenants",
            "first_seen",
            "last_seen",
        ),
        "advice",
    ]
    assert top == list(data)[: len(top)]
    assert tool == list(data["tools"][0])[: len(tool)]


def test_values_are_those_of_the_report() -> None:
    """A tool's facts come out as promised: program in a list, times in UTC, users by name."""
    tools = json.loads(render("json", samples.rich()))["tools"]
    first = tools[0]
    assert first["programs"] == ["nightly-sync.ps1"]
    assert first["verdict"] == "non-compliant"
    assert first["server"] == {"compliant": 0, "non_compliant": 37}
    assert first["users"] == ["svc-pc@contoso.example"]
    assert first["last_seen"] == "2026-11-07T02:00:00Z"
    assert first["advice"] == (
        "A saved password. Use the Secure Application Model. " + samples.SECURE_APP_MODEL
    )
    assert first["previously"] is None
    mended = {"verdict": "non-compliant", "until": "2026-11-04T11:30:00Z", "requests": 212}
    assert mended == tools[4]["previously"]


@pytest.mark.parametrize("text", samples.HOSTILE.values(), ids=samples.HOSTILE)
def test_hostile_text_is_data(text: str) -> None:
    """Harmless in JSON: printable ASCII on the wire, and it parses back to the same text."""
    wire = render("json", samples.report(samples.tool(text)))
    assert wire.isascii()
    assert wire.replace("\n", "").isprintable()
    assert json.loads(wire)["tools"][0]["name"] == text.replace("\ud800", "\ufffd")

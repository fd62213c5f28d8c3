"""Microsoft's own lists."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from producers import AT, NOW

from mfa_audit.captures import recognition
from mfa_audit.captures.microsoft_lists import Adoption, PartnerRequest, Principal, Row
from mfa_audit.captures.remarks import Remarks

APP = "14f38d7d-c4fc-448a-b2df-0fc60e75465a"
REQUEST = {
    "requestId": "8F489776-a3f3-47cb-91c3-538e1f70f560", "correlationId": "e72e1dc3-4abd-4ce0-908b-d23fdaedcb28",
    "operationName": "GET /v1/customers", "requestDateTime": "2026-05-28T20:26:40.125", "sourceIpAddress": "192.0.2.1",
    "objectId": "ADC77AA5-7968-4c57-9f48-361018265c1a", "tenantId": "6e6aef4a-4ca9-40a8-b5bf-b53a1923c540",
    "upn": "dana@contoso.example", "applicationId": APP.upper(), "mfaCompliant": False,
}  # fmt: skip
ADOPTION = {
    "loginDate": "2026-05-28",
    "mfaCompliantRequestCount": 5,
    "totalRequestCount": 7,
    "applicationId": APP,
    "applicationName": "Billing",
}
PRINCIPAL = {
    "objectId": "adc77aa5-7968-4c57-9f48-361018265c1a",
    "tenantId": "t",
    "upn": "dana@contoso.example",
    "lastNonMfaCompliantRequestDateTime": "2026-05-28T20:26:40.125",
}
ROWS: list[Row] = [
    PartnerRequest(
        AT, "8f489776-a3f3-47cb-91c3-538e1f70f560", "e72e1dc3-4abd-4ce0-908b-d23fdaedcb28", "GET /v1/customers",
        "adc77aa5-7968-4c57-9f48-361018265c1a", "6e6aef4a-4ca9-40a8-b5bf-b53a1923c540", "dana@contoso.example",
        APP, False,
    ),
    Adoption("2026-05-28", APP, "Billing", 5, 7),
    Principal(AT, "adc77aa5-7968-4c57-9f48-361018265c1a", "t", "dana@contoso.example"),
]  # fmt: skip


def read_text(tmp_path: Path, text: str | bytes) -> tuple[list[Row], Remarks]:
    path = tmp_path / "list.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with recognition.read(path, now=NOW) as capture:
        assert recognition.Format.MICROSOFT == capture.format
        return list(capture.rows), capture.remarks


def page(*rows: Any) -> dict[str, Any]:
    return {
        "totalCount": len(rows),
        "items": rows,
        "links": {"self": {"uri": "x"}},
        "attributes": {"objectType": "Collection"},
    }


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([REQUEST, ADOPTION, PRINCIPAL]),
        json.dumps(page(REQUEST, ADOPTION, PRINCIPAL)),
        json.dumps([page(REQUEST), page(ADOPTION, PRINCIPAL)]),
        json.dumps(page(REQUEST)) + "\r\n" + json.dumps(page(ADOPTION)) + json.dumps([PRINCIPAL]),
        "\n".join(map(json.dumps, (REQUEST, ADOPTION, PRINCIPAL))),
        json.dumps({"value": [REQUEST, ADOPTION, PRINCIPAL], "Count": 3}),
        json.dumps(
            [
                {name[0].upper() + name[1:]: value for name, value in row.items()}
                for row in (REQUEST, ADOPTION, PRINCIPAL)
            ]
        ),
        json.dumps([[REQUEST], [ADOPTION, PRINCIPAL]]),
        json.dumps({"totalCount": 3, "items": {"value": [REQUEST, ADOPTION, PRINCIPAL], "Count": 3}}),
        json.dumps([{"items": {"value": [REQUEST], "Count": 1}}, page(ADOPTION, PRINCIPAL)]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_reads_rows_however_they_were_saved(tmp_path: Path, text: str, encoding: str) -> None:
    """Arrays, a page, several pages, one row a line, as PowerShell wraps and encodes them, in either case."""
    rows, remarks = read_text(tmp_path, text.encode(encoding))
    assert ROWS == rows
    assert not remarks.skipped


def test_reads_a_single_row(tmp_path: Path) -> None:
    """PowerShell's ConvertTo-Json writes a list of one as the one."""
    assert ROWS[:1] == read_text(tmp_path, json.dumps(REQUEST))[0]


@pytest.mark.parametrize(
    "written",
    [
        "/Date(1780000000125)/",
        "2026-05-28T22:26:40.125+02:00",
        {"value": "/Date(1780000000125)/", "DateTime": "x"},
    ],
)
def test_reads_powershells_dates(tmp_path: Path, written: Any) -> None:
    """Windows PowerShell's way to write dates, and one with an offset, are the same moment."""
    ((row,), _) = read_text(tmp_path, json.dumps([{**REQUEST, "requestDateTime": written}]))
    assert AT == row.at  # type: ignore[union-attr]


@pytest.mark.parametrize("written", ["1/21/2026 10:18:35 PM", "", None, "yesterday", 17])
def test_a_row_without_date_is_noted(tmp_path: Path, written: Any) -> None:
    """A failure is dated by when the file was saved, so that it is not current for ever; a good row shows nothing."""
    rows = [
        {**REQUEST, "requestDateTime": written},
        {**REQUEST, "requestDateTime": written, "mfaCompliant": True},
        {**REQUEST, "requestDateTime": written, "mfaCompliant": None},
        {**ADOPTION, "loginDate": written},
        {**ADOPTION, "loginDate": written, "mfaCompliantRequestCount": 7},
        {**PRINCIPAL, "lastNonMfaCompliantRequestDateTime": written},
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    os.utime(path, (AT, AT))
    with recognition.read(path, now=NOW) as capture:
        found = [row.day if isinstance(row, Adoption) else row.at for row in capture.rows]
    assert [AT, None, None, "2026-05-28", None, AT] == found[:5] + found[5:]
    assert {
        "no date that can be read: dated by when the file was saved": 3,
        "no date that can be read": 3,
    } == capture.remarks.notes


@pytest.mark.parametrize("value", [None, "", "maybe", 1])
def test_what_microsoft_does_not_say_is_not_known(tmp_path: Path, value: Any) -> None:
    """Only `false` is without MFA; null, or a row without the column, is not known."""
    without = {key: one for key, one in REQUEST.items() if key != "mfaCompliant"}
    rows, _ = read_text(tmp_path, json.dumps([{**REQUEST, "mfaCompliant": value}, without]))
    assert [None, None] == [row.mfa_compliant for row in rows]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "deep",
    [
        "[" * 3000,
        "[" * 3000 + "]" * 3000,
        '{"value":[' * 3000,
        '{"items":' * 3000 + "1" + "}" * 3000,
        '{"a":' * 3000,
    ],
)
@pytest.mark.parametrize("between", ["", ",", "\n"])
def test_depth_without_end_costs_itself_only(tmp_path: Path, deep: str, between: str) -> None:
    """Three thousand brackets behind a row, in its array or after it, leave the row."""
    for text in (f"{json.dumps([REQUEST])}{between}{deep}", f"[{json.dumps(REQUEST)},{deep}]"):
        rows, remarks = read_text(tmp_path, text)
        assert ROWS[:1] == rows
        assert remarks.skipped or remarks.notes


def test_an_empty_list_is_a_list(tmp_path: Path) -> None:
    """That nobody called without MFA is an answer."""
    assert [] == read_text(tmp_path, "[]")[0]
    assert [] == read_text(tmp_path, json.dumps(page()))[0]


@pytest.mark.parametrize(
    "odd", [None, 3, "x", [], {}, {"requestId": "x"}, {"totalRequestCount": 3, "applicationId": None}]
)
def test_odd_rows_are_counted_and_the_others_kept(tmp_path: Path, odd: Any) -> None:
    """A row that is none is skipped and named."""
    rows, remarks = read_text(tmp_path, json.dumps([REQUEST, odd, ADOPTION]))
    assert ROWS[:2] == rows
    assert remarks.skipped.total() == (0 if odd == [] else 1)


@pytest.mark.parametrize("count", [-1, 2**70, "many", None, 1.5e400])
def test_counts_that_cannot_be_are_nothing(tmp_path: Path, count: Any) -> None:
    """A count that no database could hold is 0, and compliant calls are never more than all."""
    ((row,), _) = read_text(tmp_path, json.dumps([{**ADOPTION, "totalRequestCount": count}]))
    assert isinstance(row, Adoption)
    assert (0, 0) == (row.requests, row.mfa_requests)


@pytest.mark.parametrize(
    "text", ['{"a": 1}', "[1, 2]", '[{"a": 1}]', '{"items": [{"a": 1}]}', "{", "hello", '"x"', '{"log": 3}']
)
def test_other_json_is_no_capture(tmp_path: Path, text: str) -> None:
    """JSON that is neither a HAR nor one of the lists says so."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(recognition.NotACaptureError, match="none of the captures"):
        recognition.read(path)

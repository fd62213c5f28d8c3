"""Entra's sign-in logs in each shape that Microsoft documents, and what is kept of them.

Shapes and columns: https://learn.microsoft.com/graph/api/resources/signin,
https://learn.microsoft.com/azure/azure-monitor/reference/tables/signinlogs,
https://learn.microsoft.com/azure/azure-monitor/reference/tables/aadnoninteractiveusersigninlogs,
https://learn.microsoft.com/entra/identity/monitoring-health/howto-download-logs.
"""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from captures_of_microsoft import APP, GRAPH, PARTNER_CENTER
from mfa_audit.captures import recognition
from mfa_audit.captures.recognition import Format
from mfa_audit.captures.sign_in_columns import SignIn
from processes import Audit

NOW = 1_795_600_000.0  # 25 November 2026
LOG_ANALYTICS = {
    "TimeGenerated": "2026-11-24T03:00:00Z",
    "Id": GRAPH["id"],
    "Category": "NonInteractiveUserSignInLogs",
    "ResourceId": "/tenants/5a5b1d3c-0000-4000-8000-000000000001/providers/Microsoft.aadiam",
    "AppId": APP,
    "AppDisplayName": "Nightly sync",
    "UserId": GRAPH["userId"],
    "UserPrincipalName": GRAPH["userPrincipalName"],
    "HomeTenantId": GRAPH["homeTenantId"],
    "ResourceIdentity": PARTNER_CENTER,
    "ResourceDisplayName": "Microsoft Partner Center",
    "ResultType": "0",
    "AuthenticationProtocol": "ropc",
    "AuthenticationRequirement": "singleFactorAuthentication",
    "AuthenticationRequirementPolicies": "[]",
    "ConditionalAccessStatus": "success",
    "ConditionalAccessPolicies": json.dumps(GRAPH["appliedConditionalAccessPolicies"]),
    "NetworkLocationDetails": json.dumps(GRAPH["networkLocationDetails"]),
    "Status": '{"errorCode":0}',
}
PORTAL = {
    "Date (UTC)": "2026-11-24T03:00:00Z",
    "Request ID": GRAPH["id"],
    "User ID": GRAPH["userId"],
    "Username": GRAPH["userPrincipalName"],
    "Authentication Protocol": "ropc",
    "Application": "Nightly sync",
    "Application ID ": APP,
    "Resource": "Microsoft Partner Center",
    "Resource ID ": PARTNER_CENTER,
    "Home tenant ID": GRAPH["homeTenantId"],
    "Status": "Success",
    "Sign-in error code": "",
    "Authentication requirement": "singleFactorAuthentication",
    "Conditional Access": "success",
    "Multifactor authentication auth method": "",
}
EXPECTED = SignIn(
    at=1_795_489_200.0,
    request_id=GRAPH["id"],
    unique_token_id="61TqZgFj5U6-Yv9adZsBAA",
    app_id=APP,
    app_name="Nightly sync",
    resource_id=PARTNER_CENTER,
    resource_name="Microsoft Partner Center",
    tenant_id=GRAPH["homeTenantId"],
    object_id=GRAPH["userId"],
    upn="svc-pc@contoso.example",
    kind="non-interactive",
    protocol="ropc",
    requirement="singleFactorAuthentication",
    required_by=(),
    conditional_access="success",
    policies=(("Block legacy clients", "success"),),
    mfa=None,
    error=0,
    trusted_network=True,
)


def as_csv(*rows: dict[str, str], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(path: Path, content: str | bytes) -> tuple[Format, list[SignIn], recognition.Capture]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with recognition.read(path, now=NOW) as capture:
        return capture.format, list(capture.sign_ins), capture


DIAGNOSTICS = {
    "time": "2026-11-24T03:00:05Z",
    "category": "NonInteractiveUserSignInLogs",
    "properties": GRAPH,
}
SHAPES = {
    "Graph page": json.dumps({"@odata.context": "https://graph.example/$metadata", "value": [GRAPH]}),
    "Graph array": json.dumps([GRAPH]),
    "one object": json.dumps(GRAPH),
    "two pages, one after another": json.dumps({"value": [GRAPH]}) + "\n" + json.dumps({"value": []}),
    "pages in an array": json.dumps([{"value": [GRAPH]}]),
    "Log Analytics array": json.dumps([LOG_ANALYTICS]),
    "Log Analytics CSV": as_csv(LOG_ANALYTICS),
    "diagnostic settings, lines": json.dumps(DIAGNOSTICS) + "\n",
    "diagnostic settings, records": json.dumps({"records": [DIAGNOSTICS]}),
    "UTF-16 of PowerShell 5.1": json.dumps([GRAPH]).encode("utf-16"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_gives_the_same_sign_in(shape: str, tmp_path: Path) -> None:
    """Whatever the shape, the same sign-in comes out."""
    kind, rows, capture = read(tmp_path / "log", SHAPES[shape])
    assert (Format.SIGN_INS, [EXPECTED], {}) == (kind, rows, dict(capture.remarks.skipped))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_portals_csv(delimiter: str, tmp_path: Path) -> None:
    """The portal's download names no policies and no network; everything else comes out the same."""
    kind, rows, _ = read(tmp_path / "log.csv", b"\xef\xbb\xbf" + as_csv(PORTAL, delimiter=delimiter).encode())
    assert (Format.SIGN_INS, [EXPECTED._replace(kind=None, policies=(), trusted_network=None)]) == (
        kind,
        rows,
    )


def test_lines_after_lines(tmp_path: Path) -> None:
    """JSON lines are read one by one, and a broken one costs one."""
    lines = [json.dumps(DIAGNOSTICS), '{"time": nonsense}', json.dumps(DIAGNOSTICS)]
    _, rows, capture = read(tmp_path / "log", "\n".join(lines))
    assert (2, 1) == (len(rows), sum(capture.remarks.skipped.values()))


def test_half_a_file_gives_what_is_whole(tmp_path: Path) -> None:
    """A file that was cut off gives its whole rows, and says so."""
    text = json.dumps({"value": [GRAPH, GRAPH, GRAPH]})
    _, rows, capture = read(tmp_path / "log", text[:-300])
    assert ([EXPECTED] * 2, 1) == (rows, sum(capture.remarks.notes.values()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"createdDateTime": "soon"}, "no usable date"),
        ({"appId": None}, "no application id"),
        ({"appId": 7}, "no application id"),
    ],
)
def test_rows_that_cannot_be_used_are_counted(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """A row without date or application is left out with its reason; its neighbours are read."""
    _, rows, capture = read(tmp_path / "log", json.dumps([GRAPH, {**GRAPH, **change}]))
    assert ([EXPECTED], {reason: 1}) == (rows, dict(capture.remarks.skipped))


def test_unexpected_values_are_not_known(tmp_path: Path) -> None:
    """Nested columns of another type are read as nothing said."""
    odd = {
        "status": 7,
        "appliedConditionalAccessPolicies": {"a": 1},
        "networkLocationDetails": "[[[",
        "signInEventTypes": 3,
    }
    _, rows, _ = read(tmp_path / "log", json.dumps([{**GRAPH, **odd}]))
    assert [EXPECTED._replace(error=None, policies=(), trusted_network=None, kind=None)] == rows


def test_hostile_bytes_end_nothing(tmp_path: Path) -> None:
    """500 damaged logs (seeded) raise nothing but the sentence that a file is no capture."""
    choice = random.Random(17)
    for text in list(SHAPES.values())[:9]:
        raw = text if isinstance(text, bytes) else text.encode()
        for _ in range(55):
            damaged = bytearray(raw)
            for _ in range(choice.randint(1, 8)):
                damaged[choice.randrange(len(damaged))] = choice.randrange(256)
            try:
                read(tmp_path / "log", bytes(damaged))
            except recognition.NotACaptureError:
                continue


def test_only_what_concerns_partner_center_is_kept(audit: Audit, tmp_path: Path, database: Path) -> None:
    """Of a tenant's log, sign-ins to other services by unknown applications are not stored; twice adds nothing."""
    other = {**GRAPH, "id": "00000000-0000-4000-8000-000000000002", "appId": "99999999-0000-4000-8000-000000000000",
             "resourceId": "00000003-0000-0000-c000-000000000000"}  # fmt: skip
    log = tmp_path / "signins.json"
    log.write_text(json.dumps({"value": [GRAPH, other]}), "utf-8")
    first, second = (audit.run("import", "--db", str(database), str(log)) for _ in range(2))
    with closing(sqlite3.connect(database)) as connection:
        stored = connection.execute("SELECT application_id, protocol, policies FROM sign_ins").fetchall()
    assert [(APP, "ropc", '[["Block legacy clients", "success"]]')] == stored
    assert (0, 0) == (first.returncode, second.returncode)
    assert "2 sign-ins, 1 of Partner Center or of applications seen calling it, 1 new." in first.stderr
    assert "1 of Partner Center or of applications seen calling it, 0 new." in second.stderr


@pytest.mark.parametrize("users", ["pseudonym", "none"])
def test_people_are_stored_as_asked(users: str, audit: Audit, tmp_path: Path, database: Path) -> None:
    """Neither name nor id of the user, of the sign-in or of the token is stored in clear where users are not."""
    log = tmp_path / "signins.json"
    log.write_text(json.dumps([GRAPH]), "utf-8")
    assert 0 == audit.run("import", "--users", users, "--db", str(database), str(log)).returncode
    raw = database.read_bytes()
    for secret in (
        GRAPH["userPrincipalName"],
        GRAPH["userId"],
        GRAPH["id"],
        EXPECTED.unique_token_id,
        "203.0.113.7",
    ):
        assert secret.encode() not in raw


@pytest.mark.parametrize("behind", ["]", "}", "[" * 3000, '{"value":[' * 3000, "]]}}", ":", "x"])
def test_what_stands_behind_the_rows_ends_the_reading(tmp_path: Path, behind: str) -> None:
    """A bracket too many after a row neither fails nor goes on for ever; the row is read."""
    path = tmp_path / "log.json"
    path.write_text(f"{json.dumps(GRAPH)}\n{behind}")
    with recognition.read(path, now=NOW) as capture:
        assert [APP] == [row.app_id for row in capture.sign_ins]

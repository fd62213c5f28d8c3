"""Files that are no captures: each is told in plain words what it is, and what to do."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_audit.captures import recognition
from mfa_audit.captures.foreign import describe
from mfa_audit.commands.demo.sample_tokens import make_user_token

ROW = json.dumps([{"requestId": "x", "mfaCompliant": False}])
GRAPH = "https://graph.microsoft.com/v1.0/$metadata#"


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        ("requestId,operationName,mfaCompliant\r\nx,GET,false\r\n", "CSV", "docs/captures.md"),
        ('"requestId";"operationName";"mfaCompliant"\r\n', "CSV", "docs/captures.md"),
        ("UPN\tdisplay name\tlast seen\r\n", "CSV", "docs/captures.md"),
        ('<?xml version="1.0"?><items/>', "XML", "Accept: application/json"),
        ("<feed/>", "XML", "Accept: application/json"),
        ('<Objs Version="1.1.0.1">', "Export-Clixml", "ConvertTo-Json"),
        ("<!DOCTYPE html><html>", "web page", "docs/captures.md"),
        (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{ROW}", "curl -i", "without -i"),
        (f"HTTP/2 200 \nserver: x\n\n{ROW}", "curl -i", "without -i"),
        ("@{requestId=1; mfaCompliant=False}", "PowerShell", "ConvertTo-Json"),
        ("\r\nrequestId    : x\r\nmfaCompliant : False\r\n", "PowerShell", "ConvertTo-Json"),
        ("\r\nrequestId mfaCompliant\r\n--------- ------------\r\nx         False\r\n", "PowerShell", "ConvertTo-Json"),
        ('{"code": 900421, "description": "MFA required", "data": [], "source": "x"}', "an error", "fetch it again"),
        ('{"error": {"code": "Unauthorized", "message": "x"}}', "an error", "fetch it again"),
        ('{"error": "invalid_grant", "error_description": "AADSTS50076"}', "an error", "fetch it again"),
        (json.dumps({"@odata.context": f"{GRAPH}users", "value": []}), "Microsoft Graph", "captures.md"),
        (json.dumps({"@odata.context": f"{GRAPH}users", "value": [{"id": "x"}]}), "Microsoft Graph", "captures.md"),
        ('{"value": []}', "empty list", "docs/captures.md"),
        ('{"items": {"value": [], "Count": 0}}', "empty list", "docs/captures.md"),
        ('{"schema_version": 1, "answer": "no", "tools": []}', "report of mfa-audit", "import what"),
        (make_user_token("mfa"), "a token", "mfa-audit check"),
        ('[{"requestId": "x", "operationName": "y", "status": 200}]', "none of the captures", "HAR"),
        ("{'requestId': 1}", "none of the captures", "HAR"),
        ("hello, world", "none of the captures", "HAR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_says_what_a_file_is_and_what_to_do(
    tmp_path: Path, content: str, what: str, remedy: str, encoding: str
) -> None:
    """The sentence names the file, what it is instead of a capture, and the remedy."""
    path = tmp_path / "given.txt"
    path.write_bytes(content.encode(encoding))
    with pytest.raises(recognition.NotACaptureError) as caught:
        recognition.read(path)
    said = str(caught.value)
    assert said.startswith("given.txt is ")
    assert said.endswith(".")
    assert what in said
    assert remedy in said


def test_a_database_is_for_report(tmp_path: Path) -> None:
    """An audit database given to import is told to be one."""
    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (id)")
    with pytest.raises(recognition.NotACaptureError, match="mfa-audit report --db FILE"):
        recognition.read(path)


def test_an_excel_file_is_no_capture(tmp_path: Path) -> None:
    """A list that was saved by Excel is told to be an Office document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    (tmp_path / "a.xlsx").write_bytes(buffer.getvalue())
    with pytest.raises(recognition.NotACaptureError, match="Office document"):
        recognition.read(tmp_path / "a.xlsx")


@given(st.binary(max_size=300))
def test_any_bytes_are_something(start: bytes) -> None:
    """No beginning of a file is without a description, and none takes long."""
    assert describe(start)

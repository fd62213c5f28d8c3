"""`mfa-audit import`, as users run it."""

from __future__ import annotations

import html
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mfa_audit.commands.demo.sample_tokens import make_user_token
from processes import Audit

sys.path.insert(0, str(Path(__file__).parents[1] / "captures"))
from producers import HOST, entry, flow, har, saz, session, write_flows

NOW = time.time()
APP = "14f38d7d-c4fc-448a-b2df-0fc60e75465a"
REQUEST_ID = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e7f80"
Report = Callable[..., tuple[int, dict[str, Any]]]


def bearer(*amr: str, **claims: Any) -> str:
    return "Bearer " + make_user_token(*amr, **claims)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def call(
    authorization: str | None, at: float = NOW - 100, request_id: str = REQUEST_ID, **changes: Any
) -> dict[str, Any]:
    """An entry of a HAR."""
    headers = {"User-Agent": "nightly/1.0", "MS-RequestId": request_id}
    if authorization is not None:
        headers["Authorization"] = authorization
    made = entry(headers=headers, at=iso(at), **changes)
    made["response"]["headers"] = []
    return made


@pytest.fixture
def report(audit: Audit, database: Path) -> Report:
    """The report on the database: exit code and JSON."""

    def run() -> tuple[int, dict[str, Any]]:
        done = audit.run("report", "--db", database, "--since", "all", "--format", "json")
        return done.returncode, json.loads(done.stdout)

    return run


def test_a_capture_is_imported_and_reported(
    audit: Audit, database: Path, tmp_path: Path, report: Report
) -> None:
    """The calls of a capture are judged by the same rules, and the report names the file."""
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd")), call(bearer("pwd"), NOW - 90)))
    done = audit.run("import", "--db", database, tmp_path / "calls.har")
    assert (0, "") == (done.returncode, done.stdout)
    assert "2 calls to Partner Center" in done.stderr
    assert "valid until" in done.stderr
    code, found = report()
    assert (1, "no", 2) == (code, found["answer"], found["totals"]["requests"])
    assert [("import", "calls.har")] == [(one["kind"], one["name"]) for one in found["sources"]]


def test_a_mixed_folder_imports_all_that_is_readable(
    audit: Audit, database: Path, tmp_path: Path, report: Report
) -> None:
    """Good, damaged and foreign files: the rest is listed, nothing fails, and twice gives the same report."""
    folder = tmp_path / "captures" / "deep"
    folder.mkdir(parents=True)
    token = bearer("pwd", "mfa").encode()
    flows = write_flows(
        folder / "a.mitm", [flow(at=NOW - number, headers=[(b"Authorization", token)]) for number in (9, 8)]
    )
    (folder / "b.mitm").write_bytes(flows.read_bytes()[:-10])
    (folder / "c.har").write_bytes(har(call(bearer("pwd", "mfa"), NOW - 7, url=f"https://{HOST}/v1/x"), None))
    (folder / "d.saz").write_bytes(saz(session("1")))
    (folder / "locked.saz").write_bytes(saz(session("1"), password=b"word"))
    (folder / "notes.txt").write_text("dear diary")
    (folder / "empty").write_bytes(b"")
    done = audit.run("import", "--db", database, "--recursive", tmp_path / "captures")
    assert 0 == done.returncode
    for words in (
        "no whole flow",
        "Skipped: 1 entry: no request (entry 2)",
        "notes.txt",
        "empty",
        "locked.saz is locked",
    ):
        assert words in done.stderr
    first = report()
    assert 4 == first[1]["totals"]["requests"]
    again = audit.run("import", "--db", database, "--recursive", tmp_path / "captures")
    assert 0 == again.returncode
    for found in (first[1], second := report()[1]):
        found.pop("generated_at")
        found["period"] = found["recorder"] = None
    assert first[1] == second


def test_a_named_file_that_is_no_capture_fails(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Exit 2 for a file on the command line that cannot be read at all; the others are imported."""
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd"))))
    done = audit.run(
        "import", "--db", database, tmp_path / "letter.txt", tmp_path / "calls.har", tmp_path / "gone"
    )
    assert 2 == done.returncode
    for words in ("letter.txt is none of the captures", "1 call to Partner Center", "gone cannot be read"):
        assert words in done.stderr


def test_missing_files_make_no_database(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Where nothing could be read, no database comes into being."""
    (tmp_path / "letter.txt").write_text("dear")
    done = audit.run("import", "--db", database, tmp_path / "missing.har", tmp_path / "letter.txt")
    assert 2 == done.returncode
    assert not database.exists()


def test_no_content_ends_the_run(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Three thousand brackets in one file are told of that file; the files after it are imported."""
    (tmp_path / "deep.json").write_text(json.dumps([partner_request(True)]) + "[" * 3000)
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd"))))
    done = audit.run("import", "--db", database, tmp_path / "deep.json", tmp_path / "calls.har")
    assert 0 == done.returncode
    assert "deep.json (Microsoft's list): 1 row, 1 new." in done.stderr
    assert "cut off or damaged" in done.stderr
    assert "1 call to Partner Center" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.har", har(None, {}), "no request"),
        ("cut.har", har(call("Bearer x"))[:120], "cut off"),
        ("old.mitm", b"21:7:version;8:1:0#1:9#]}", "flow format 0.9"),
    ],
)
def test_a_file_of_which_nothing_was_usable_fails(
    audit: Audit, database: Path, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """Exit 2 with the reasons, where each entry of a named file was skipped; an empty archive is fine."""
    (tmp_path / name).write_bytes(content)
    done = audit.run("import", "--db", database, tmp_path / name)
    assert 2 == done.returncode
    assert words in done.stderr
    assert f"{name}: nothing in it could be used" in done.stderr
    (tmp_path / "empty.har").write_bytes(har())
    (tmp_path / "elsewhere.har").write_bytes(har(None, call("Bearer x", url="https://example.com/")))
    assert (
        0
        == audit.run(
            "import", "--db", database, tmp_path / "empty.har", tmp_path / "elsewhere.har"
        ).returncode
    )


def test_a_variable_that_was_not_filled_in_is_the_scripts_bug(
    audit: Audit, database: Path, tmp_path: Path, report: Report
) -> None:
    """Such a call is neither a sanitised one nor one with a token, and the report says what to fix."""
    (tmp_path / "calls.har").write_bytes(har(call("Bearer ${TOKEN}", status=401)))
    done = audit.run("import", "--db", database, tmp_path / "calls.har")
    assert "1 call carries the name of a variable instead of a token" in done.stderr
    assert "Export HAR" not in done.stderr
    code, found = report()
    assert (3, 0, 0) == (code, found["totals"]["without_token"], found["totals"]["sanitised"])
    (tool,) = found["tools"]
    assert "not-filled-in" in tool["reasons"]


def test_the_machine_of_a_capture_made_elsewhere(
    audit: Audit, database: Path, tmp_path: Path, report: Report
) -> None:
    """The same tool in captures of two machines is two rows: one machine's good calls fix nothing on the other."""
    (tmp_path / "bad.har").write_bytes(har(call(bearer("pwd"), NOW - 5 * 86400)))
    good = [call(bearer("pwd", "mfa"), NOW - days * 86400, REQUEST_ID[:-1] + str(days)) for days in (3, 1)]
    (tmp_path / "good.har").write_bytes(har(*good))
    for name, machine in (("bad.har", "PC17"), ("good.har", "PC18")):
        done = audit.run(
            "import", "--db", database, "--machine", machine, "--account", "svc", tmp_path / name
        )
        assert 0 == done.returncode
    code, found = report()
    assert (1, "no") == (code, found["answer"])
    assert [("PC17", "svc"), ("PC18", "svc")] == sorted(
        (one["machine"], one["account"]) for one in found["sources"]
    )
    assert 2 == len(found["tools"])


def test_a_machine_without_account(audit: Audit, database: Path, tmp_path: Path, report: Report) -> None:
    """The account of this machine is none of another's; a name that would act on a screen is made harmless."""
    (tmp_path / "bad.har").write_bytes(har(call(bearer("pwd"))))
    assert (
        0 == audit.run("import", "--db", database, "--machine", "PC\x1b[31m", tmp_path / "bad.har").returncode
    )
    assert [("PC\\x1b[31m", "unknown")] == [
        (one["machine"], one["account"]) for one in report()[1]["sources"]
    ]
    for wrong in ("", " ", "x" * 300):
        done = audit.run("import", "--db", database, "--machine", wrong, tmp_path / "bad.har")
        assert (2, True) == (done.returncode, "1 to 255 characters" in done.stderr)


def test_standard_input_and_quiet(audit: Audit, database: Path, report: Report) -> None:
    """`-` reads standard input, and --quiet says nothing."""
    done = audit.run(
        "import", "--db", database, "--quiet", "-", stdin=har(call(bearer("pwd", "mfa"))).decode()
    )
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert (0, "yes") == (report()[0], report()[1]["answer"])


@pytest.mark.parametrize("aes", [True, False])
def test_a_locked_archive_opens_with_its_password(
    audit: Audit, database: Path, tmp_path: Path, aes: bool
) -> None:
    """--password-file takes the first line of a file."""
    (tmp_path / "a.saz").write_bytes(saz(session(), password=b"open sesame", aes=aes))
    (tmp_path / "word").write_bytes(b"open sesame\r\nmore")
    done = audit.run("import", "--db", database, tmp_path / "a.saz")
    assert (2, True) == (done.returncode, "--password" in done.stderr)
    done = audit.run("import", "--db", database, "--password-file", tmp_path / "word", tmp_path / "a.saz")
    assert (0, True) == (done.returncode, "1 call to Partner Center" in done.stderr)


@pytest.mark.parametrize("value", [None, "Bearer REDACTED", "[redacted]"])
def test_a_sanitised_capture_makes_the_answer_unclear(
    audit: Audit, database: Path, tmp_path: Path, report: Report, value: str | None
) -> None:
    """Calls whose tokens were taken out prove nothing, also beside calls that are fine; the remedy is told."""
    (tmp_path / "good.har").write_bytes(har(call(bearer("pwd", "mfa"))))
    (tmp_path / "cleaned.har").write_bytes(har(call(value, NOW - 50), call(value, NOW - 40)))
    assert 0 == audit.run("import", "--db", database, tmp_path / "good.har").returncode
    assert (0, "yes") == (report()[0], report()[1]["answer"])
    done = audit.run("import", "--db", database, tmp_path / "cleaned.har")
    assert "Export HAR (with sensitive data)" in done.stderr
    code, found = report()
    assert (3, "unclear", 2) == (code, found["answer"], found["totals"]["without_token"])
    assert any("cleaned.har" in sentence for sentence in found["answer_because"])


def test_no_token_reaches_the_database(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Neither tokens nor names in paths nor queries are stored."""
    token = bearer("pwd")
    url = f"https://{HOST}/v1/customers/fabrikam.example/users?name=secret-query"
    (tmp_path / "calls.har").write_bytes(har(call(token, url=url)))
    audit.run("import", "--db", database, tmp_path / "calls.har")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("audit.db*"))
    for secret in (token.split()[1], token.rsplit(".", 1)[1], "fabrikam", "secret-query"):
        assert secret.encode() not in stored


def test_hostile_names_are_harmless_on_screen(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Escape sequences in a producer's name do not reach the terminal."""
    creator = {"name": "\x1b[31mred\x07", "version": "1"}
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd")), creator=creator))
    done = audit.run("import", "--db", database, tmp_path / "calls.har")
    assert "\x1b" not in done.stderr
    assert r"\x1b[31mred" in done.stderr


def adoption(with_mfa: int, total: int, days_ago: int = 1, app: str = APP) -> dict[str, Any]:
    day = datetime.fromtimestamp(NOW - days_ago * 86400, UTC).date().isoformat()
    return {
        "loginDate": day, "mfaCompliantRequestCount": with_mfa, "totalRequestCount": total,
        "applicationId": app, "applicationName": "Billing",
    }  # fmt: skip


def partner_request(compliant: bool, request_id: str = REQUEST_ID, at: float = NOW - 100) -> dict[str, Any]:
    return {
        "requestId": request_id, "operationName": "GET /v1/customers/fabrikam.example", "requestDateTime": iso(at)[:-6],
        "sourceIpAddress": "192.0.2.77", "objectId": "adc77aa5-7968-4c57-9f48-361018265c1a", "tenantId": "t",
        "upn": "dana@contoso.example", "applicationId": APP, "mfaCompliant": compliant,
    }  # fmt: skip


def import_rows(audit: Audit, database: Path, rows: object) -> None:
    done = audit.run("import", "--db", database, "-", stdin=json.dumps(rows))
    assert 0 == done.returncode, done.stderr


def test_microsofts_count_makes_the_answer_no(audit: Audit, database: Path, report: Report) -> None:
    """An application that Microsoft counts as calling without MFA is a no, named as such, on the first screen too."""
    import_rows(audit, database, [adoption(5, 7), adoption(3, 3, app=APP[:-1] + "b")])
    code, found = report()
    assert (1, "no") == (code, found["answer"])
    assert "Microsoft counts 1 application as calling without MFA: Billing." in found["answer_because"]
    assert [(7, 2, True), (3, 0, False)] == [
        (one["calls"], one["without_mfa"], one["failing"]) for one in found["microsoft"]["applications"]
    ]
    screen = audit.run("report", "--db", database).stdout
    assert screen.startswith("NO - Microsoft counts 1 application that calls Partner Center without MFA.")
    assert "Billing: 2 of 7 calls without MFA" in screen


def test_what_microsoft_does_not_say_is_not_without_mfa(audit: Audit, database: Path, report: Report) -> None:
    """A row whose mfaCompliant is null is counted as not known, and makes no application fail."""
    unknown = {**partner_request(True, REQUEST_ID[:-1] + "2"), "mfaCompliant": None}
    import_rows(audit, database, [partner_request(True), unknown])
    (one,) = report()[1]["microsoft"]["applications"]
    assert (2, 1, 0, False) == (one["calls"], one["with_mfa"], one["without_mfa"], one["failing"])
    screen = " ".join(audit.run("report", "--db", database).stdout.split())
    assert "1 call with MFA, 1 of which Microsoft does not say" in screen


def test_an_application_is_mended_by_later_days_of_its_own(
    audit: Audit, database: Path, report: Report
) -> None:
    """Two later days with MFA only mend an application; one does not, and silence never does."""
    import_rows(audit, database, [adoption(0, 4_000, days_ago=12)])
    assert "no" == report()[1]["answer"]
    import_rows(audit, database, [adoption(7, 7, days_ago=2)])
    assert "no" == report()[1]["answer"]
    import_rows(audit, database, [adoption(7, 7)])
    _, found = report()
    assert "unclear" == found["answer"]
    assert [False] == [one["failing"] for one in found["microsoft"]["applications"]]


def test_calls_that_both_saw_stand_beside_each_other(
    audit: Audit, database: Path, tmp_path: Path, report: Report
) -> None:
    """Coverage, User-Agent and tool beside Microsoft's verdict, and where the two disagree."""
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd", "mfa", appid=APP))))
    assert 0 == audit.run("import", "--db", database, tmp_path / "calls.har").returncode
    import_rows(audit, database, [partner_request(False), partner_request(True, REQUEST_ID[:-1] + "1")])
    _, found = report()
    microsoft = found["microsoft"]
    assert (2, 1, 1) == (microsoft["calls"], microsoft["seen"], microsoft["disagreements"])
    (match,) = microsoft["matches"]
    assert ("nightly/1.0", "compliant", False, True) == (
        match["user_agent"], match["verdict"], match["microsoft_compliant"], match["disagree"],
    )  # fmt: skip
    assert ["dana@contoso.example"] == microsoft["applications"][0]["users"]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("audit.db*"))
    assert b"fabrikam" not in stored
    assert b"192.0.2.77" not in stored
    for format_ in ("table", "markdown", "html"):
        text = " ".join(
            html.unescape(audit.run("report", "--db", database, "--format", format_).stdout).split()
        )
        assert "Of 2 calls that Microsoft lists, 1 was recorded here (50%)." in text
        assert "On 1 call Microsoft's verdict is not the token's." in text


def test_users_can_be_hidden(audit: Audit, database: Path, tmp_path: Path) -> None:
    """With --users none no name of a user is stored, of calls and of Microsoft's lists."""
    (tmp_path / "calls.har").write_bytes(har(call(bearer("pwd"))))
    (tmp_path / "list.json").write_text(json.dumps([partner_request(True)]))
    done = audit.run(
        "import", "--db", database, "--users", "none", tmp_path / "calls.har", tmp_path / "list.json"
    )
    assert 0 == done.returncode
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("audit.db*"))
    assert b"dana@" not in stored

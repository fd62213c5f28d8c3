"""Entra's sign-in logs beside recorded calls: what they prove, end to end through `import` and `report`."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from captures_of_microsoft import GRAPH
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.judging.causes import CAUSES, Cause
from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.proven_causes import with_causes
from observed import fill, observe
from processes import Audit
from reports_samples import tool

UTI = "61TqZgFj5U6-Yv9adZsBAA"


def report(audit: Audit, *databases: Path) -> dict[str, Any]:
    named = [word for database in databases for word in ("--db", str(database))]
    found: dict[str, Any] = json.loads(audit.run("report", *named, "--format", "json").stdout)
    return found


def sign_in(**changes: Any) -> dict[str, Any]:
    """A sign-in of an hour ago; `id` names the token."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    return {**GRAPH, "createdDateTime": at, **changes}


def import_log(audit: Audit, database: Path, *rows: dict[str, Any]) -> None:
    log = database.with_name("log.json")
    log.write_text(json.dumps({"value": rows}), "utf-8")
    assert 0 == audit.run("import", "--db", str(database), str(log)).returncode


def record(database: Path, *amr: str, **claims: Any) -> None:
    fill(database, [observe(time.time() - 1800, token=make_user_token(*amr, **claims))])


def test_a_recorded_token_proves_its_cause(audit: Audit, database: Path) -> None:
    """The token's id is the log's: the likely cause becomes a proven one, with date and policy, in every format."""
    record(database, "pwd", uti=UTI)
    before = report(audit, database)["tools"][0]
    assert ("non-compliant", []) == (before["verdict"], before["causes"])
    import_log(audit, database, sign_in())
    (tool,) = report(audit, database)["tools"]
    (cause,) = tool["causes"]
    assert ("password-grant", "proven", 1) == (cause["id"], cause["certainty"], cause["sign_ins"])
    assert [{"name": "Block legacy clients", "result": "success"}] == cause["policies"]
    screen = " ".join(audit.run("report", "--db", str(database)).stdout.split())
    assert "Proven by Entra's sign-in log: signed in with the password grant" in screen
    assert "Block legacy clients (success)" in screen


def test_without_the_id_application_user_and_time_join(audit: Audit, database: Path) -> None:
    """An older token without `uti` is joined by its application, its user and the minute of its issue."""
    user = {"appid": GRAPH["appId"], "oid": GRAPH["userId"], "tid": GRAPH["homeTenantId"]}
    record(database, "pwd", iat=int(time.time()) - 3700, uti=None, **user)
    import_log(audit, database, sign_in())
    found = report(audit, database)
    assert ["password-grant"] == [cause["id"] for cause in found["tools"][0]["causes"]]
    assert [] == found["signed_in"]


def test_a_log_never_makes_a_tool_good(audit: Audit, database: Path) -> None:
    """A sign-in for which MFA was required changes nothing of a token that lacks it, nor of one that cannot be read."""
    record(database, "pwd", uti=UTI)
    required = {"authenticationProtocol": "oAuth2", "authenticationRequirement": "multiFactorAuthentication"}
    import_log(audit, database, sign_in(**required))
    found = report(audit, database)
    assert ("no", "non-compliant", []) == (
        found["answer"],
        found["tools"][0]["verdict"],
        found["tools"][0]["causes"],
    )


def test_a_log_alone_is_never_a_yes(audit: Audit, database: Path) -> None:
    """With nothing but sign-ins the answer is no for a saved password, and else that nothing was seen."""
    required = {"authenticationProtocol": "oAuth2", "authenticationRequirement": "multiFactorAuthentication"}
    import_log(audit, database, sign_in(**required))
    found = report(audit, database)
    assert ("unclear", [False]) == (found["answer"], [one["failing"] for one in found["signed_in"]])
    import_log(audit, database, sign_in(id="00000000-0000-4000-8000-00000000000c"))
    found = report(audit, database)
    (one,) = found["signed_in"]
    assert ("no", True, "Nightly sync") == (found["answer"], one["failing"], one["name"])
    assert audit.run("report", "--db", str(database)).stdout.startswith(
        "NO - 1 application signs in to Partner Center with a saved password, by Entra's"
    )
    assert any(
        "signs in with a saved password: Nightly sync" in because for because in found["answer_because"]
    )


def test_a_later_sign_in_of_another_kind_mends_nothing(audit: Audit, database: Path) -> None:
    """After a saved password a sign-in in another way makes the application unclear, not good."""
    later = sign_in(id="00000000-0000-4000-8000-00000000000d", authenticationProtocol="oAuth2")
    later["createdDateTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    import_log(audit, database, sign_in(), later)
    found = report(audit, database)
    assert ("unclear", [False]) == (found["answer"], [one["failing"] for one in found["signed_in"]])


def test_a_log_in_another_database_is_joined(audit: Audit, database: Path, tmp_path: Path) -> None:
    """Recorded calls in one database and the log in another give what both in one give, in any order."""
    other = tmp_path / "log.db"
    record(database, "pwd", uti=UTI)
    import_log(audit, other, sign_in())
    for databases in ((database, other), (other, database)):
        found = report(audit, *databases)
        assert (["password-grant"], []) == (
            [one["id"] for one in found["tools"][0]["causes"]],
            found["signed_in"],
        )


@pytest.mark.parametrize(
    ("verdict", "reason", "causes", "is_advised"),
    [
        (Verdict.NON_COMPLIANT, "amr-without-mfa", 1, True),
        # What is to be done is to wait: advice to fix what is fixed would be wrong.
        (Verdict.NON_COMPLIANT, "side-by-side", 1, False),
        (Verdict.UNDETERMINED, "recently-changed", 1, False),
        (Verdict.UNDETERMINED, "opaque", 1, False),
        (Verdict.COMPLIANT, "mfa", 0, False),
        (Verdict.EXEMPT, "app-only", 0, False),
    ],
)
def test_whom_a_cause_advises(verdict: Verdict, reason: str, causes: int, is_advised: bool) -> None:
    """A failing row gets the cause's advice, a waiting or unclear one keeps its own, a good one is told no cause."""
    row = replace(tool("sync"), verdict=verdict, reasons=(reason,))
    found = with_causes(row, [Cause(CAUSES[0].id, 3, 1.0, ())])
    assert (causes, CAUSES[0].advice if is_advised else row.advice) == (len(found.causes), found.advice)


def test_one_users_good_sign_in_hides_no_other(audit: Audit, database: Path) -> None:
    """An application that one user signs in to with a saved password fails, whoever signs in later in another way."""
    later = sign_in(id="00000000-0000-4000-8000-00000000000e", authenticationProtocol="oAuth2")
    later |= {"userId": "00000000-0000-4000-8000-0000000000ff", "userPrincipalName": "ben@contoso.example"}
    later["createdDateTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    import_log(audit, database, sign_in(), later)
    found = report(audit, database)
    assert ("no", [True], 2) == (
        found["answer"],
        [one["failing"] for one in found["signed_in"]],
        len(found["signed_in"][0]["users"]),
    )

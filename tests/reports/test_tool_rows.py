"""Which calls are one row, what a row says of its program, and how people are shown in all rows."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from mfa_audit.commands.demo.sample_tokens import TENANT
from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.advice import FEDERATED
from mfa_audit.judging.people import Mode, People
from mfa_audit.judging.tokens import User
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period, Report, ToolRow
from mfa_audit.reports.settings import Settings
from mfa_audit.store.imports import Importer
from observed import fill, observe

KEY = b"k" * 32


def report(database: Path, settings: Settings | None = None) -> Report:
    """The report on all that the database holds."""
    return report_on([database], Period(None, None), settings)


def only_row(database: Path, settings: Settings | None = None) -> ToolRow:
    """The one row of the report."""
    [row] = report(database, settings).tools
    return row


def test_a_script_of_an_agent_is_one_row(database: Path) -> None:
    """Thirty runs of a CI agent's script are a row that may be several jobs, with the names as they came."""
    names = {f"{uuid.uuid4()}.ps1" for _ in range(15)}
    fill(database, [observe(program=Program(name, "agent", "ci.service")) for name in names for _ in "12"])
    row = only_row(database)
    assert ("<guid>.ps1", 30, False) == (row.program, row.requests, row.specific)
    assert names == set(row.programs)


def test_a_dated_copy_is_the_same_job(database: Path) -> None:
    """A script whose name ends in a date is one job in all of its runs."""
    for day in (24, 25):
        fill(database, [observe(program=Program(f"sync-202611{day}.py", "svc", "cron"))])
    row = only_row(database)
    assert ("sync-<date>.py", 2, True, "svc", "cron") == (
        row.program,
        row.requests,
        row.specific,
        row.account,
        row.started_by,
    )


def test_jobs_that_may_be_two_stay_two(database: Path) -> None:
    """A number that may tell jobs apart does, and so do account and starter."""
    programs = [
        Program("job-1.ps1", "svc", "cron"),
        Program("job-2.ps1", "svc", "cron"),
        Program("job-1.ps1", "ada", "cron"),
        Program("job-1.ps1", "svc", "terminal"),
    ]
    fill(database, [observe(program=program) for program in programs])
    rows = report(database).tools
    assert set(programs) == {Program(str(row.program), row.account, row.started_by) for row in rows}
    assert 4 == len({row.title for row in rows})


def test_a_partners_name_is_one_row_of_several_apps(database: Path) -> None:
    """Callers that may be several jobs, and that the partner calls by one name, are one row."""
    fill(database, [observe(user_agent="curl/8"), observe(user_agent="Wget/1.2")])
    row = only_row(database, Settings(names={"curl": "Ours", "wget": "Ours"}))
    assert ("Ours", 2) == (row.name, row.requests)


def test_accounts_are_people(database: Path) -> None:
    """A report that shows people by pseudonyms does the same with accounts, in rows and blind spots alike."""
    people = People(Mode.PSEUDONYM, KEY)
    fill(database, [observe(program=Program("sync.py", "dana", "cron"))])
    assert people.alias("dana") == only_row(database, Settings(people=people)).account
    assert "dana" == only_row(database).account


def test_a_number_is_one_person(database: Path) -> None:
    """Where users are shown by numbers, a number is the same person in all rows and in Microsoft's lists."""
    ada, dana = {"upn": "ada@contoso.example", "oid": "1"}, {"upn": "dana@contoso.example", "oid": "2"}
    seen = [("a.py", ada), ("b.py", dana), ("c.py", ada), ("c.py", dana)]
    fill(database, [observe(program=Program(name), claims=claims) for name, claims in seen])
    with Importer(database) as importer:
        importer.add_principals([(time.time() - 60, User(TENANT, "2", "dana@contoso.example"))])
    whole = report(database, Settings(people=People(Mode.NONE, KEY)))
    rows = whole.tools
    shown = {row.program: {user.name for user in row.users} for row in rows}
    assert {1} == {len(shown["a.py"]), len(shown["b.py"])}
    assert shown["a.py"] | shown["b.py"] == shown["c.py"]
    assert {"user 1", "user 2"} == shown["c.py"]
    assert whole.microsoft is not None
    assert shown["b.py"] == {user.name for user in whole.microsoft.users}


def test_blocked_tools_come_first(database: Path) -> None:
    """Of tools without MFA the one that is blocked now comes first, however few its calls are."""
    refused = {"status": 401, "body": b'{"code":900421}', "own_id": True}
    fill(
        database,
        [
            *(observe(program=Program("busy.py"), amr=("pwd",)) for _ in range(3)),
            observe(program=Program("stopped.py"), amr=("pwd",), **refused),
            *(observe(program=Program("fine.py")) for _ in range(5)),
        ],
    )
    assert ["stopped.py", "busy.py", "fine.py"] == [row.program for row in report(database).tools]


@pytest.mark.parametrize("names", [("ada.smith", "ada.jones"), ("ada.jones", "ada.smith")])
def test_a_renamed_user_is_shown_by_the_name_last_seen(database: Path, names: tuple[str, str]) -> None:
    """A person whose sign-in name changed is one user, by the name of their last call, wherever the row shows them."""
    now = time.time()
    seen = [(300, names[1]), (200, names[0]), (100, names[1])]
    fill(
        database,
        [
            observe(now - ago, program=Program("sync.py"), claims={"oid": "1", "upn": f"{name}@x.example"})
            for ago, name in seen
        ],
    )
    row = only_row(database)
    expected = [f"{names[1]}@x.example"]
    assert expected == [user.name for user in row.users]
    assert expected == [one.user for one in row.credentials]


def test_advice_is_on_the_token_that_fails(database: Path) -> None:
    """A later token with MFA, which nobody took, says nothing of how the failing one was got."""
    now = time.time()
    fill(
        database,
        [
            observe(now - 60, program=Program("sync.py"), amr=("wia",)),
            observe(now, program=Program("sync.py"), amr=("pwd", "mfa"), status=500),
        ],
    )
    assert FEDERATED == only_row(database).advice

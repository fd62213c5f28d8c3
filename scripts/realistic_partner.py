"""Make the audit database of a realistic, made-up partner: 38 tools, 12 users, 3 tenants, 60 days, 2 machines.

    python scripts/realistic_partner.py partner.db

It holds what two recorders, a browser's capture and Microsoft's own lists would have left behind. Everything takes the
way that real calls take: whole tokens are judged, and files are imported. The pictures of the docs and the tests of the
formats are made from it. Made from the same moment, two of them are alike.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from mfa_audit.captures import recognition
from mfa_audit.captures.importer import import_capture
from mfa_audit.commands.demo.sample_tokens import make_app_token, make_user_token
from mfa_audit.exchanges.exchange import Exchange, Program, Secret
from mfa_audit.judging.observations import Judge
from mfa_audit.store.imports import Importer
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session

DAY: Final = 86_400.0
DAYS: Final = 60
HOST: Final = "api.partnercenter.microsoft.com"
PC17, SRV02 = "PC17", "SRV02"
TENANTS: Final = tuple(
    str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("contoso", "fabrikam", "tailspin")
)
USERS: Final = (
    *("svc-pc@contoso.example", "svc-billing@contoso.example", "svc-sync@fabrikam.example"),
    *("svc-licenses@contoso.example", "svc-reports@tailspin.example", "dana@contoso.example"),
    *("jo@contoso.example", "kim@fabrikam.example", "lee@tailspin.example", "ann@contoso.example"),
    *("sam@contoso.example", "max@fabrikam.example"),
)
POWERSHELL: Final = "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.19041.4522"
PYTHON: Final = "python-requests/2.32.3"
NODE: Final = "axios/1.7.2"
DOTNET: Final = "PartnerCenter .NET SDK/3.1.2"
AZURE_POWERSHELL: Final = "1950a258-227b-4e31-a9cf-717495945fc2"
AZURE_CLI: Final = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
_OPERATIONS: Final = (
    "/v1/customers",
    "/v1/customers/5d2b6f60-0000-4000-8000-0000000c1133/subscriptions",
    "/v1/invoices",
    "/v1/customers/5d2b6f60-0000-4000-8000-0000000c1133/users",
)


class Job(NamedTuple):
    """Something that calls. `amr`: how its user signs in, None: an app's own token. `every`: days between two runs,
    each with `calls` at `hour`. `acr`: 1 where its app keeps a secret. `mfa_since` (days ago) it has MFA, `until` it
    ran; `blocked_since` Partner Center refuses it. `odd` is what its token is instead."""

    program: str | None
    agent: str
    user: int
    machine: str
    starter: str | None = "Task Scheduler"
    amr: tuple[str, ...] | None = ("pwd", "mfa")
    acr: str = "0"
    calls: int = 3
    every: int = 1
    hour: float = 3.0
    app: str | None = None
    mfa_since: float | None = None
    bad_on: tuple[int, ...] = ()
    until: float = 0.0
    blocked_since: float | None = None
    odd: str | None = None
    application: str | None = None


_PASSWORD: Final = ("pwd",)
_WINDOWS: Final = ("wia",)
JOBS: Final[tuple[Job, ...]] = (
    # A saved user name and password.
    Job("nightly-sync.ps1", POWERSHELL, 0, PC17, amr=_PASSWORD, calls=12, app=AZURE_POWERSHELL, blocked_since=9),
    Job("invoice-export.py", PYTHON, 1, SRV02, "cron", _PASSWORD, calls=9, hour=4.5, blocked_since=6),
    Job("license-check.ps1", POWERSHELL, 3, PC17, amr=_PASSWORD, calls=6, hour=6.2, app=AZURE_POWERSHELL),
    Job("gdap-audit.ps1", POWERSHELL, 0, PC17, amr=_PASSWORD, calls=8, every=7, hour=2.0, app=AZURE_POWERSHELL),
    Job("price-list.js", NODE, 1, SRV02, "cron", _PASSWORD, calls=4, hour=5.0),
    Job("Contoso.Billing.exe", DOTNET, 1, PC17, "services.exe", _PASSWORD, calls=7, hour=1.0),
    Job("onboarding.ps1", POWERSHELL, 5, PC17, "explorer.exe", _PASSWORD, calls=5, every=4, hour=9.5),
    Job("seats-by-customer.py", PYTHON, 3, SRV02, "cron", _PASSWORD, calls=3, every=2, hour=7.0),
    Job("month-end.ps1", POWERSHELL, 1, PC17, amr=_PASSWORD, calls=30, every=30, hour=0.5),
    # A consent without MFA, kept in a refresh token.
    Job("cipp-mirror.js", NODE, 2, SRV02, "node.service", _PASSWORD, "1", calls=10, hour=2.5, blocked_since=3),
    Job("backup-tenants.py", PYTHON, 2, SRV02, "cron", _PASSWORD, "1", calls=5, hour=23.0),
    Job("usage-to-sql.exe", DOTNET, 4, PC17, "services.exe", _PASSWORD, "1", calls=4, hour=3.7),
    Job("Tickets.Bridge.dll", DOTNET, 2, SRV02, "tickets.service", _PASSWORD, "1", calls=6, hour=8.0),
    Job("referrals.py", PYTHON, 4, SRV02, "cron", _PASSWORD, "1", calls=2, every=3, hour=11.0),
    # A sign-in on-premises.
    Job("asset-inventory.exe", "Contoso Inventory/4.2", 6, PC17, "explorer.exe", _WINDOWS, calls=4, every=2, hour=10.0),
    Job("helpdesk.exe", "Contoso Helpdesk/1.9", 7, PC17, "explorer.exe", _WINDOWS, calls=3, hour=13.0),
    # Fixed, and waiting to be confirmed; fixed long ago; one of two jobs fixed.
    Job("renew-licenses.py", PYTHON, 3, SRV02, "cron", calls=5, hour=4.0, mfa_since=1.4, acr="1"),
    Job("quote-robot.exe", DOTNET, 5, PC17, "explorer.exe", calls=4, hour=12.0, mfa_since=4),
    Job("provisioning.ps1", POWERSHELL, 0, PC17, calls=6, hour=5.5, mfa_since=30, app=AZURE_POWERSHELL),
    Job(None, POWERSHELL, 8, PC17, None, calls=4, hour=15.0, bad_on=(3, 11, 18, 25, 32)),
    # Nobody can tell.
    Job("Vendor.Agent.exe", "VendorSuite/9.1", 9, PC17, "services.exe", calls=6, odd="encrypted"),
    Job("marketplace-feed.py", PYTHON, 10, SRV02, "cron", calls=4, every=2, odd="opaque", hour=18.0),
    Job("graph-mixup.ps1", POWERSHELL, 9, PC17, calls=2, every=5, odd="audience", hour=14.0),
    # With MFA.
    Job(None, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0.0.0", 5, PC17, "explorer.exe", calls=9, hour=9.0,
        app="4990cffe-04e8-4e8b-808a-1175604b879f"),  # the partner portal
    Job("CIPP-API", "CIPP/1.0", 2, SRV02, "func.service", calls=11, hour=0.2, acr="1"),
    Job("az", "AZURECLI/2.66.0", 11, PC17, "terminal", calls=2, every=3, hour=16.0, app=AZURE_CLI),
    Job("subscriptions.py", PYTHON, 3, SRV02, "cron", calls=5, hour=6.0, acr="1"),
    Job("customer-portal.dll", DOTNET, 9, SRV02, "portal.service", calls=12, hour=10.5, acr="1"),
    Job("Sales.Dashboard.exe", DOTNET, 6, PC17, "explorer.exe", calls=4, hour=8.5),
    Job("term-end.ps1", POWERSHELL, 3, PC17, calls=3, every=7, hour=2.2),
    Job("support-tickets.js", NODE, 7, SRV02, "cron", calls=4, hour=20.0, acr="1"),
    Job("agreements.ps1", POWERSHELL, 8, PC17, "terminal", calls=3, every=6, hour=11.5),
    Job("spend-alerts.py", PYTHON, 10, SRV02, "cron", calls=5, hour=7.5, acr="1"),
    # Apps for themselves.
    Job("usage-collector.py", PYTHON, 0, SRV02, "cron", None, calls=10, hour=1.5),
    Job("Catalog.Worker.dll", DOTNET, 0, SRV02, "catalog.service", None, calls=8, hour=2.7),
    Job("price-watch.js", NODE, 0, SRV02, "cron", None, calls=3, hour=4.2),
    Job("audit-export.py", PYTHON, 0, SRV02, "cron", None, calls=2, every=7, hour=5.2),
)  # fmt: skip
# Who only a browser's capture shows.
CAPTURED: Final = Job(
    None, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Firefox/144.0", 11, "LAPTOP3", None
)
UNREADABLE: Final = (
    (Program("stock-sync.exe", "CONTOSO\\svc-stock", "services.exe"), PC17, "certificate-refused", 212),
    (Program("java", "batch", "cron"), SRV02, "certificate-refused", 37),
    (Program("old-exporter.exe", "CONTOSO\\jo", "Task Scheduler"), PC17, "tls-version", 4),
)
# Applications of Microsoft's lists that no recorder saw: name, failing calls, all calls.
ELSEWHERE: Final = (
    ("Contoso Power Automate", 41, 41),
    ("Old Azure Function", 7, 12),
    ("CSP Cockpit", 0, 230),
)


def make(database: Path, now: float | None = None) -> None:
    """Write the partner's database, as of the moment `now` (seconds since 1970, UTC; default: the time it is)."""
    now = time.time() if now is None else now
    chance = random.Random("a realistic partner")
    judge = Judge()
    failing: list[tuple[str, Exchange, Job]] = []
    for machine, account in ((PC17, "CONTOSO\\admin"), (SRV02, "audit")):
        exchanges = []
        for job in (job for job in JOBS if job.machine == machine):
            made = list(_calls(job, now, chance))
            exchanges += made
            failing += [(str(one.request_id), one, job) for one in made if _is_bad(job, one.at, now)]
        exchanges.sort(key=lambda one: one.at)
        _record(database, judge, exchanges, machine, account, now)
    with tempfile.TemporaryDirectory() as folder:
        capture, lists = Path(folder) / "portal.har", Path(folder) / "microsoft.json"
        capture.write_text(json.dumps(_har(now, chance)), "utf-8")
        lists.write_text(json.dumps(_lists(failing, now)), "utf-8")
        for path, machine in ((capture, CAPTURED.machine), (lists, None)):
            with (
                recognition.read(path, lambda: None) as opened,
                Importer(database, machine, "unknown") as importer,
            ):
                import_capture(opened, importer)


def _is_bad(job: Job, at: float, now: float) -> bool:
    """Whether the job signed in without MFA at that moment."""
    ago = (now - at) / DAY
    if job.mfa_since is not None:
        return ago > job.mfa_since
    return int(ago) in job.bad_on if job.bad_on else job.amr in (_PASSWORD, _WINDOWS)


def _calls(job: Job, now: float, chance: random.Random) -> Iterator[Exchange]:
    midnight = now - now % DAY
    first = chance.randrange(job.every) if job.every < 30 else 6
    for ago in range(DAYS, -1, -1):
        start = midnight - ago * DAY + job.hour * 3600 + chance.random() * 240
        if start > now - 600 or (ago - first) % job.every or ago < job.until:
            continue
        token = _token(job, start, bad=_is_bad(job, start, now))
        for number in range(max(1, job.calls + chance.randrange(-1, 2))):
            at = start + number * (1 + 20 * chance.random())
            refused = job.blocked_since is not None and (now - at) / DAY < job.blocked_since
            yield Exchange(
                at=at,
                method="GET",
                host=HOST,
                path=chance.choice(_OPERATIONS),
                authorization=(Secret(f"Bearer {token}".encode()),),
                user_agent=job.agent,
                application=job.application,
                request_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                status=401 if refused else 200,
                body=b'{"code": 900421, "description": "MFA is required."}' if refused else None,
                program=None if job.program is None else Program(job.program, _account(job), job.starter),
                own_id=True,
            )


def _account(job: Job) -> str:
    name = USERS[job.user].partition("@")[0]
    return f"CONTOSO\\{name}" if job.machine == PC17 else name


def _token(job: Job, at: float, *, bad: bool) -> str:
    times = {"iat": int(at) - 30, "nbf": int(at) - 30, "exp": int(at) + 3900, "uti": f"{job.program}{at}"}
    app = job.app or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{job.program}.contoso.example"))
    if job.amr is None:
        return make_app_token(**times, appid=app, tid=TENANTS[0])
    if job.odd in ("encrypted", "opaque"):
        secret = uuid.uuid5(uuid.NAMESPACE_DNS, f"{job.program}{at}").hex
        return (
            ".".join((_JWE, *(secret[:part] for part in (20, 16, 32, 22))))
            if job.odd == "encrypted"
            else secret * 3
        )
    name = USERS[job.user]
    amr = (_WINDOWS if job.amr == _WINDOWS else _PASSWORD) if bad else ("pwd", "mfa")
    return make_user_token(
        *amr,
        **times,
        **({"aud": "https://graph.microsoft.com"} if job.odd == "audience" else {}),
        appid=app,
        appidacr=job.acr,
        tid=TENANTS[("contoso", "fabrikam", "tailspin").index(name.partition("@")[2].partition(".")[0])],
        oid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        upn=name,
        unique_name=name,
    )


_JWE: Final = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00iLCJ0eXAiOiJKV1QifQ"


def _record(
    database: Path, judge: Judge, exchanges: Sequence[Exchange], machine: str, account: str, now: float
) -> None:
    """Two sessions: the first crashed on SRV02 and was stopped on PC17, the second runs to this day."""
    border = now - 20 * DAY
    for start, end, how in (
        (now - (DAYS + 1) * DAY, border, "stopped" if machine == PC17 else None),
        (border + 2 * 3600, now, None),
    ):
        name = uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine}{start}")
        session = Session("proxy", start, uuid=str(name), machine=machine, account=account)
        recording = Recording(database, session, "NORMAL")
        seen = [judge.observe(one) for one in exchanges if start <= one.at < end]
        recording.transact(seen, [])
        if how is not None:
            recording.sign(how, lost=0, late=0, programs_denied=0)
        connection = recording.connection
        if end == now:
            _add_unreadable(recording, machine, now)
        connection.execute(
            "UPDATE sessions SET last_beat = ?1, ended = iif(ended IS NULL, NULL, ?1) WHERE uuid = ?2",
            [round(end * 1000), session.uuid],
        )
        connection.commit()
        recording.close()


def _add_unreadable(recording: Recording, machine: str, now: float) -> None:
    for program, where, reason, count in UNREADABLE:
        if where == machine:
            for number in range(count):
                at = now - number % 30 * DAY - number * 60 - 3600
                recording.rows.add_not_audited(at, HOST, None, program, reason)


def _har(now: float, chance: random.Random) -> dict[str, Any]:
    """A browser's session on the partner portal, a week ago."""
    start = now - 7 * DAY
    token = _token(CAPTURED._replace(app="4990cffe-04e8-4e8b-808a-1175604b879f"), start, bad=False)
    entries = [
        {
            "startedDateTime": datetime.fromtimestamp(start + number * 9, UTC).isoformat(),
            "time": 80,
            "request": {
                "method": "GET",
                "url": f"https://{HOST}{chance.choice(_OPERATIONS)}",
                "httpVersion": "HTTP/2",
                "headers": [
                    {"name": "Authorization", "value": f"Bearer {token}"},
                    {"name": "User-Agent", "value": CAPTURED.agent},
                ],
                "queryString": [],
                "cookies": [],
                "headersSize": -1,
                "bodySize": 0,
            },
            "response": {
                "status": 200,
                "statusText": "OK",
                "httpVersion": "HTTP/2",
                "headers": [
                    {"name": "MS-RequestId", "value": str(uuid.UUID(int=chance.getrandbits(128), version=4))}
                ],
                "cookies": [],
                "content": {"size": 2, "mimeType": "application/json", "text": "{}"},
                "redirectURL": "",
                "headersSize": -1,
                "bodySize": 2,
            },
            "cache": {},
            "timings": {"send": 1, "wait": 70, "receive": 9},
        }
        for number in range(14)
    ]
    return {"log": {"version": "1.2", "creator": {"name": "Firefox", "version": "144.0"}, "entries": entries}}


def _lists(failing: Sequence[tuple[str, Exchange, Job]], now: float) -> list[dict[str, Any]]:
    """Microsoft's lists of the newest week: calls that were recorded too, and calls of applications elsewhere."""
    rows: list[dict[str, Any]] = [
        _request(
            identifier,
            one.at,
            USERS[job.user],
            job.app or str(uuid.uuid5(uuid.NAMESPACE_DNS, str(job.program))),
        )
        for identifier, one, job in failing
        if now - one.at < 7 * DAY
    ]
    for name, without, total in ELSEWHERE:
        application = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        for ago in range(7):
            rows.append(
                {
                    "loginDate": datetime.fromtimestamp(now - ago * DAY, UTC).strftime("%Y-%m-%dT00:00:00Z"),
                    "applicationId": application,
                    "applicationName": name,
                    "totalRequestCount": total // 7 + 1,
                    "mfaCompliantRequestCount": (total - without) // 7 + (without == 0),
                }
            )
    return rows


def _request(identifier: str, at: float, user: str, application: str) -> dict[str, Any]:
    return {
        "requestId": identifier,
        "operationName": "GET /v1/customers",
        "requestDateTime": datetime.fromtimestamp(at, UTC).isoformat(),
        "objectId": str(uuid.uuid5(uuid.NAMESPACE_DNS, user)),
        "tenantId": TENANTS[0],
        "upn": user,
        "applicationId": application,
        "mfaCompliant": False,
    }


def main() -> None:
    """Make the database that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database", type=Path, help="a file that is not there yet")
    options = parser.parse_args()
    if options.database.exists():
        parser.error(f"{options.database} is there already")
    make(options.database)


if __name__ == "__main__":
    main()

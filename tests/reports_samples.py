"""Reports of every kind for the tests of the formats: empty, tiny, clean, rich, hostile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mfa_audit.judging.counts import Counts
from mfa_audit.judging.evidence import Why
from mfa_audit.judging.reasons import Advice, Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.model import (
    CredentialRow,
    Gap,
    NotAudited,
    Period,
    Recording,
    Report,
    Source,
    ToolRow,
    Totals,
    UserRow,
)

NOW: Final = datetime(2026, 11, 7, 11, 30, tzinfo=UTC)
FIXED: Final = Why(
    "fixed",
    (NOW - timedelta(days=6)).timestamp(),
    (NOW - timedelta(days=3)).timestamp(),
    212,
    (NOW - timedelta(days=2)).timestamp(),
    3,
    NOW.timestamp(),
)
SECURE_APP_MODEL: Final = "https://learn.microsoft.com/partner-center/developer/enable-secure-app-model"
MANDATE: Final = (
    "https://learn.microsoft.com/partner-center/security/partner-security-requirements-mandating-mfa"
)

# The strings that may come as a User-Agent, a program's name or a claim, and must do nothing anywhere.
HOSTILE: Final = {
    "script": "<script>alert(1)</script>",
    "formula": "=cmd|' /C calc'!A0",
    "markup": "[bold red]x[/]",
    "terminal": "\x1b]0;owned\x07\x1b[31mred",
    "bidi": "\u202egpj.exe",
    "long": "A" * 65536,
    "newline": "one\ntwo\r\nthree",
    "surrogate": "\ud800half",
    "quotes": "\"'><img src=x onerror=alert(2)>",
    "markdown": "`|[click](javascript:alert(3))](x) @octocat ![i](https://x.example/i.png)",
    "cdata": "]]></failure><!-- \x00 &amp; {{ 7*7 }} {% raw %}",
    "combining": "Z" + "\u0335" * 200,
}


def user(name: str, **changes: Any) -> UserRow:
    """One user of a tool without MFA; `changes` replace fields."""
    row = UserRow(
        name=name,
        tenant="72f988bf-86f1-41af-91ab-2d7cd011db47",
        verdict=Verdict.NON_COMPLIANT,
        reasons=("amr-without-mfa",),
        requests=412,
        first_seen=NOW - timedelta(days=6),
        last_seen=NOW - timedelta(hours=9, minutes=30),
    )
    return replace(row, **changes)


def tool(name: str, **changes: Any) -> ToolRow:
    """One tool without MFA, with everything that a tool can have; `changes` replace fields."""
    row = ToolRow(
        name=name,
        app_id="1950a258-227b-4e31-a9cf-717495945fc2",
        client=None,
        application=None,
        program=None,
        programs=() if changes.get("program") is None else (changes["program"],),
        account=None,
        started_by=None,
        machine="PC17",
        capture=None,
        specific=True,
        sdk_versions=(),
        user_agents=("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522",),
        verdict=Verdict.NON_COMPLIANT,
        reasons=("amr-without-mfa",),
        why=None,
        side_by_side=False,
        waiting_until=None,
        counts=Counts(412, 412),
        tokens=14,
        users=(user("svc-pc@contoso.example"),),
        no_user=None,
        credentials=(
            CredentialRow(
                "1950a258-227b-4e31-a9cf-717495945fc2",
                "svc-pc@contoso.example",
                Verdict.NON_COMPLIANT,
                ("amr-without-mfa",),
                NOW - timedelta(days=6),
                NOW - timedelta(hours=9, minutes=30),
            ),
        ),
        tenants=("72f988bf-86f1-41af-91ab-2d7cd011db47",),
        amr=("pwd",),
        operations=(("GET /v1/customers", 300), ("GET /v1/customers/*/subscriptions", 112)),
        days=tuple((f"2026-11-{number:02}", 40 + 9 * number) for number in range(2, 8)),
        first_seen=NOW - timedelta(days=6),
        last_seen=NOW - timedelta(hours=9, minutes=30),
        advice=Advice("A saved password", "Use the Secure Application Model", SECURE_APP_MODEL),
    )
    counts = {name: changes.pop(name) for name in Counts._fields if name in changes}
    if "requests" in changes:
        counts["calls"] = changes.pop("requests")
    return replace(row, counts=row.counts._replace(**counts), **changes)


def fine(name: str, verdict: Verdict = Verdict.COMPLIANT, **changes: Any) -> ToolRow:
    """One tool with nothing to mend."""
    reasons = ("mfa",) if verdict is Verdict.COMPLIANT else ("app-only",)
    users = (
        (user("ann@contoso.example", verdict=verdict, reasons=reasons),)
        if verdict is Verdict.COMPLIANT
        else ()
    )
    defaults: dict[str, Any] = {
        "verdict": verdict,
        "reasons": reasons,
        "users": users,
        "advice": None,
        "amr": ("pwd, mfa",) if verdict is Verdict.COMPLIANT else ("(none)",),
    }
    return tool(name, **defaults | changes)


def source(**changes: Any) -> Source:
    """A recording of `mfa-audit proxy`."""
    row = Source(
        kind="proxy",
        name="127.0.0.1:8080",
        sha256=None,
        machine="PC17",
        account="CONTOSO\\jo",
        version="0.1.0",
        started=NOW - timedelta(days=7),
        ended=None,
        validate=False,
        enforce=False,
        requests=4210,
    )
    return replace(row, **changes)


def report(*tools: ToolRow, answer: Answer = Answer.NO, **changes: Any) -> Report:
    """A report of these tools, a week long; `changes` replace fields."""
    value = Report(
        generated_at=NOW,
        answer=answer,
        period=Period(NOW - timedelta(days=6, hours=11), NOW),
        totals=Totals(
            tools=len(tools),
            tokens=sum(row.tokens for row in tools),
            requests=sum(row.requests for row in tools),
            without_token=0,
        ),
        tools=tools,
        quiet=(),
        not_audited=(),
        recording=Recording(recorded_seconds=61 * 3600, period_seconds=168 * 3600, lost=0, gaps=()),
        sources=(source(),),
        databases=(r"C:\Users\jo\AppData\Local\mfa-audit\audit.db",),
        notes=(),
        machine="PC17",
        account="CONTOSO\\jo",
    )
    return replace(value, **changes)


def empty() -> Report:
    """A database into which nothing was ever recorded."""
    return report(
        answer=Answer.UNCLEAR,
        recording=Recording(0, 35 * 86400, 0, ()),
        sources=(),
    )


def tiny() -> Report:
    """One call of one tool, everything in the singular."""
    one = tool(
        "curl",
        app_id=None,
        user_agents=(),
        requests=1,
        tokens=1,
        blocked=1,
        operations=(("GET /v1/customers", 1),),
        days=(("2026-11-07", 1),),
        first_seen=NOW,
        last_seen=NOW,
        users=(user("ann@contoso.example", requests=1, first_seen=NOW, last_seen=NOW),),
        reasons=("blocked",),
    )
    return report(
        one,
        period=Period(NOW - timedelta(seconds=30), NOW),
        recording=Recording(1, 1, 0, ()),
        sources=(source(kind="run", name="curl", requests=1),),
    )


def clean() -> Report:
    """Everything that was seen is compliant or exempt."""
    return report(
        fine("CIPP", requests=1204),
        fine("Inventory", Verdict.EXEMPT, requests=88),
        answer=Answer.YES,
    )


def rich() -> Report:
    """All there is to tell: every verdict, programs, gaps, blind spots, files, quiet tools, notes."""
    people = tuple(user(f"tech{number}@contoso.example", requests=100 - number) for number in range(1, 6))
    return report(
        tool(
            "Azure PowerShell",
            program="nightly-sync.ps1",
            blocked=37,
            server_non_compliant=37,
            reasons=("blocked", "amr-without-mfa"),
        ),
        tool(
            "Partner Center PowerShell",
            app_id="04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            client="Partner Center PowerShell",
            sdk_versions=("1.5.1901.1", "3.0.11"),
            requests=1490,
            blocked_by_test=2,
            users=people,
            expired=3,
            days=tuple((f"2026-11-{number:02}", number * number) for number in (1, 3, 5, 7)),
            advice=Advice("A sign-in on which MFA is not enforced", "Enforce MFA for the account", MANDATE),
        ),
        tool(
            "Contoso Billing",
            verdict=Verdict.UNDETERMINED,
            reasons=("encrypted",),
            requests=88,
            amr=(),
            users=(),
            advice=Advice(
                "The token is encrypted and cannot be read", "Ask the tool's vendor", SECURE_APP_MODEL
            ),
        ),
        fine("CIPP", requests=1204),
        fine(
            "Azure CLI",
            program="renew-licenses.py",
            requests=964,
            why=FIXED,
        ),
        fine("Inventory", Verdict.EXEMPT, requests=52),
        totals=Totals(tools=6, tokens=84, requests=4210, without_token=12),
        quiet=(tool("Quarterly export", last_seen=NOW - timedelta(days=41)),),
        not_audited=(
            NotAudited(
                "api.partnercenter.microsoft.com", None, "powershell.exe", "certificate-refused", 12, NOW, NOW
            ),
            NotAudited("api.partnercenter.microsoft.com", "Java/21.0.4", None, "tunnelled", 1, NOW, NOW),
        ),
        recording=Recording(
            61 * 3600,
            168 * 3600,
            2,
            (
                Gap(NOW - timedelta(days=5), NOW - timedelta(days=5, hours=-6), "stopped"),
                Gap(NOW - timedelta(days=3), NOW - timedelta(days=2), "slept"),
                Gap(NOW - timedelta(hours=5), NOW - timedelta(hours=4, minutes=59), "behind", 2),
            ),
        ),
        sources=(
            source(validate=True),
            source(
                kind="import", name="portal.har", sha256="9f" * 32, requests=40, ended=NOW - timedelta(days=1)
            ),
        ),
        notes=("several-jobs",),
    )


def hostile() -> Report:
    """Every text that can come from outside is one of HOSTILE."""
    tools = [
        tool(
            text,
            app_id=text,
            client=text,
            application=text,
            program=text,
            sdk_versions=(text,),
            user_agents=(text,),
            reasons=("amr-without-mfa", text),
            users=(user(text, tenant=text, reasons=(text,)),),
            tenants=(text,),
            amr=(text,),
            operations=((text, 3),),
            advice=Advice(text, text, text) if kind == "script" else None,
            verdict=Verdict.UNDETERMINED if kind == "quotes" else Verdict.NON_COMPLIANT,
        )
        for kind, text in HOSTILE.items()
    ]
    texts = tuple(HOSTILE.values())
    return report(
        *tools,
        quiet=tuple(replace(row, counts=Counts(1)) for row in tools),
        not_audited=tuple(NotAudited(text, text, text, text, 2, NOW, NOW) for text in texts),
        recording=Recording(1, 2, 3, tuple(Gap(NOW, NOW, text) for text in texts)),
        sources=tuple(
            source(kind="import", name=text, sha256=text, machine=text, account=text, version=text)
            for text in texts
        ),
        databases=texts,
        notes=texts,
        machine=HOSTILE["script"],
        account=HOSTILE["terminal"],
    )


ALL: Final = {"empty": empty, "tiny": tiny, "clean": clean, "rich": rich, "hostile": hostile}

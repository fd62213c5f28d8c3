"""Sentences about what Entra's sign-in logs prove. Each is plain text, already harmless on one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from mfa_audit.exchanges.exchange import GUID
from mfa_audit.judging.causes import Cause
from mfa_audit.judging.verdicts import PARTNER_CENTER_ID
from mfa_audit.printable import count, line, moment
from mfa_audit.reports.model import SignedIn


def proven(one: Cause) -> str:
    """A cause that Entra's log proves, in one sentence with its date and the policies that had a part in it."""
    at = datetime.fromtimestamp(one.last, UTC)
    told = f"Proven by Entra's sign-in log: signed in {one.row.title}, last {moment(at, datetime.now(UTC))}"
    if one.policies:
        told += "; policies: " + ", ".join(
            line(f"{policy} ({result})", 80) for policy, result in one.policies[:3]
        )
    return told + "."


# Applications that only Entra's log shows; `signed_in` has a sentence for each.
SIGNED_IN: Final = "Signed in to Partner Center by Entra's log, and not recorded"


def signed_in(one: SignedIn, now: datetime, show: Callable[[str], str] = line) -> str:
    """One such application: who, how often, how, and what to do."""
    more = f" and {len(one.users) - 3:,} more" if len(one.users) > 3 else ""
    users = f" by {', '.join(map(show, one.users[:3]))}{more}" if one.users else ""
    told = f"{show(one.name)}: {count(one.sign_ins, 'sign-in')}{users}, last {moment(one.last_seen, now)}."
    if one.causes:
        row = one.causes[0].row
        told += f" Signed in {row.title}. {row.advice.fix}."
    return told if one.failing or one.causes else f"{told} The log does not say whether its tokens hold MFA."


def query(app_id: str) -> str:
    """The query for Log Analytics that shows an application's sign-ins; empty where its id is no GUID.

    Nothing of the network's text but a GUID is in it, since people copy it.
    """
    if GUID.fullmatch(app_id) is None:
        return ""
    return (
        f'union SigninLogs, AADNonInteractiveUserSignInLogs | where AppId == "{app_id.lower()}" '
        f'and ResourceIdentity == "{PARTNER_CENTER_ID}" '
        "| project TimeGenerated, UserPrincipalName, AuthenticationProtocol, AuthenticationRequirement, "
        "ConditionalAccessPolicies | order by TimeGenerated desc"
    )

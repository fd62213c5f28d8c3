"""Entra's sign-in logs beside what was recorded: causes for the rows, and applications that nobody recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mfa_audit.judging.causes import Cause, SignInFacts, fails, find_causes
from mfa_audit.judging.clients import KNOWN_APPS
from mfa_audit.judging.people import People
from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.model import SignedIn, ToolRow
from mfa_audit.store.ledger import Ledger, Party, SignIns

# While a row waits, what is to be done is to wait; the cause is that of the past.
_WAITING = frozenset({"recently-changed", "side-by-side", "fixed-in-capture"})


def facts_by_party(sign_ins: Iterable[SignIns]) -> Mapping[Party, Sequence[SignInFacts]]:
    """The sign-ins behind the tokens of each party."""
    found: dict[Party, list[SignInFacts]] = {}
    for one in sign_ins:
        if one.party is not None:
            found.setdefault(one.party, []).append(one.facts)
    return found


def with_causes(row: ToolRow, causes: Sequence[Cause]) -> ToolRow:
    """The row with what the log proves of it, and the advice for that where the row fails."""
    if not causes or row.verdict in (Verdict.COMPLIANT, Verdict.EXEMPT):
        return row
    proven = row.verdict is Verdict.NON_COMPLIANT and _WAITING.isdisjoint(row.reasons)
    return replace(row, causes=tuple(causes), advice=causes[0].row.advice if proven else row.advice)


def applications_signed_in(ledger: Ledger, people: People) -> tuple[SignedIn, ...]:
    """The applications that got tokens for Partner Center and that no recorder saw using them; failing ones first."""
    recorded = {use.party.client.app_id for use in ledger.uses}
    groups: dict[str, list[SignIns]] = {}
    for one in ledger.sign_ins:
        if one.party is None and one.facts.for_partner_center:
            groups.setdefault(one.facts.application_id, []).append(one)
    found = []
    for application, sign_ins in groups.items():
        facts = [one.facts for one in sign_ins]
        by_user: dict[object, list[SignInFacts]] = {}
        for one in sign_ins:
            by_user.setdefault(one.user, []).append(one.facts)
        failing = any(fails(several) for several in by_user.values())
        if application in recorded and not failing:
            continue
        named = next((one.application for one in facts if one.application), None)
        found.append(
            SignedIn(
                application_id=application,
                name=named or KNOWN_APPS.get(application) or application,
                users=tuple(sorted({people.label(one.user) for one in sign_ins if one.user is not None})),
                sign_ins=sum(one.times for one in facts),
                failing=failing,
                causes=find_causes(facts),
                last_seen=datetime.fromtimestamp(max(one.last for one in facts), UTC),
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.failing, -one.sign_ins, one.name)))


def causes_of(parties: Iterable[Party], known: Mapping[Party, Sequence[SignInFacts]]) -> tuple[Cause, ...]:
    """What the log proves of these parties together."""
    return find_causes(facts for party in parties for facts in known.get(party, ()))

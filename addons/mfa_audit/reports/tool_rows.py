"""The rows of a report: which calls are one job's, what they come to, and what tells equal titles apart. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from mfa_audit.judging.advice import advise
from mfa_audit.judging.clients import Client, Tool, tool_of
from mfa_audit.judging.counts import Counts
from mfa_audit.judging.evidence import (
    Credential,
    RowFacts,
    Standing,
    Stretch,
    Watched,
    depends_on_times,
    fold,
    weigh,
)
from mfa_audit.judging.naming import is_specific, is_unattended, stable_program
from mfa_audit.judging.people import People
from mfa_audit.judging.reasons import Verdict, badness
from mfa_audit.judging.tokens import User
from mfa_audit.reports.day_parts import is_mixed, split_days
from mfa_audit.reports.model import CredentialRow, DayParts, ToolRow, UserRow
from mfa_audit.reports.settings import Settings
from mfa_audit.store.ledger import Ledger, Party, Use

# (machine, recorder's account) -> the times in which it recorded, without overlap.
WatchedBy = Mapping[tuple[str, str], Sequence[Watched]]
_NOBODY: Final = Standing(Verdict.UNDETERMINED, ())


class Identity(NamedTuple):
    """What makes a row. Where the program is a specific one, app id, user and User-Agent may change with a fix, so that
    they are no part of it; of anything else, which may be several jobs, the tool is."""

    machine: str
    capture: str | None
    program: str | None
    account: str | None
    started_by: str | None
    tool: Tool | str | None


def identify(party: Party, tool: Tool, names: frozenset[str]) -> Identity:
    """The row that the party's calls belong to. `names` are those that the partner gave: each is one tool."""
    program = stable_program(party.program)
    specific = program is not None and is_specific(program.name)
    return Identity(
        party.origin.machine,
        party.origin.capture,
        None if program is None else program.name,
        party.origin.account if program is None or program.account is None else program.account,
        None if program is None else program.started_by,
        None if specific else tool.name if tool.name in names else tool,
    )


@dataclass(slots=True)
class Group:
    """All that belongs to one row."""

    identity: Identity
    specific: bool
    recorders: set[tuple[str, str]] = field(default_factory=set)
    parties: set[Party] = field(default_factory=set)
    uses: list[Use] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    day_parts: tuple[DayParts, ...] = ()

    @property
    def listed(self) -> list[Use]:
        """What it did in the period."""
        return [use for use in self.uses if use.listed]


class Grouping:
    """Puts parties into rows, each once."""

    def __init__(self, settings: Settings) -> None:
        self.groups: dict[Identity, Group] = {}
        self._names = settings.names
        self.people = settings.people
        self._given = frozenset((settings.names or {}).values())
        self._tools: dict[Client, Tool] = {}
        self._known: dict[Party, Group] = {}

    def tool(self, client: Client) -> Tool:
        """The tool that a client is, by the partner's names."""
        known = self._tools.get(client)
        if known is None:
            known = self._tools[client] = tool_of(client, self._names)
        return known

    def group(self, party: Party) -> Group:
        """The row that the party belongs to."""
        known = self._known.get(party)
        if known is None:
            identity = identify(party, self.tool(party.client), self._given)
            known = self.groups.get(identity)
            if known is None:
                known = self.groups[identity] = Group(identity, identity.tool is None)
            known.parties.add(party)
            known.recorders.add((party.origin.machine, party.origin.account))
            self._known[party] = known
        return known

    def add_uses(self, uses: Iterable[Use]) -> None:
        """Put these into their rows."""
        for use in uses:
            self.group(use.party).uses.append(use)

    def add_counts(self, ledger: Ledger) -> None:
        """Put operations and days of parties that have uses into their rows; the others' calls had no token."""
        for count in ledger.operations:
            if count.party in self._known:
                self.group(count.party).operations[str(count.label)] += count.calls
        for count in ledger.days:
            if count.party not in self._known:
                continue
            day = datetime.fromtimestamp(float(count.label), UTC).astimezone().date().isoformat()
            self.group(count.party).days[day] += count.calls
        for group in self.groups.values():
            group.day_parts = split_days(group, ledger)


Choose = Callable[[Group], bool]


def parties_of(settings: Settings, choose: Choose) -> Callable[[Sequence[Use]], set[Party]]:
    """What chooses the parties of these rows."""

    def parties(uses: Sequence[Use]) -> set[Party]:
        grouping = Grouping(settings)
        grouping.add_uses(uses)
        return {party for group in grouping.groups.values() if choose(group) for party in group.parties}

    return parties


def needs_times(group: Group) -> bool:
    """Whether the verdict on the row depends on times, or what its days were."""
    return depends_on_times(use.stretch for use in group.uses) or is_mixed(group.listed)


def key_of(identity: Identity, people: People) -> str:
    """The row's key: short, of hex digits only; it gives no account away that `people` hides."""
    account = None if identity.account is None else people.account(identity.account)
    told = json.dumps(identity._replace(account=account), ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()[:10]


def credential_of(party: Party, user: User | None) -> Credential:
    """What a party's token of this user signs in with."""
    if user is None:
        return Credential(party.client.app_id)
    return Credential(party.client.app_id, user.tenant, user.object_id or user.name)


Evidence = Mapping[Credential, Sequence[Stretch]]


def evidence_of(group: Group, ledger: Ledger) -> Evidence:
    """All that the row's credentials did."""
    evidence: dict[Credential, list[Stretch]] = {}
    timed = [party for party in group.parties if party in ledger.times]
    for party in timed:
        for user, stretch in ledger.times[party]:
            evidence.setdefault(credential_of(party, user), []).append(stretch)
    if not timed:
        for use in group.uses:
            evidence.setdefault(credential_of(use.party, use.user), []).append(use.stretch)
    return evidence


def judge_row(
    group: Group, evidence: Evidence, watched: WatchedBy, now: float, since: float | None, *, strict: bool
) -> Standing:
    """The standing of the row at the moment `now`; with `strict` no call without MFA in the period is forgiven."""
    facts = RowFacts(
        evidence,
        starter_known=group.specific and is_unattended(group.identity.started_by),
        specific=group.specific,
        captured=group.identity.capture is not None,
    )
    several = [watched[recorder] for recorder in group.recorders if recorder in watched]
    times = union(one for recorded in several for one in recorded)
    if strict:
        found = weigh(_within(facts, since), times, now, since=since, strict=True)
        if found.verdict is Verdict.NON_COMPLIANT:
            return found
    # What came before the period counts no less for being strict.
    return weigh(facts, times, now, since=since)


def _within(facts: RowFacts, since: float | None) -> RowFacts:
    if since is None:
        return facts
    evidence = {
        credential: [one for one in stretches if one.last >= since]
        for credential, stretches in facts.evidence.items()
    }
    return replace(facts, evidence=evidence)


def union(times: Iterable[Watched]) -> list[Watched]:
    """These times without overlap, in order."""
    found: list[Watched] = []
    for one in sorted(times):
        if found and one.start <= found[-1].end:
            found[-1] = Watched(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


def clients_of(uses: Iterable[Use]) -> list[Client]:
    """The clients of these uses, the most used first."""
    by_calls: Counter[Client] = Counter()
    for use in uses:
        by_calls[use.party.client] += use.stretch.counts.calls
    return [client for client, _ in sorted(by_calls.items(), key=lambda one: (-one[1], str(one[0])))]


def make_row(
    group: Group, standing: Standing, grouping: Grouping, label: Callable[[User], str], uses: Sequence[Use]
) -> ToolRow:
    """The row of a report for what the group did in these `uses`: those in the period, or before it if it is quiet."""
    clients = clients_of(uses)
    tool = grouping.tool(clients[0])
    program = group.identity.program
    own = group.identity.account
    accounts = {use.party.origin.account for use in uses} if own is None else {own}
    counts = Counts()
    for use in uses:
        counts = counts.plus(use.stretch.counts)
    users, no_user = _user_rows(uses, standing, label)
    claims = [use.claims for use in sorted(uses, key=lambda use: -use.stretch.last)]
    telling = [
        use.claims
        for use in sorted(uses, key=lambda use: -use.stretch.last)
        if use.stretch.verdict is Verdict.NON_COMPLIANT
    ]
    return ToolRow(
        name=tool.name,
        app_id=next((client.app_id for client in clients if client.app_id), None),
        client=tool.client,
        application=tool.application,
        program=program,
        programs=_texts(use.party.program and use.party.program.name for use in uses),
        account=", ".join(sorted(grouping.people.account(name) for name in accounts if name)),
        started_by=group.identity.started_by,
        machine=group.identity.machine,
        capture=group.identity.capture,
        specific=group.specific,
        sdk_versions=_texts(client.sdk_version for client in clients),
        user_agents=_texts(client.user_agent for client in clients),
        verdict=standing.verdict,
        reasons=standing.reasons,
        why=standing.why,
        side_by_side=standing.side_by_side,
        waiting_until=None if standing.waiting_until is None else moment_of(standing.waiting_until),
        counts=counts,
        tokens=sum(use.stretch.tokens for use in uses),
        users=users,
        no_user=no_user,
        credentials=_credential_rows(uses, standing, label),
        tenants=_texts(use.claims.get("tid") for use in uses),
        amr=_texts(_amr(use.claims) for use in uses if use.claims),
        operations=tuple(group.operations.most_common()),
        days=tuple(sorted(group.days.items())),
        day_parts=group.day_parts,
        first_seen=moment_of(min(use.stretch.first for use in uses)),
        last_seen=moment_of(max(use.stretch.last for use in uses)),
        advice=advise(standing.verdict, standing.reasons, telling or claims),
        key=key_of(group.identity, grouping.people),
    )


def _user_rows(
    uses: Sequence[Use], standing: Standing, label: Callable[[User], str]
) -> tuple[tuple[UserRow, ...], UserRow | None]:
    groups: dict[tuple[str | None, str | None], list[Use]] = {}
    for use in uses:
        credential = credential_of(use.party, use.user)
        groups.setdefault((credential.tenant, credential.person), []).append(use)
    standings: dict[tuple[str | None, str | None], dict[Credential, Standing]] = {}
    for credential, one in standing.credentials.items():
        standings.setdefault((credential.tenant, credential.person), {})[credential] = one
    rows = {key: _user_row(several, standings.get(key, {}), label) for key, several in groups.items()}
    nobody = rows.pop((None, None), None)
    ordered = sorted(rows.values(), key=lambda row: (badness(row.verdict), -row.requests, row.name))
    return tuple(ordered), nobody if rows else None


def _user_row(
    uses: Sequence[Use], own: Mapping[Credential, Standing], label: Callable[[User], str]
) -> UserRow:
    whole = fold(own) if own else _NOBODY
    user = max(uses, key=lambda use: use.stretch.last).user
    return UserRow(
        name="no user" if user is None else label(user),
        tenant=None if user is None else user.tenant,
        verdict=whole.verdict if whole.reasons or len(own) != 1 else next(iter(own.values())).verdict,
        reasons=whole.reasons,
        requests=sum(use.stretch.counts.calls for use in uses),
        first_seen=moment_of(min(use.stretch.first for use in uses)),
        last_seen=moment_of(max(use.stretch.last for use in uses)),
    )


def _credential_rows(
    uses: Sequence[Use], standing: Standing, label: Callable[[User], str]
) -> tuple[CredentialRow, ...]:
    groups: dict[Credential, list[Use]] = {}
    for use in uses:
        groups.setdefault(credential_of(use.party, use.user), []).append(use)
    rows = []
    for credential, several in groups.items():
        own = standing.credentials.get(credential, _NOBODY)
        user = max(several, key=lambda use: use.stretch.last).user
        rows.append(
            CredentialRow(
                credential.app_id,
                None if user is None else label(user),
                own.verdict,
                own.reasons,
                moment_of(min(use.stretch.first for use in several)),
                moment_of(max(use.stretch.last for use in several)),
            )
        )
    return tuple(sorted(rows, key=lambda row: (badness(row.verdict), row.first_seen, row.user or "")))


def tell_apart(rows: Sequence[ToolRow]) -> list[ToolRow]:
    """The rows, those of equal titles with what tells them apart: the machine, account, starter, app id, product."""
    titles = Counter(row.title for row in rows)
    several = {title for title, count in titles.items() if count > 1}
    found = []
    for row in rows:
        if row.title in several:
            same = [other for other in rows if other.title == row.title]
            parts = [
                str(read(row))
                for read in _APART
                if len({read(other) for other in same}) > 1 and read(row) is not None
            ]
            found.append(replace(row, apart=", ".join(parts)))
        else:
            found.append(row)
    return _number(found)


_APART: Final[tuple[Callable[[ToolRow], str | None], ...]] = (
    lambda row: row.machine or None,
    lambda row: None if row.capture is None else f"from {row.capture}",
    lambda row: row.account,
    lambda row: None if row.started_by is None else f"started by {row.started_by}",
    lambda row: row.app_id,
    lambda row: row.client,
    lambda row: row.user_agents[0] if len(row.user_agents) == 1 else None,
)


def _number(rows: Sequence[ToolRow]) -> list[ToolRow]:
    """What still has one title is numbered."""
    titles = Counter(row.title for row in rows)
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row.title] += 1
        if titles[row.title] > 1:
            number = f"no. {seen[row.title]}"
            found.append(replace(row, apart=f"{row.apart}, {number}" if row.apart else number))
        else:
            found.append(row)
    return found


def sort(rows: Iterable[ToolRow]) -> list[ToolRow]:
    """Worst first: blocked before would-be-blocked, then by calls, then by name."""
    return sorted(
        rows, key=lambda row: (badness(row.verdict), not row.counts.blocked, -row.requests, row.title)
    )


def _amr(claims: Mapping[str, Any]) -> str:
    value = claims.get("amr")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "(empty)"
    return "(none)" if value is None else str(value)


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if isinstance(value, str) and value}))


def moment_of(seconds: float) -> datetime:
    """Seconds since 1970 as a moment (aware, UTC)."""
    return datetime.fromtimestamp(seconds, UTC)

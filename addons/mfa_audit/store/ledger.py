"""What an audit database says of a period, in the types of `judging`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.causes import SignInFacts
from mfa_audit.judging.clients import Client
from mfa_audit.judging.evidence import Stretch
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import User
from mfa_audit.store.sessions import BEAT

# Seconds by which the clocks of two machines, whose databases are read together, may differ.
CLOCKS_DIFFER: Final = 3600.0


class Origin(NamedTuple):
    """Where calls were recorded: the machine, the recorder's account there, and the capture (None: live)."""

    machine: str
    account: str
    capture: str | None = None


class Party(NamedTuple):
    """Who called, and where that was recorded: what the rows of a report are made of."""

    client: Client
    program: Program | None
    origin: Origin


class Use(NamedTuple):
    """What tokens of one user did for one party: `claims` are those of one of them, the latest stored.

    `listed`: in the period; else before it, which counts as evidence only.
    """

    party: Party
    user: User | None
    listed: bool
    stretch: Stretch
    claims: Mapping[str, Any]


class PartyCount(NamedTuple):
    """Calls of one party under a label: an operation, or a local day (as one of its seconds)."""

    party: Party
    label: str | float
    calls: int


class WeekUse(NamedTuple):
    """What tokens of one kind did for one party in one local week; weeks count from Monday, 29 December 1969."""

    party: Party
    week: int
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class UnreadConnections:
    """Connections of one program to an API host that could not be read. Times in seconds since 1970 (UTC).

    `others_read`: the same recording could read other connections of this program, or with this User-Agent.
    """

    host: str
    user_agent: str | None
    program: Program | None
    reason: str
    count: int
    first: float
    last: float
    origin: Origin
    others_read: bool


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One recording or import; `ended` None: still running, or it crashed. Times in seconds since 1970 (UTC).

    `sanitised` calls of an import had their token taken out of the capture.
    """

    uuid: str
    kind: str
    source: str | None
    sha256: str | None
    machine: str
    account: str
    version: str
    started: float
    last_beat: float
    ended: float | None
    ended_how: str | None
    validate: bool
    enforce: bool
    lost: int
    programs_denied: int
    folded: int
    requests: int
    sanitised: int = 0


@dataclass(frozen=True, slots=True)
class GapFacts:
    """A stored gap (slept, behind). Times in seconds since 1970 (UTC)."""

    session: str
    started: float
    ended: float
    reason: str
    lost: int


class SeenCall(NamedTuple):
    """A recorded call that Microsoft lists too, by its request id; `verdict` is that of its token."""

    party: Party
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MicrosoftCall:
    """A row of Microsoft's `partnerRequests`. `at` in seconds since 1970 (UTC); `seen` is our record of it."""

    at: float | None
    request_id: str | None
    operation: str | None
    user: User | None
    application_id: str | None
    mfa_compliant: bool | None
    seen: SeenCall | None


@dataclass(frozen=True, slots=True)
class MicrosoftDay:
    """A row of `applicationmfaadoptionstatus`: one application on one day (days since 1970)."""

    day: int | None
    application_id: str
    name: str
    mfa_requests: int
    requests: int


@dataclass(frozen=True, slots=True)
class MicrosoftFacts:
    """What of Microsoft's own lists lies in the period; `principals` are (user, seconds since 1970)."""

    calls: tuple[MicrosoftCall, ...] = ()
    days: tuple[MicrosoftDay, ...] = ()
    principals: tuple[tuple[User, float | None], ...] = ()


class SignIns(NamedTuple):
    """Sign-ins of a log that tell the same, of one user; `party` used their tokens (None: nobody recorded did)."""

    facts: SignInFacts
    user: User | None
    party: Party | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What databases say of a period and of all before it: facts, and no opinion.

    `start` and `end` are the bounds really used, in seconds since 1970 (UTC). `times` has, for the parties that were
    asked for, each token's Stretches hour by hour, in the period and before it.
    """

    start: float | None
    end: float | None
    rounded: bool
    uses: tuple[Use, ...]
    times: Mapping[Party, Sequence[tuple[User | None, Stretch]]]
    without_token: int
    tokens: int
    operations: tuple[PartyCount, ...]
    days: tuple[PartyCount, ...]
    not_audited: tuple[UnreadConnections, ...]
    sessions: tuple[SessionFacts, ...]
    gaps: tuple[GapFacts, ...]
    microsoft: MicrosoftFacts = MicrosoftFacts()
    counted_twice: int = 0
    sign_ins: tuple[SignIns, ...] = ()
    weeks: tuple[WeekUse, ...] = ()


def is_running(session: SessionFacts, now: float) -> bool:
    """Whether the recorder gave a sign of life within the three beats before `now` (seconds since 1970, UTC).

    One in the future is none, but for clocks of machines that differ: it died before its clock was set right.
    """
    return session.ended is None and -CLOCKS_DIFFER <= now - session.last_beat <= 3 * BEAT

"""What an audit database says of a period, in the types of `judging`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfa_audit.exchanges.exchange import Program
from mfa_audit.judging.clients import Client
from mfa_audit.judging.history import Use
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.tokens import Form, User
from mfa_audit.store.sessions import BEAT


@dataclass(frozen=True, slots=True)
class ClientUse:
    """What one client and program did with like tokens; `claims` are those of one of these tokens."""

    client: Client
    program: Program | None
    use: Use
    form: Form
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClientCount:
    """Calls of one client and program under a label: an operation, or a local day (as one of its hours, in seconds)."""

    client: Client
    program: Program | None
    label: str | float
    calls: int


@dataclass(frozen=True, slots=True)
class UnreadConnections:
    """Connections of one program to an API host that could not be read. Times in seconds since 1970 (UTC)."""

    host: str
    user_agent: str | None
    program: Program | None
    reason: str
    count: int
    first: float
    last: float


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


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A recorded call that Microsoft lists too, by its request id; `verdict` is that of its token."""

    client: Client
    program: Program | None
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


@dataclass(frozen=True, slots=True)
class Ledger:
    """One database's part of a report. `start` and `end` are the bounds really used, in seconds since 1970 (UTC)."""

    database: Path
    start: float | None
    end: float | None
    rounded: bool
    uses: tuple[ClientUse, ...]
    without_token: int
    tokens: int
    operations: tuple[ClientCount, ...]
    days: tuple[ClientCount, ...]
    not_audited: tuple[UnreadConnections, ...]
    sessions: tuple[SessionFacts, ...]
    gaps: tuple[GapFacts, ...]
    microsoft: MicrosoftFacts = MicrosoftFacts()


def is_running(session: SessionFacts, now: float) -> bool:
    """Whether the recorder gave a sign of life within the three beats before `now` (seconds since 1970, UTC)."""
    return session.ended is None and now - session.last_beat <= 3 * BEAT

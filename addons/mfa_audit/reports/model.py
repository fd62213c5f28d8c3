"""The report: one value computed from stored rows, which every format renders. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from mfa_audit.judging.causes import Cause
from mfa_audit.judging.counts import Counts
from mfa_audit.judging.evidence import Why
from mfa_audit.judging.reasons import Advice, Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.decided import Comparison, Decided, DecisionsRead, Week


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when (aware, UTC); None is open. `rounded`: to hours, since older calls are kept as totals only."""

    start: datetime | None
    end: datetime | None
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """`sanitised` of the calls `without_token` had it taken out of the capture that they were imported from."""

    tools: int
    tokens: int
    requests: int
    without_token: int
    sanitised: int = 0


@dataclass(frozen=True, slots=True)
class UserRow:
    """One user of a tool; also a row of the CSV."""

    name: str
    tenant: str | None
    verdict: Verdict
    reasons: tuple[str, ...]
    requests: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One app id and user that a row signed in with; `user` as shown, None where no user is behind the tokens."""

    app_id: str | None
    user: str | None
    verdict: Verdict
    reasons: tuple[str, ...]
    first_seen: datetime
    last_seen: datetime


class DayParts(NamedTuple):
    """The calls of one day: with MFA (or exempt), without, refused for it, and those of which nobody can tell."""

    with_mfa: int = 0
    without_mfa: int = 0
    refused: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Previously:
    """What a tool was before it was fixed: its verdict, until when, and how many calls."""

    verdict: Verdict
    until: datetime
    requests: int


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One known program on one machine, or what may be several jobs: a tool on one machine or in one capture.

    `account` is the one that the program ran under, else the recorder's; `started_by` what started it, where known.
    `programs` are the program's names as they came, which may vary from run to run. `capture` names the file that the
    calls were imported from, None: recorded live. `name`, `app_id`, `client`, `application` and `user_agents` are what
    its credentials say, the most used first. `why` has the dates behind the verdict where calls without MFA came.
    """

    name: str
    app_id: str | None
    client: str | None
    application: str | None
    program: str | None
    programs: tuple[str, ...]
    account: str | None
    started_by: str | None
    machine: str
    capture: str | None
    specific: bool
    sdk_versions: tuple[str, ...]
    user_agents: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    why: Why | None
    side_by_side: bool
    waiting_until: datetime | None
    counts: Counts
    tokens: int
    users: tuple[UserRow, ...]
    no_user: UserRow | None  # calls without a user behind them, where others of the row have one
    credentials: tuple[CredentialRow, ...]
    tenants: tuple[str, ...]
    amr: tuple[str, ...]  # the amr values seen, as text such as "pwd" or "pwd, mfa"; "(none)" where absent
    operations: tuple[tuple[str, int], ...]  # most called first
    days: tuple[tuple[str, int], ...]  # (ISO date in local time, calls), in order, only days with calls
    first_seen: datetime
    last_seen: datetime
    advice: Advice | None
    apart: str = ""  # what tells it from the rows of the same title
    day_parts: tuple[DayParts, ...] = ()  # of each of `days`
    causes: tuple[Cause, ...] = ()  # proven by Entra's sign-in log, the most telling first
    key: str = ""  # the same in every report with the same names and `--users`; hex, so that it can be typed and copied
    named_key: str = (
        ""  # the key that it has where people are shown by name; to compare with, and never shown
    )
    decided: Decided | None = None

    @property
    def title(self) -> str:
        """What a person calls this row: the program where it is known, the tool, and what tells it from others."""
        if self.program is None or self.program.lower() == self.name.lower():
            title = self.name
        else:
            title = f"{self.program} ({self.name})"
        return f"{title}, {self.apart}" if self.apart else title

    @property
    def requests(self) -> int:
        """How many calls in the period."""
        return self.counts.calls

    @property
    def previously(self) -> Previously | None:
        """What it was before good tokens came; None where nothing was, or still is, without MFA."""
        if self.why is None or self.verdict is Verdict.NON_COMPLIANT:
            return None
        until = datetime.fromtimestamp(self.why.last_bad, UTC)
        return Previously(Verdict.NON_COMPLIANT, until, self.why.bad_calls)


@dataclass(frozen=True, slots=True)
class NotAudited:
    """A program that reached the proxy for an API host, but whose traffic could not be read."""

    host: str
    user_agent: str | None
    program: str | None
    reason: str  # certificate-refused, upstream-tls-failed, tunnelled, no-request, unreachable, …
    count: int
    first_seen: datetime
    last_seen: datetime
    account: str | None = None
    started_by: str | None = None
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the recorder did not run or lost rows."""

    start: datetime
    end: datetime
    reason: str  # stopped, crashed, slept, unloaded, behind
    lost: int = 0
    machine: str = ""

    @property
    def is_blind(self) -> bool:
        """Whether calls may have been missed that nobody meant to miss; what was stopped, somebody stopped."""
        return self.reason != "stopped"


@dataclass(frozen=True, slots=True)
class MachineCoverage:
    """How much of the period was recorded on one machine, and how many calls it lost."""

    machine: str
    recorded_seconds: int
    lost: int


@dataclass(frozen=True, slots=True)
class Recording:
    """How much of the period was recorded, and the gaps, the longest first.

    `period_seconds` is its length up to now, for "61 of 168 hours". `recorded_seconds` are those of the
    machine with the fewest, since no machine's uptime covers another's.
    """

    recorded_seconds: int
    period_seconds: int
    lost: int
    gaps: tuple[Gap, ...]
    machines: tuple[MachineCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where calls in the report came from: a recording (proxy, run, addon, browse) or an imported file."""

    kind: str
    name: str
    sha256: str | None
    machine: str
    account: str
    version: str
    started: datetime
    ended: datetime | None
    validate: bool
    enforce: bool
    requests: int


@dataclass(frozen=True, slots=True)
class MicrosoftApplication:
    """An application in Microsoft's own lists: its calls, those with MFA, and those of them that we recorded too.

    `without_mfa` calls are those of which Microsoft says so; of the rest it does not say. `failing`: Microsoft counts
    calls without MFA that no recorder of yours saw, and no later days with MFA only.
    """

    application_id: str | None
    name: str
    calls: int
    with_mfa: int
    without_mfa: int
    seen: int
    failing: bool
    users: tuple[str, ...]
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class MicrosoftUser:
    """Somebody who signed in or called without MFA, by Microsoft's list; when last."""

    name: str
    tenant: str | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Match:
    """Calls that both Microsoft and we saw (by request id), of one kind.

    `verdict` is that of the tokens we saw, `microsoft_compliant` Microsoft's own (None: it does not say);
    `disagree` where one says with MFA and the other without. `request_id` is that of one of the calls.
    """

    application: str
    tool: str
    program: str | None
    user_agent: str | None
    verdict: Verdict
    microsoft_compliant: bool | None
    calls: int
    request_id: str | None

    @property
    def disagree(self) -> bool:
        """Whether Microsoft's verdict is not that of the token."""
        ours = {Verdict.COMPLIANT: True, Verdict.NON_COMPLIANT: False}.get(self.verdict)
        return None not in (ours, self.microsoft_compliant) and ours != self.microsoft_compliant


@dataclass(frozen=True, slots=True)
class Microsoft:
    """What Microsoft's own lists say of the period; `seen` of its `calls` were recorded here too (by request id)."""

    calls: int
    seen: int
    applications: tuple[MicrosoftApplication, ...]
    users: tuple[MicrosoftUser, ...]
    matches: tuple[Match, ...]

    @property
    def disagreements(self) -> int:
        """On how many calls Microsoft's verdict is not that of the token."""
        return sum(match.calls for match in self.matches if match.disagree)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An application that an Entra log shows signing in to Partner Center, and that no recorder of yours saw.

    `failing`: its latest token was got with a saved password, which no MFA can be part of. `users` as shown.
    """

    application_id: str
    name: str
    users: tuple[str, ...]
    sign_ins: int
    failing: bool
    causes: tuple[Cause, ...]
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says; `tools` and `quiet` worst first.

    `quiet`: tools that were failing when last seen, before the period. `databases`: the files looked at. `notes`: ids
    of further sentences for people (`formats/words.NOTES`). `machine` and `account`: where and as whom the report was
    made, since the default database is that account's; empty where not known. `sanitised_sources`: captures whose
    tokens had been taken out. `own`: one recording judges itself, and nothing before it counts. `retired`: tools that
    a decision retired and that did not call since; they count for nothing. `weeks` in the order of time.
    `unfiltered`: where filters chose what `tools`, `quiet` and `retired` list, the report without them.
    """

    generated_at: datetime
    answer: Answer
    period: Period
    totals: Totals
    tools: tuple[ToolRow, ...]
    quiet: tuple[ToolRow, ...]
    not_audited: tuple[NotAudited, ...]
    recording: Recording
    sources: tuple[Source, ...]
    databases: tuple[str, ...]
    notes: tuple[str, ...]
    machine: str = ""
    account: str = ""
    microsoft: Microsoft | None = None
    sanitised_sources: tuple[str, ...] = ()
    own: bool = False
    signed_in: tuple[SignedIn, ...] = ()
    retired: tuple[ToolRow, ...] = ()
    decisions: DecisionsRead | None = None
    weeks: tuple[Week, ...] = ()
    comparison: Comparison | None = None
    unfiltered: Report | None = None

    @property
    def whole(self) -> Report:
        """The report on all tools, which answer and counts are of."""
        return self.unfiltered or self

    @property
    def hidden(self) -> int:
        """How many rows the filters leave out."""
        every = self.whole
        return sum(map(len, (every.tools, every.quiet, every.retired))) - sum(
            map(len, (self.tools, self.quiet, self.retired))
        )

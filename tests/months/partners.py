"""Simulated partners: jobs that sign in with or without MFA, and the calls that they make."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, NamedTuple

from months.calendars import DAY, HOUR, Calendar

# How a job signs in. OFFICE: without MFA while at a trusted place; TURNS: each second time without.
WITH, WITHOUT, APP, OFFICE, TURNS = "with", "without", "app-only", "office", "turns"


class Place(NamedTuple):
    """Where calls come from, as a recorder sees it; None where it does not."""

    machine: str
    account: str
    program: str | None
    started_by: str | None


class Token(NamedTuple):
    """An access token; `mfa` is the truth, which only a `readable` one shows. An app's own has no user."""

    number: int
    app: str
    user: str
    mfa: bool
    readable: bool
    issued: float
    expires: float

    @property
    def is_apps_own(self) -> bool:
        """Whether the rule does not apply to it."""
        return not self.user


class Call(NamedTuple):
    """One call. `job` and `run` are the oracle's knowledge; `source` None is live, else the name of a capture.

    `refused`: a 401 because MFA was missing; `told`: its body says so in words that we know; `tested`: the call asked
    for it. `word` is `isMfaCompliant`, `listed` what Microsoft's list says of the call.
    """

    at: float
    job: int
    run: int
    place: Place
    agent: str
    token: Token
    status: int
    refused: bool
    told: bool
    tested: bool
    word: bool | None
    listed: bool | None
    source: str | None

    @property
    def is_bad(self) -> bool:
        """Whether anybody who sees the call can know that MFA was missing."""
        token = self.token
        missing = token.readable and not token.mfa and not token.is_apps_own and self.at <= token.expires
        return missing or (self.refused and self.told) or self.word is False or self.listed is False


@dataclass(frozen=True, slots=True)
class Phase:
    """How a job calls from `begins` on."""

    begins: float
    place: Place
    app: str
    user: str
    agent: str
    signs_in: str
    readable: bool = True


class Fix(NamedTuple):
    """A real fix of a job."""

    at: float
    kind: str


@dataclass(slots=True)
class Job:
    """One independent source of calls: a scheduled job, a person, a user of a dashboard.

    `lifetime`: of its tokens, in seconds; `caches`: they serve later runs too. `follows`: it is somebody who runs
    that job by hand, with this chance, after each of its runs that was without MFA (or refused, `if_refused`).
    """

    number: int
    kind: str
    often: str
    phases: list[Phase]
    starts: list[float]
    lifetime: float = 75 * 60.0
    caches: bool = False
    follows: tuple[Job, float] | None = None
    if_refused: bool = False
    office: frozenset[int] = frozenset()
    sign_ins: int = 0
    fixes: list[Fix] = field(default_factory=list)
    bad_runs: list[float] = field(default_factory=list)
    refused_runs: list[float] = field(default_factory=list)
    runs: list[tuple[float, bool]] = field(default_factory=list)

    def phase(self, at: float) -> Phase:
        """How it calls at that time."""
        return self.phases[max(0, bisect_right(self.phases, at, key=lambda phase: phase.begins) - 1)]

    def change(self, at: float, **parts: object) -> None:
        """From `at` on it calls in another way; later phases go."""
        self.phases = [phase for phase in self.phases if phase.begins < at]
        self.phases.append(replace(self.phases[-1], begins=at, **parts))  # type: ignore[arg-type]

    def fix(self, at: float, kind: str, **parts: object) -> None:
        """From `at` on it signs in with MFA, or as an app."""
        self.change(at, **{"signs_in": WITH} | parts)
        self.fixes.append(Fix(at, kind))


@dataclass(slots=True)
class Blocking:
    """How far Microsoft's roll-out is: the share of calls without MFA that is refused, growing from `begins` on.

    `told`: the refusals' body is one that we know.
    """

    begins: float
    full: float
    most: float
    told: bool

    def share(self, at: float) -> float:
        """The share of calls without MFA that is refused at that time."""
        return self.most * min(1.0, max(0.0, (at - self.begins) / max(1.0, self.full - self.begins)))


@dataclass(slots=True)
class Partner:
    """One partner's jobs.

    `validates` and `enforces` are times in which the recorder runs with that option; `lists`: Microsoft's own list of
    calls is fetched all the time.
    """

    calendar: Calendar
    blocking: Blocking
    validates: tuple[float, float] = (0.0, 0.0)
    enforces: tuple[float, float] = (0.0, 0.0)
    lists: bool = False
    jobs: list[Job] = field(default_factory=list)

    def add(self, kind: str, often: str, starts: Iterable[float], phase: Phase, **parts: object) -> Job:
        """A further job."""
        job = Job(len(self.jobs), kind, often, [phase], sorted(starts), **parts)  # type: ignore[arg-type]
        self.jobs.append(job)
        return job

    def play(self, chance: Random) -> list[Call]:
        """All calls of all jobs, in the order of their times; the jobs then know their runs."""
        player = _Player(self, chance)
        for job in self.jobs:
            if job.follows is not None:
                followed, share = job.follows
                failed = followed.refused_runs if job.if_refused else followed.bad_runs
                after = [at for at in failed if chance.random() < share]
                job.starts = sorted(
                    job.starts + [at + chance.choice((0.5, 1, 3, 8, 26)) * HOUR for at in after]
                )
            player.play(job)
        return sorted(player.calls, key=lambda call: call.at)


# A run's further calls, after its first, in seconds.
_PACE: Final = (40.0, 900.0)


class _Player:
    def __init__(self, partner: Partner, chance: Random) -> None:
        self.calls: list[Call] = []
        self._partner = partner
        self._chance = chance
        self._tokens = 0

    def play(self, job: Job) -> None:
        cached: Token | None = None
        signed_in: Phase | None = None
        for number, start in enumerate(job.starts):
            phase = job.phase(start)
            if phase is not signed_in or cached is None or not job.caches or start > cached.expires - 300:
                cached, signed_in = self._sign_in(job, phase, start), phase
            missing = not cached.mfa and not cached.is_apps_own
            job.runs.append((start, missing))
            if missing:
                job.bad_runs.append(start)
            self._run(job, number, start, phase, cached)

    def _sign_in(self, job: Job, phase: Phase, start: float) -> Token:
        self._tokens += 1
        job.sign_ins += 1
        match phase.signs_in:
            case "office":
                mfa = int(start // DAY) not in job.office
            case "turns":
                mfa = job.sign_ins % 2 == 1
            case signs_in:
                mfa = signs_in == WITH
        user = "" if phase.signs_in == APP else phase.user
        return Token(self._tokens, phase.app, user, mfa, phase.readable, start, start + job.lifetime)

    def _run(self, job: Job, number: int, start: float, phase: Phase, token: Token) -> None:
        chance, partner = self._chance, self._partner
        missing = not token.mfa and not token.is_apps_own
        for pause in (0.0, *_PACE[: chance.randrange(3)]):
            at = start + pause
            tested = partner.enforces[0] <= at < partner.enforces[1]
            refused = missing and (tested or chance.random() < partner.blocking.share(at))
            luck = chance.random()
            status = 401 if refused else 200 if luck < 0.97 else 404 if luck < 0.985 else 503
            user = not token.is_apps_own and status in (200, 404)
            asked = partner.validates[0] <= at < partner.validates[1]
            self.calls.append(
                Call(
                    at, job.number, number, phase.place, phase.agent, token, status, refused,
                    told=tested or partner.blocking.told, tested=tested,
                    word=token.mfa if user and asked else None,
                    listed=token.mfa if user and partner.lists else None, source=None,
                )
            )  # fmt: skip
            if refused:
                job.refused_runs.append(start)
                return

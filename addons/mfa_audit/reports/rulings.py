"""What decisions come to for the rows of a report. Pure.

Acceptance changes no verdict. `fixed` takes the evidence before it away only where a good token came since and no bad
call; then what is left is weighed like any evidence. `retired` ends with the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from mfa_audit.judging.evidence import Credential, Standing, Stretch
from mfa_audit.judging.reasons import Verdict
from mfa_audit.reports.decided import Decided, DecisionsRead, Entry, Expected, Fix, Remark
from mfa_audit.reports.decisions import PAUSES, SAYS, Decision, Decisions, start_of
from mfa_audit.reports.model import ToolRow
from mfa_audit.reports.settings import Settings
from mfa_audit.reports.tool_rows import Evidence, Group, Grouping, clients_of, moment_of

_DAY: Final = 86_400.0
_FINE: Final = frozenset({Verdict.COMPLIANT, Verdict.EXEMPT})
FAILING: Final = frozenset({Verdict.NON_COMPLIANT, Verdict.UNDETERMINED})
# A credential that was not seen since the fix: those that took its place decide.
_GONE: Final = Standing(Verdict.COMPLIANT, ())


class Subject(NamedTuple):
    """A row as decisions are matched with it. `people` are as stored, so that `--users` changes no match."""

    name: str
    program: str | None
    machine: str
    app_ids: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(slots=True)
class Ruling:
    """What was decided about a row, and what is known of the row for it. `last`: its last call, ever."""

    subject: Subject
    decision: Decision | None
    decided: Decided | None
    last: float

    @property
    def is_retired(self) -> bool:
        """Whether the row is retired, and has not called since."""
        return self.decided is not None and self.decided.is_retired


def describe(group: Group, grouping: Grouping) -> Subject:
    """The row as decisions are matched with it."""
    uses = group.listed or group.uses
    users = {use.user for use in group.uses if use.user is not None}
    return Subject(
        grouping.tool(clients_of(uses)[0]).name,
        group.identity.program,
        group.identity.machine,
        tuple(sorted({use.party.client.app_id for use in group.uses if use.party.client.app_id})),
        tuple(sorted({user.name or user.object_id or "" for user in users})),
    )


def subject_of(row: ToolRow) -> Subject:
    """The row of a report that shows people by name, as decisions are matched with it."""
    apps = {row.app_id, *(one.app_id for one in row.credentials)}
    return Subject(
        row.decided.called if row.decided else row.name,
        row.program,
        row.machine,
        tuple(sorted(app for app in apps if app)),
        tuple(user.name for user in row.users),
    )


def is_said_to_be_fixed(settings: Settings) -> Callable[[Group], bool]:
    """Whether a decision says that a row is fixed: then its times are needed."""
    if not any(entry.fixed for entry in settings.decisions.entries):
        return lambda group: False
    grouping = Grouping(settings)

    def holds(group: Group) -> bool:
        decision = settings.decisions.of(describe(group, grouping)) if group.uses else None
        return decision is not None and decision.fixed is not None

    return holds


class Rulings:
    """Applies a file of decisions to the rows of one report; `end` is the moment of it, in seconds since 1970."""

    def __init__(self, settings: Settings, grouping: Grouping, end: float) -> None:
        self._decisions = settings.decisions
        self._given_up = settings.retired
        self._grouping = grouping
        self._end = end
        self._today = datetime.fromtimestamp(end, UTC).astimezone().date()

    def of(self, group: Group) -> Ruling:
        """What was decided about the row; once for each."""
        subject = describe(group, self._grouping)
        entries = self._decisions.about(subject)
        decision = self._decisions.of(subject)
        last = max(use.stretch.last for use in group.uses)
        decided = self._decide(subject, decision, entries, last) if decision else None
        if decided is None and not group.listed and self._is_given_up(subject):
            decided = Decided(subject.name, (), is_retired=True)
        return Ruling(subject, decision, decided, last)

    def judge(
        self, ruling: Ruling, evidence: Evidence, judge: Callable[[Evidence], Standing], *, strict: bool
    ) -> Standing:
        """The standing of the row, by what `judge` makes of evidence."""
        full = judge(evidence)
        decided = ruling.decided
        if decided is None or decided.fixed is None or decided.fix is Fix.AHEAD:
            return full
        if strict:  # nothing is forgiven, by whatever decision
            ruling.decided = replace(decided, fix=None)
            return full
        fix, standing, tokens, last_bad = _test_fix(full, evidence, start_of(decided.fixed), judge)
        bad = None if last_bad is None else moment_of(last_bad)
        ruling.decided = replace(decided, fix=fix, good_tokens=tokens, last_bad=bad)
        return standing

    def mark(self, ruling: Ruling, row: ToolRow) -> ToolRow:
        """The row with what was decided about it."""
        decided = ruling.decided
        if decided is None:
            return row
        decided = replace(
            decided,
            overdue=decided.due is not None and decided.due < self._today and row.verdict not in _FINE,
        )
        ruling.decided = decided
        name = ruling.decision.name if ruling.decision else None
        return replace(row, name=name or row.name, decided=decided)

    def sum_up(self, ruled: Sequence[tuple[Ruling, str | None]]) -> DecisionsRead | None:
        """What the file came to, by all rulings, each with the title that its row has in the report; None: no file."""
        found = self._decisions
        if not found.source:
            return None
        return DecisionsRead(
            source=found.source,
            sha256=found.sha256,
            entries=len(found.entries),
            rows=sum(one.decision is not None and title is not None for one, title in ruled),
            expected=tuple(self._expected([one for one, _ in ruled])),
            remarks=tuple(self._remarks(ruled)),
            problem=found.problem,
        )

    def _decide(
        self, subject: Subject, decision: Decision, entries: Sequence[Decision], last: float
    ) -> Decided:
        accept, fixed, retired = decision.accept, decision.fixed, decision.retired
        is_over = retired is not None and not self._is_ahead(retired)
        return Decided(
            called=subject.name,
            entries=tuple(
                Entry(
                    entry.number,
                    tuple(key for key in SAYS if getattr(entry, key) is not None),
                    entry.decided_by,
                    entry.decided_at,
                )
                for entry in entries
            ),
            owner=decision.owner,
            ticket=decision.ticket,
            due=decision.due,
            accepted=accept is not None and self._today <= accept.until,
            accepted_until=accept.until if accept else None,
            reason=accept.reason if accept else None,
            fixed=fixed,
            fix=None if fixed is None else Fix.AHEAD if self._is_ahead(fixed) else Fix.UNPROVEN,
            retired=retired,
            is_retired=is_over and retired is not None and last < start_of(retired),
            called_again=moment_of(last) if is_over and retired and last >= start_of(retired) else None,
            expect=None if decision.expect is None else str(decision.expect),
        )

    def _is_ahead(self, day: date) -> bool:
        return start_of(day) > self._end

    def _is_given_up(self, subject: Subject) -> bool:
        # An app id names the row only where it never used another.
        apps = subject.app_ids if len(subject.app_ids) == 1 else ()
        known = (subject.name, subject.program, *apps)
        return any(one is not None and one.lower() in self._given_up for one in known)

    def _expected(self, ruled: Sequence[Ruling]) -> Iterable[Expected]:
        for entry in self._decisions.entries:
            about = [one for one in ruled if entry.fits(one.subject)]
            if entry.expect is None or (
                about and all(one.decided and one.decided.is_retired for one in about)
            ):
                continue
            last = max((one.last for one in about), default=None)
            seen = last is not None and last >= self._end - PAUSES[entry.expect] * _DAY
            title = entry.name or next(iter(entry.match.values()))
            yield Expected(title, str(entry.expect), None if last is None else moment_of(last), seen)

    def _remarks(self, ruled: Sequence[tuple[Ruling, str | None]]) -> Iterable[Remark]:
        for entry in self._decisions.unmatched([one.subject for one, _ in ruled]):
            yield Remark("unmatched", entry.title)
        for entry in self._decisions.entries:
            if entry.accept and entry.accept.until < self._today:
                yield Remark("over", entry.title, entry.accept.until)
            for key in ("fixed", "retired"):
                day = getattr(entry, key)
                if day is not None and self._is_ahead(day):
                    yield Remark(f"{key}-ahead", entry.title, day)
        for one, title in ruled:
            decided = one.decided
            if decided is None or one.decision is None:
                continue
            if decided.overdue:
                yield Remark("overdue", one.decision.title, decided.due, title)
            if decided.called_again is not None:
                yield Remark(
                    "called-again", one.decision.title, decided.called_again.astimezone().date(), title
                )
            if decided.fix is Fix.CONTRADICTED and decided.last_bad is not None:
                yield Remark("contradicted", one.decision.title, decided.last_bad.astimezone().date(), title)


def _test_fix(
    full: Standing, evidence: Evidence, start: float, judge: Callable[[Evidence], Standing]
) -> tuple[Fix, Standing, int, float | None]:
    """What a fix at that moment comes to: the standing, good tokens since, and the last bad call since."""
    since = judge(_only(evidence, lambda one: one.last >= start))
    bad = [one.why.last_bad for one in since.credentials.values() if one.why]
    if bad:
        return Fix.CONTRADICTED, full, 0, max(bad)
    issued = _only(evidence, lambda one: one.issued >= start)
    good = judge(issued).credentials
    fine = {credential for credential, one in good.items() if one.verdict in _FINE and one.reasons}
    tokens = len({(credential, one.issued) for credential in fine for one in issued[credential]})
    if not fine:
        return Fix.UNPROVEN, full, 0, None
    # Where both came all along, a good token shows nothing before the next bad one was due.
    if full.side_by_side and full.verdict is Verdict.NON_COMPLIANT:
        return Fix.SIDE_BY_SIDE, full, tokens, None
    gone = {credential: _GONE for credential in full.credentials if credential not in since.credentials}
    return Fix.CONFIRMED, replace(since, credentials={**since.credentials, **gone}), tokens, None


def decided_since(decisions: Decisions, moment: datetime) -> tuple[str, ...]:
    """The entries that were made on that day or later."""
    day = moment.astimezone().date()
    return tuple(entry.title for entry in decisions.entries if entry.decided_at and entry.decided_at >= day)


def _only(evidence: Evidence, counts: Callable[[Stretch], bool]) -> Mapping[Credential, Sequence[Stretch]]:
    kept = {
        credential: [one for one in stretches if counts(one)] for credential, stretches in evidence.items()
    }
    return {credential: stretches for credential, stretches in kept.items() if stretches}

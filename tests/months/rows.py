"""The rows of a report that simulated calls make."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple
from uuid import NAMESPACE_DNS, uuid5

from mfa_audit.judging import clients
from mfa_audit.judging.clients import Tool
from mfa_audit.judging.counts import Counts
from mfa_audit.judging.evidence import Credential, RowFacts, Stretch, Watched
from mfa_audit.judging.naming import is_specific, is_unattended
from months.calendars import HOUR
from months.partners import Call, Place
from months.recorders import Recorder


class Row:
    """The recorded calls of one row, in the order of their times, and the recorder that watched it."""

    def __init__(self, calls: Sequence[Call], recorder: Recorder) -> None:
        self.calls = calls
        self.recorder = recorder
        self.place: Place = calls[0].place
        self.captured = calls[0].source is not None
        self.specific = is_job(self.place)
        self.scheduled = self.specific and is_unattended(self.place.started_by)
        self._times = [call.at for call in calls]
        self._bad = [call.at for call in calls if call.is_bad]

    @property
    def sort(self) -> str:
        """What is known of it: what starts its program, the program only, or not even that."""
        if not self.specific:
            return "may be several jobs"
        return "starter known" if self.scheduled else "program known"

    def between(self, since: float, until: float) -> Sequence[Call]:
        """The calls of that time."""
        return self.calls[bisect_left(self._times, since) : bisect_left(self._times, until)]

    def last(self, until: float) -> float:
        """When the latest call came until then; minus infinity where there was none."""
        place = bisect_left(self._times, until)
        return self._times[place - 1] if place else float("-inf")

    def has_bad(self, until: float) -> bool:
        """Whether a bad call came until then."""
        return bool(self._bad) and self._bad[0] < until

    def facts(self, until: float) -> RowFacts:
        """What the present rule gets to know of the calls until then."""
        evidence = {
            credential: known
            for credential, (starts, stretches) in self._stretches.items()
            if (known := stretches[: bisect_left(starts, until)])
        }
        return RowFacts(
            evidence, starter_known=self.scheduled, specific=self.specific, captured=self.captured
        )

    def watched(self, until: float) -> tuple[Watched, ...]:
        """When the recorder ran, until then."""
        return tuple(Watched(start, min(end, until)) for start, end in self.recorder.watched if start < until)

    @cached_property
    def _stretches(self) -> dict[Credential, tuple[list[float], list[Stretch]]]:
        """Calls by token and whole hour: no report's moment lies inside one, since reports come at full hours."""
        grouped: dict[tuple[int, int], list[Call]] = {}
        for call in self.calls:
            grouped.setdefault((call.token.number, int(call.at // HOUR)), []).append(call)
        found: dict[Credential, tuple[list[float], list[Stretch]]] = {}
        for calls in grouped.values():
            token = calls[0].token
            starts, stretches = found.setdefault(credential_of(calls[0]), ([], []))
            starts.append(calls[0].at)
            stretches.append(
                Stretch(
                    reason_of(calls[0]),
                    token.issued if token.readable else calls[0].at,
                    calls[0].at,
                    calls[-1].at,
                    count(calls),
                )
            )
        return found


def is_job(place: Place) -> bool:
    """Whether calls from there are one known program's."""
    return place.program is not None and is_specific(place.program)


def credential_of(call: Call) -> Credential:
    """What the token shows of who signed in."""
    token = call.token
    if not token.readable:
        return Credential()
    return Credential(token.app, "contoso", token.user or None)


def reason_of(call: Call) -> str:
    """What the token says by itself: the id of a reason."""
    token = call.token
    if not token.readable:
        return "opaque"
    return "app-only" if token.is_apps_own else "mfa" if token.mfa else "amr-without-mfa"


def count(calls: Iterable[Call]) -> Counts:
    """These calls, counted as the store would."""
    return Counts(*map(sum, zip(*map(_flags, calls), strict=True)))


def _flags(call: Call) -> tuple[int, ...]:
    flags = Counts(
        calls=1,
        accepted=200 <= call.status < 300 or call.status == 404,
        blocked=call.refused and call.told and not call.tested,
        blocked_by_test=call.refused and call.told and call.tested,
        expired=call.at > call.token.expires + 300,
        server_compliant=call.word is True,
        server_non_compliant=call.word is False,
        refused=call.refused and not call.told,
        microsoft_compliant=call.listed is True,
        microsoft_non_compliant=call.listed is False,
    )
    return tuple(map(int, flags))


def row_today(call: Call) -> Hashable:
    """Tool and program, over all machines and captures, as the project's first rule had it."""
    return tool_of(call), call.place.program


def row_now(call: Call) -> Hashable:
    """A specific program on a machine, under an account, by what starts it; else tool, machine and capture."""
    if is_job(call.place):
        return call.place, call.source
    return call.place, tool_of(call), call.source


def tool_of(call: Call) -> Tool:
    """The tool as the report names it, by the app id where the token shows it, and by the User-Agent."""
    return _tool(app_id_of(call.token.app) if call.token.readable else None, call.agent)


@lru_cache
def _tool(app_id: str | None, agent: str) -> Tool:
    return clients.tool_of(clients.client_of(app_id, None, None, agent, None))


@lru_cache
def app_id_of(app: str) -> str:
    """The app id of a made-up app."""
    return str(uuid5(NAMESPACE_DNS, app))


class Contender(NamedTuple):
    """A rule to be measured: how calls make rows, and its verdict on one at a moment (`VERDICT` or `VERDICT: why`)."""

    name: str
    row: Callable[[Call], Hashable]
    judge: Callable[[Row, float], str]

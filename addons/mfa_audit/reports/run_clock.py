"""The clock of a tool: when it ran, when it usually runs again, and what stops when it does not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

from mfa_audit.reports.model import ToolRow

# A refresh token ends when nothing uses it for 90 days; learn.microsoft.com/entra/identity-platform/refresh-tokens.
REFRESH_TOKEN_LIFETIME: Final = timedelta(days=90)
_FEWEST_DAYS: Final = 3


@dataclass(frozen=True, slots=True)
class RunClock:
    """`every` is the usual number of days from one day with calls to the next, None where too few are known.

    `next_run`: the day of the usual next run. `silent`: that day and a pause more are over without a call.
    `token_ends`: when a refresh token that it keeps has ended for lack of use; None where no user is behind its tokens.
    """

    last: datetime
    every: int | None
    next_run: date | None
    silent: bool
    token_ends: datetime | None


def clock_of(row: ToolRow, now: datetime) -> RunClock:
    """The clock of a row at that moment."""
    days = [date.fromisoformat(day) for day, _ in row.days]
    pauses = [(after - before).days for before, after in pairwise(days)]
    every = round(median(pauses)) if len(days) >= _FEWEST_DAYS else None
    last = row.last_seen.astimezone().date()
    next_run = None if every is None else last + timedelta(days=every)
    today = now.astimezone().date()
    return RunClock(
        row.last_seen,
        every,
        next_run,
        silent=every is not None and today > last + timedelta(days=max(2 * every, every + 1)),
        token_ends=row.last_seen + REFRESH_TOKEN_LIFETIME if row.users else None,
    )

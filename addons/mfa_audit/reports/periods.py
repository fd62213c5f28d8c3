"""Periods as people write them: `24h`, `7d`, `2026-11-01`, `2026-11-01T08:00+01:00`, `all`. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from mfa_audit.errors import AuditError
from mfa_audit.reports.model import Period

# A monthly job is in it.
DEFAULT_SINCE: Final = "35d"

_AGO: Final = re.compile(r"(\d{1,6})\s*([mhdw])", re.IGNORECASE)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_period(since: str, until: str | None, now: datetime) -> Period:
    """The period that two command-line values name; `now` aware. Raises AuditError."""
    start = read_time(since, now, "--since")
    end = None if until is None else read_time(until, now, "--until")
    if start is not None and end is not None and end <= start:
        raise AuditError("--until must be later than --since.")
    return Period(start, end)


def read_time(text: str, now: datetime, option: str) -> datetime | None:
    """A time (aware, UTC), or None for `all`. A date or time without zone is local; a date is its midnight.

    Raises AuditError, naming `option`.
    """
    text = text.strip()
    if text.lower() == "all":
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now.astimezone(UTC) - timedelta(**{_UNITS[ago[2].lower()]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise AuditError(
            f"{option} takes a time such as 24h, 7d, 2026-11-01, 2026-11-01T08:00 or all."
        ) from None

"""What `--compare` compares with: the same databases some time ago, or a report that was kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from mfa_audit.errors import AuditError
from mfa_audit.reports.comparison import Snapshot, read_snapshot, snapshot_of
from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period
from mfa_audit.reports.periods import read_time
from mfa_audit.reports.settings import Settings


def read_baseline(
    given: str, databases: Sequence[Path], period: Period, settings: Settings, now: datetime
) -> Snapshot:
    """The earlier report that a value of `--compare` names. Raises AuditError, UsageError.

    Of a time it is the report as it would have been then, over a period as long as this one, by what is known today.
    """
    path = Path(given)
    if path.suffix.lower() == ".json" or path.is_file():
        try:
            return read_snapshot(path.read_text(encoding="utf-8-sig"), given)
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise AuditError(f"cannot read the report in {given}: {cause}.") from None
    then = read_time(given, now, "--compare")
    end = period.end or now
    if then is None or then >= end:
        raise click.UsageError(
            "--compare takes a time before the end of the period, such as 7d, or a JSON report."
        )
    start = None if period.start is None else period.start - (end - then)
    return snapshot_of(report_on(databases, Period(start, then), settings), given)

"""The report over databases: the period that it says it used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Period
from mfa_audit.store.retention import Retention
from mfa_audit.store.session_writer import Recording
from mfa_audit.store.sessions import Session
from observed import fill, observe


def test_a_rounded_period_is_told(database: Path) -> None:
    """Where only hourly totals are left, the report names the whole hours that it counted and says why."""
    hour = (datetime.now(UTC) - timedelta(days=100)).replace(minute=0, second=0, microsecond=0)
    fill(database, [observe((hour + timedelta(minutes=minute)).timestamp()) for minute in (5, 30, 55)])
    recording = Recording(database, Session("run", 0.0), "NORMAL")
    retention = Retention()
    while retention.is_due():
        recording.delete_old(retention)
    recording.close()
    asked = Period(hour + timedelta(minutes=20), hour + timedelta(minutes=40))
    found = report_on([database], asked)
    assert Period(hour, hour + timedelta(hours=1), rounded=True) == found.period
    assert (3, True) == (found.totals.requests, "rounded" in found.notes)


def test_an_exact_period_is_not_told_as_rounded(database: Path) -> None:
    """Where single calls are still kept, the period is the one that was asked for."""
    now = datetime.now(UTC).replace(microsecond=0)
    fill(database, [observe((now - timedelta(minutes=minute)).timestamp()) for minute in (5, 30, 55)])
    asked = Period(now - timedelta(minutes=40), now - timedelta(minutes=20))
    found = report_on([database], asked)
    assert (asked, 1, False) == (found.period, found.totals.requests, "rounded" in found.notes)

"""The made-up partner of scripts/realistic_partner.py, as a database and as a report."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

from mfa_audit.reports.databases import report_on
from mfa_audit.reports.model import Report
from mfa_audit.reports.periods import read_period

_SCRIPT = Path(__file__).parents[1] / "scripts" / "realistic_partner.py"


def make_partner(database: Path) -> None:
    """Write the partner's database, as of now."""
    spec = importlib.util.spec_from_file_location("realistic_partner", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(database)


def report_on_partner(database: Path) -> Report:
    """The usual report on it."""
    return report_on([database], read_period("35d", None, datetime.now(UTC)))

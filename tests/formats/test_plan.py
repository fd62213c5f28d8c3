"""The reports of a realistic partner: what an admin, a manager and a pipeline read of 38 tools."""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from io import StringIO

import pytest
from defusedxml.ElementTree import fromstring

from mfa_audit.formats import render
from mfa_audit.reports.fixes import Group, by_group, remedies
from mfa_audit.reports.model import Report
from realistic import make_partner, report_on_partner


@pytest.fixture(scope="module")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report on the partner."""
    database = tmp_path_factory.mktemp("partner") / "audit.db"
    make_partner(database)
    return report_on_partner(database)


def test_partner_is_as_large_as_promised(partner: Report) -> None:
    """38 tools, 12 users, 3 tenants, 2 machines and a captured one, 60 days, Microsoft's lists, blind spots."""
    assert 38 == len(partner.tools)
    assert 12 == len({user.name for tool in partner.tools for user in tool.users})
    assert 3 == len({tenant for tool in partner.tools for tenant in tool.tenants})
    assert {"PC17", "SRV02", "LAPTOP3"} == {tool.machine for tool in partner.tools}
    assert 59 <= (partner.generated_at - min(source.started for source in partner.sources)).days <= 61
    assert partner.microsoft is not None
    assert 3 == len(partner.not_audited)
    assert all(rows for group, rows in by_group(partner.tools).items() if group is not Group.ACCEPTED)


def test_few_fixes_close_all_failing_tools(partner: Report) -> None:
    """Every failing tool is under exactly one fix, the fix that unblocks the most first."""
    failing = by_group(partner.tools)[Group.FIX_FIRST]
    found = remedies(failing)
    assert len(found) <= 5
    assert Counter(map(id, failing)) == Counter(id(row) for one in found for row in one.rows)
    assert [one.blocked for one in found] == sorted((one.blocked for one in found), reverse=True)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_first_screen_is_one_screen(partner: Report, width: int, height: int) -> None:
    """What is blocked now is in sight with its machine, account and last call, on a terminal of any size."""
    shown = render("table", partner, width=width, height=height).splitlines()
    assert len(shown) < height
    blocked = [row for row in shown if row.endswith("BLOCKED NOW")]
    assert 3 == len(blocked)
    for row, program, account in zip(
        blocked,
        ("nightly-sync.ps1 ", "cipp-mirror.js ", "invoice-export.py "),
        (" CONTOSO\\svc-pc ", " svc-sync ", " svc-billing "),
        strict=True,
    ):
        assert program in row
        assert account in row
        assert re.search(r"PC17|SRV02", row)
        assert re.search(r" \d+ [A-Z][a-z]{2} \d\d:\d\d ", row)


def test_csv_adds_up(partner: Report) -> None:
    """The calls of the rows in the period are the report's, and each row names its machine."""
    text = render("csv", partner).removeprefix("\ufeff")
    rows = [row for row in csv.DictReader(StringIO(text, newline="")) if row["in_period"] == "yes"]
    assert partner.totals.requests == sum(int(row["requests"]) for row in rows)
    assert all(row["machine"] for row in rows)
    assert {row["verdict"] for row in rows if row["fix"]} == {"non-compliant"}


def test_days_add_up(partner: Report) -> None:
    """What a day's calls were adds up to that day's calls, and refusals are on days since which they came."""
    for tool in partner.tools:
        assert [calls for _, calls in tool.days] == [sum(parts) for parts in tool.day_parts]
        assert tool.counts.blocked == sum(parts.refused for parts in tool.day_parts)
    nightly = next(tool for tool in partner.tools if tool.program == "nightly-sync.ps1")
    refused = [parts.refused > 0 for parts in nightly.day_parts]
    assert refused == sorted(refused)
    assert len(set(refused)) == 2


def test_junit_names_are_unique(partner: Report) -> None:
    """A test page never takes two tools for one."""
    names = [case.get("name") for case in fromstring(render("junit", partner).encode()).iter("testcase")]
    assert len(set(names)) == len(names)


def test_html_is_quick(partner: Report) -> None:
    """The page of the whole partner is a quarter of a megabyte, and made in a moment."""
    render("html", partner)  # templates are compiled once
    start = time.process_time()
    text = render("html", partner)
    assert time.process_time() - start < 2
    assert len(text.encode()) < 300_000

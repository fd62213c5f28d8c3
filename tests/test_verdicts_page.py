"""docs/verdicts.md says what each reason means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfa_audit.judging.reasons import AUTHENTICATION, REASONS, REQUIREMENTS, SECURE_APPLICATION_MODEL

PAGE = (Path(__file__).parents[1] / "docs" / "verdicts.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_a_section(reason: str) -> None:
    """Each reason has a heading of its exact id that says its verdict, how we know and what to do."""
    section = SECTIONS[reason]
    verdict = str(REASONS[reason].verdict).capitalize()
    assert section.strip().startswith(f"**{verdict}")
    assert "*How we know:*" in section
    assert "*What to do:*" in section


def test_no_section_without_a_reason() -> None:
    """A reason that is gone has no heading left."""
    assert set(REASONS) == set(SECTIONS)


def test_links_within_the_page_lead_somewhere() -> None:
    """Each link to a heading of the page has that heading."""
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


@pytest.mark.parametrize("link", [AUTHENTICATION, REQUIREMENTS, SECURE_APPLICATION_MODEL])
def test_the_pages_that_advice_names(link: str) -> None:
    """What advice links to is on the page too."""
    assert link in PAGE

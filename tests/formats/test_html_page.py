"""The HTML report, read as text and in a real browser."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reports_samples as samples
from browser import WHY_NOT, Browser
from mfa_audit.formats import html_page, render

ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("AXE_CORE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
VIEWS = [(1280, False), (1280, True), (360, False), (360, True)]
needs_chromium = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


class _Elements(HTMLParser):
    """Every element and attribute of a document, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with Browser() as running:
        yield running


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Writes a sample report to a file and gives its URL."""

    def save(name: str) -> str:
        path = tmp_path / f"{name}.html"
        path.write_text(render("html", samples.ALL[name]()), "utf-8")
        return path.as_uri()

    return save


@pytest.mark.parametrize("name", samples.ALL)
def test_file_is_self_contained(name: str) -> None:
    """No script, no event handler, no inline style, nothing loaded; ids are unique, links lead to Learn."""
    elements = _Elements(render("html", samples.ALL[name]()))
    names = [key for key, _ in elements.attributes]
    assert not {"script", "iframe", "img", "object", "form", "base"} & set(elements.tags)
    assert [key for key in names if key.startswith("on") or key in ("style", "src")] == []
    ids = [value or "" for key, value in elements.attributes if key == "id"]
    assert sorted(set(ids)) == sorted(filter(None, ids))
    links = [value or "" for key, value in elements.attributes if key == "href"]
    assert [link for link in links if not link.startswith(("https://learn.microsoft.com/", "data:,"))] == []


def test_policy_allows_its_own_style_only() -> None:
    """The hash in the policy is that of the style element, and nothing but it may be loaded."""
    text = render("html", samples.rich())
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'" in text


@pytest.mark.parametrize("text", samples.HOSTILE.values(), ids=samples.HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    """Harmless in HTML: it makes no element or attribute, holds no character that acts, and is cut."""
    plain = render("html", samples.report(samples.tool("x", program="x", user_agents=("x",)), notes=("x",)))
    hostile = render(
        "html", samples.report(samples.tool(text, program=text, user_agents=(text,)), notes=(text,))
    )
    assert sorted(_Elements(plain).tags) == sorted(_Elements(hostile).tags)
    assert hostile.replace("\n", "").isprintable()
    assert len(hostile) < len(plain) + 12_000


def test_answer_is_the_heading() -> None:
    """The one h1 is the answer with its counts."""
    text = render("html", samples.rich())
    heading = re.findall("<h1>(.*?)</h1>", text)
    assert ["NO - 2 of 6 tools call Partner Center without MFA. 1 is blocked now."] == [
        re.sub("<[^>]+>", "", found) for found in heading
    ]


def test_everything_about_a_tool_is_there() -> None:
    """Who, why, since when, last seen, calls per day, operations, the server's word, the fix and its link."""
    told = "".join(_Elements(render("html", samples.rich())).words)
    for part in (
        *("svc-pc@contoso.example", "72f988bf-86f1-41af-91ab-2d7cd011db47", "nightly-sync.ps1"),
        *("WindowsPowerShell/5.1.19041.4522", "1950a258-227b-4e31-a9cf-717495945fc2", "amr-without-mfa"),
        *(
            "Partner Center refused a call because MFA was missing",
            "First seen",
            "Last seen",
            "2 Nov: 58 calls",
        ),
        *("GET /v1/customers/*/subscriptions", "isMfaCompliant: false to 37 calls"),
        *("Use the Secure Application Model", "9f" * 32, "CONTOSO\\jo", "the machine slept"),
        "Token signatures were not checked.",
    ):
        assert part in told
    assert samples.SECURE_APP_MODEL in render("html", samples.rich())


def test_elements_keep_their_ids() -> None:
    """A tool's id depends on what the tool is, neither on its place nor on its numbers."""
    one, two = samples.tool("one"), samples.tool("two")
    before = html_page.render_main(samples.report(one, two))
    after = html_page.render_main(samples.report(two, replace(one, counts=one.counts._replace(calls=99))))
    assert set(re.findall(r'id="tool-\w+"', before)) == set(re.findall(r'id="tool-\w+"', after))
    assert before.startswith('<main id="report">')
    assert after.rstrip().endswith("</main>")


def test_chart_shows_days_without_calls() -> None:
    """Days between the first and the last with calls have a place in the chart, and the highest is named."""
    tool = samples.tool("x", days=(("2026-11-01", 2), ("2026-11-04", 8)))
    drawn = html_page.chart(tool, samples.NOW)
    assert drawn is not None
    assert [(bar.label, bar.requests, bar.height) for bar in drawn.bars] == [
        ("1 Nov", 2, 10.0),
        ("2 Nov", 0, 0.0),
        ("3 Nov", 0, 0.0),
        ("4 Nov", 8, 40.0),
    ]
    assert drawn.highest.label == "4 Nov"
    assert html_page.chart(samples.tool("x", days=()), samples.NOW) is None


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), VIEWS)
@pytest.mark.parametrize("name", samples.ALL)
def test_browser_shows_it_quietly(browser: Browser, saved: Any, name: str, width: int, dark: bool) -> None:
    """The answer is visible, nothing runs off the side, the console is silent, no request leaves."""
    page = browser.page(width, dark=dark)
    page.open(saved(name))
    assert page.evaluate("document.querySelector('h1').checkVisibility()")
    page.evaluate("document.querySelectorAll('details').forEach(row => row.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("file:", "data:,"))] == []
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == ("rgb(20, 22, 26)" if dark else "rgb(247, 246, 243)")


@needs_chromium
def test_rows_unfold_by_keyboard(browser: Browser, saved: Any) -> None:
    """Tab reaches a tool's details, and Enter unfolds them and folds them again."""
    page = browser.page()
    page.open(saved("rich"))
    for _ in range(3):
        page.press("Tab", 9)
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    is_open = "document.activeElement.parentElement.open"
    assert page.evaluate(is_open) is False
    page.press("Enter", 13, "\r")
    assert page.evaluate(is_open) is True
    assert page.evaluate("document.activeElement.parentElement.querySelector('table').checkVisibility()")
    page.press("Enter", 13, "\r")
    assert page.evaluate(is_open) is False


@needs_chromium
@pytest.mark.skipif(
    not AXE.exists(), reason="no axe-core (npm install --no-save axe-core@4, or AXE_CORE=axe.min.js)"
)
@pytest.mark.parametrize(("width", "dark"), VIEWS)
@pytest.mark.parametrize("name", ["empty", "rich", "hostile"])
def test_axe_finds_nothing(browser: Browser, saved: Any, name: str, width: int, dark: bool) -> None:
    """axe-core, with everything unfolded, finds no violation of WCAG A and AA nor of its best practices."""
    page = browser.page(width, dark=dark)
    page.open(saved(name))
    page.evaluate("document.querySelectorAll('details').forEach(row => row.open = true)")
    page.evaluate(AXE.read_text("utf-8") + ";0")
    found = page.evaluate(
        "axe.run(document).then(result => result.violations.map(v => v.id + ': ' + v.nodes[0].html))"
    )
    assert found == []


@needs_chromium
@pytest.mark.parametrize(("paper", "width", "height"), [("A4", 8.27, 11.69), ("Letter", 8.5, 11)])
def test_prints_unfolded(browser: Browser, saved: Any, paper: str, width: float, height: float) -> None:
    """On paper the folded details are there, and nothing is wider than the page."""
    page = browser.page(int((width - 1.18) * 96))
    page.open(saved("rich"))
    page.call("Emulation.setEmulatedMedia", media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('details > :not(summary)')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) == 9
    assert min(heights) > 100
    assert page.evaluate("getComputedStyle(document.querySelector('.tool summary')).display") == "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= int((width - 1.18) * 96)
    pdf = base64.b64decode(page.call("Page.printToPDF", paperWidth=width, paperHeight=height)["data"])
    assert pdf.startswith(b"%PDF-")

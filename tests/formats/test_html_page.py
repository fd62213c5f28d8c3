"""The HTML report, read as text and in a real browser."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reports_samples as samples
from browser import WHY_NOT, Browser, Page
from mfa_audit.formats import html_page, render
from mfa_audit.reports.model import DayParts

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
    """One script, no event handler, no inline style, nothing loaded; ids are unique, links lead to Learn or stay."""
    elements = _Elements(render("html", samples.ALL[name]()))
    names = [key for key, _ in elements.attributes]
    assert elements.tags.count("script") == 1
    assert not {"iframe", "img", "object", "form", "base"} & set(elements.tags)
    assert [key for key in names if key.startswith("on") or key in ("style", "src")] == []
    ids = [value or "" for key, value in elements.attributes if key == "id"]
    assert sorted(set(ids)) == sorted(filter(None, ids))
    links = [value or "" for key, value in elements.attributes if key == "href"]
    elsewhere = [link for link in links if not link.startswith("#")]
    assert [
        link for link in elsewhere if not link.startswith(("https://learn.microsoft.com/", "data:,"))
    ] == []
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []


def test_policy_allows_its_own_style_and_script_only() -> None:
    """The hashes in the policy are those of the style and the script, and nothing but them may be loaded."""
    text = render("html", samples.rich())
    hashes = []
    for element in ("style", "script"):
        found = re.search(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert found
        hashes.append(base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode())
    style, script = hashes
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    assert f"default-src 'none'; style-src 'sha256-{style}'; {rest}; script-src 'sha256-{script}'\"" in text


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
    assert [(day.label, day.requests, [tuple(bar) for bar in day.bars]) for day in drawn.days] == [
        ("1 Nov", 2, [("without", 30.0, 10.0)]),
        ("2 Nov", 0, []),
        ("3 Nov", 0, []),
        ("4 Nov", 8, [("without", 0.0, 40.0)]),
    ]
    assert drawn.highest.label == "4 Nov"
    assert html_page.chart(samples.tool("x", days=()), samples.NOW) is None


def test_chart_stacks_what_the_calls_were() -> None:
    """With MFA below, then what nobody can tell, without and refused; each is told in words, and none is made up."""
    parts = (DayParts(6, 2, 0, 0), DayParts(0, 1, 2, 1))
    tool = samples.tool("x", days=(("2026-11-01", 8), ("2026-11-02", 4)), day_parts=parts)
    drawn = html_page.chart(tool, samples.NOW)
    assert drawn is not None
    assert [[bar.kind for bar in day.bars] for day in drawn.days] == [
        ["with", "without"],
        ["unknown", "without", "refused"],
    ]
    assert "2 Nov: 4 calls (1 cannot be told, 1 without MFA, 2 refused)" == drawn.days[1].told
    assert [("with", 6), ("unknown", 1), ("without", 3), ("refused", 2)] == [
        (kind, calls) for kind, _, calls in drawn.legend
    ]
    for day in drawn.days:
        assert 40 * day.requests / 8 == pytest.approx(sum(bar.height for bar in day.bars))


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
    """Tab passes finding, filtering and sorting, reaches a tool, and Enter unfolds all about it and folds it again."""
    page = browser.page()
    page.open(saved("rich"))
    passed = []
    for _ in range(20):
        page.press("Tab", 9)
        passed.append(page.evaluate("document.activeElement.tagName"))
        if passed[-1] == "SUMMARY":
            break
    assert ["INPUT", "SELECT", *["BUTTON"] * 7, "SUMMARY"] == passed
    shown = "document.activeElement.closest('tbody').querySelector('.more').checkVisibility()"
    assert page.evaluate(shown) is False
    page.press("Enter", 13, "\r")
    assert page.evaluate(shown) is True
    page.press("Enter", 13, "\r")
    assert page.evaluate(shown) is False


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


NAMES = (
    "[...document.querySelectorAll('tbody.tool')].filter(row => row.checkVisibility())"
    ".map(row => row.querySelector('summary').textContent)"
)


def _open_without_scripts(page: Page, url: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.call("Page.navigate", url=url)
    page.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")


def _type(page: Page, text: str) -> None:
    page.evaluate("document.getElementById('find').focus()")
    page.call("Input.insertText", text=text)


@needs_chromium
def test_finds_filters_and_sorts(browser: Browser, saved: Any) -> None:
    """Words find tools by anything told of them, groups choose, headers sort, and the address keeps all of it."""
    page = browser.page()
    page.open(saved("rich"))
    every = page.evaluate(NAMES)
    assert ["nightly-sync.ps1", "Partner Center PowerShell", "Contoso Billing", "Quarterly export"] == every
    _type(page, "tech3@contoso.example")
    assert ["Partner Center PowerShell"] == page.evaluate(NAMES)
    assert "1 of 7" == page.evaluate("document.getElementById('found').textContent")
    page.open("about:blank")
    page.open(saved("rich") + "#show=nothing-to-do&sort=-1")
    assert ["renew-licenses.py", "Inventory", "CIPP"] == page.evaluate(NAMES)
    page.evaluate("document.querySelectorAll('thead button')[5].click()")
    assert ["Inventory", "renew-licenses.py", "CIPP"] == page.evaluate(NAMES)
    assert "ascending" == page.evaluate("document.querySelectorAll('#table thead th')[5].ariaSort")
    assert page.evaluate("location.hash") == "#show=nothing-to-do&sort=6"
    assert page.complaints() == []


@needs_chromium
@pytest.mark.parametrize("scripts", [True, False])
def test_link_to_a_tool_unfolds_it(browser: Browser, saved: Any, scripts: bool) -> None:
    """A permalink shows its tool with everything about it, also in the folded group, and also without scripts."""
    page = browser.page()
    url = saved("rich")
    [aim] = re.findall(
        r'id="(tool-\w+)" data-group="nothing-to-do">\s*<tr>\s*<th scope="row"><details id="[\w-]+"><summary><bdi>CIPP',
        render("html", samples.rich()),
    )
    (page.open if scripts else partial(_open_without_scripts, page))(f"{url}#{aim}")
    assert page.evaluate(f"document.querySelector('#{aim} .more').checkVisibility()")


@needs_chromium
def test_all_is_there_without_scripts(browser: Browser, saved: Any) -> None:
    """Without scripts no control is dead: finding and sorting are not there, the tools and their details are."""
    page = browser.page()
    _open_without_scripts(page, saved("rich"))
    assert 4 == len(page.evaluate(NAMES))
    assert page.evaluate("document.getElementById('find').checkVisibility()") is False
    assert 0 == page.evaluate("document.querySelectorAll('button').length")
    page.evaluate("document.querySelectorAll('details').forEach(row => row.open = true)")
    assert 7 == len(page.evaluate(NAMES))


@needs_chromium
@pytest.mark.parametrize(("paper", "width", "height"), [("A4", 8.27, 11.69), ("Letter", 8.5, 11)])
def test_prints_the_plan_and_the_table(
    browser: Browser, saved: Any, paper: str, width: float, height: float
) -> None:
    """On paper all tools are there, folded or not, with the details of those that were opened; nothing is cut off."""
    page = browser.page(int((width - 1.18) * 96))
    page.open(saved("rich"))
    page.evaluate("document.querySelector('tbody.tool details').open = true")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert 7 == len(page.evaluate(NAMES))
    shown = "[...document.querySelectorAll('tr.more')].filter(row => row.checkVisibility()).length"
    assert 1 == page.evaluate(shown)
    assert page.evaluate("document.getElementById('filter').checkVisibility()") is False
    assert page.evaluate("document.documentElement.scrollWidth") <= int((width - 1.18) * 96)
    pdf = base64.b64decode(page.call("Page.printToPDF", paperWidth=width, paperHeight=height)["data"])
    assert pdf.startswith(b"%PDF-")


def test_many_users_stay_small() -> None:
    """3,000 users take less than a megabyte."""
    people = tuple(samples.user(f"technician{number:04}@contoso.example") for number in range(3000))
    text = render("html", samples.report(samples.tool("x", users=people)))
    assert "technician2999@contoso.example" in text
    assert len(text.encode()) < 1_000_000

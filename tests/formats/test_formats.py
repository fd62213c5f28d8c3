"""All formats over all reports, and what CSV, Markdown and JUnit XML promise."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

import reports_samples as samples
from mfa_audit.formats import FORMATS, answer_words, recording_words, render, words
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.reports.fixes import is_blocked
from mfa_audit.reports.model import Microsoft, MicrosoftApplication, Recording

APP = "1950a258-227b-4e31-a9cf-717495945fc2"
FORMULA = re.compile(r"[\s]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


@pytest.mark.parametrize("report", samples.ALL)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_renders_every_report(name: str, report: str) -> None:
    """Text that encodes, ends in a newline, is the same each time, and says nothing that Python says."""
    value = samples.ALL[report]()
    text = render(name, value)
    assert text.endswith("\n")
    assert text == render(name, value)
    text.encode("utf-8")
    for slip in (
        "None",
        "Verdict.",
        "Answer.",
        "datetime.",
        "<bound",
        "Undefined",
        "1 calls",
        "1 tools",
        "1 files",
    ):
        assert not re.search(rf"(?<![\w,]){re.escape(slip)}", text), slip


@pytest.mark.parametrize("name", FORMATS)
def test_no_control_character_reaches_any_output(name: str) -> None:
    """Beyond newlines and the CSV's byte order mark, every character of every format shows itself."""
    text = render(name, samples.hostile()).removeprefix("\ufeff").replace("\r\n", "\n")
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["table", "html", "markdown"])
def test_a_rounded_period_is_told_in_words(name: str) -> None:
    """Who reads a report of whole hours is told that it is one, and why."""
    text = render(name, replace(samples.rich(), notes=("rounded",)))
    assert "rounded to whole hours" in " ".join(text.split())


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_no_format_for_people_repeats_64_kb(name: str) -> None:
    """A text as long as an attacker likes takes no more room than a long sentence; a cell has some more."""
    assert "A" * (2001 if name == "csv" else 401) not in render(name, samples.hostile())


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("json", "csv")])
def test_every_answer_is_told_with_its_limits(name: str) -> None:
    """The answer's words and the caveat about signatures are in every format for people."""
    for sample, told in (("rich", "NO"), ("clean", "YES, for what was seen"), ("empty", "CANNOT TELL YET")):
        text = render(name, samples.ALL[sample]())
        assert told in text
        assert words.UNSIGNED in text


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_title(reason: str) -> None:
    """A title is a phrase for people: not the id, with a capital and without a full stop."""
    title = words.title_of(reason)
    assert title not in {reason, reason.replace("-", " ").capitalize()}
    assert title[0].isupper() or title.startswith("mfa-audit")
    assert not title.endswith(".")


def test_unknown_reason_is_still_readable() -> None:
    """A reason that a newer version stored is shown without its hyphens."""
    assert words.title_of("token-from-the-moon") == "Token from the moon"


@pytest.mark.parametrize(
    ("told", "tools", "answer"),
    [
        ("2 of 2 tools call Partner Center without MFA.", "nn", Answer.NO),
        ("1 of 3 tools calls Partner Center without MFA. 1 is blocked now.", "bcu", Answer.NO),
        ("3 of 3 tools call Partner Center without MFA. 2 are blocked now.", "bbn", Answer.NO),
        ("1 of 2 tools cannot be told. None was seen without MFA.", "uc", Answer.UNCLEAR),
        ("2 tools call Partner Center with MFA.", "cc", Answer.YES),
        ("1 tool calls Partner Center with MFA. 1 is app-only: the rule does not apply.", "ce", Answer.YES),
        ("2 tools use app-only tokens, to which the rule does not apply.", "ee", Answer.YES),
        ("1 tool calls Partner Center with MFA. But not everything could be seen.", "c", Answer.UNCLEAR),
        ("no call to Partner Center with a token was seen.", "", Answer.UNCLEAR),
    ],
)
def test_answer_counts_in_one_sentence(told: str, tools: str, answer: Answer) -> None:
    """Singular and plural are right for every mix of tools."""
    make: dict[str, Any] = {
        "n": lambda: samples.tool("n"),
        "b": lambda: samples.tool("b", blocked=2),
        "u": lambda: samples.tool("u", verdict=Verdict.UNDETERMINED),
        "c": lambda: samples.fine("c"),
        "e": lambda: samples.fine("e", Verdict.EXEMPT),
    }
    assert told == answer_words.answer(samples.report(*(make[kind]() for kind in tools), answer=answer))


@pytest.mark.parametrize(
    ("told", "kinds", "seconds"),
    [
        ("Recorded 61 of 168 hours on PC17. 4 calls.", ["proxy"], 61 * 3600),
        ("Recorded 0 of 168 hours on PC17. 4 calls.", ["addon", "run"], 0),
        ("Recorded 2 single runs on PC17. 4 calls.", ["run", "run"], 0),
        ("2 files imported on PC17. 4 calls.", ["import", "import"], 0),
        ("Recorded 61 of 168 hours on PC17. 1 file imported. 4 calls.", ["proxy", "import"], 61 * 3600),
        ("4 calls.", [], 0),
    ],
)
def test_period_says_what_was_recorded(told: str, kinds: list[str], seconds: int) -> None:
    """Hours for what records on, single runs for what does not, files for what was imported."""
    report = samples.report(
        samples.fine("x", requests=4),
        recording=Recording(seconds, 168 * 3600, 0, ()),
        sources=tuple(samples.source(kind=kind) for kind in kinds),
    )
    assert told == recording_words.period(report).split(". ", 1)[1]


def test_mended_tool_is_not_blocked_now() -> None:
    """Refusals from before a tool was mended do not make it blocked."""
    assert not is_blocked(samples.fine("c", blocked=9))
    assert is_blocked(samples.tool("n", blocked=9))


def test_rendering_loads_only_what_it_needs() -> None:
    """In a fresh interpreter no format loads mitmproxy or SQLite, and only the table loads rich."""
    code = (
        "import sys; import reports_samples as s; from mfa_audit.formats import FORMATS, render\n"
        "for name in ('json', 'csv', 'markdown', 'junit', 'html'): render(name, s.rich())\n"
        "print(*(m for m in ('mitmproxy', 'sqlite3', 'sqlite_utils', 'rich') if m in sys.modules))\n"
        "render('table', s.rich())\n"
        "print(*(m for m in ('mitmproxy', 'sqlite3', 'sqlite_utils', 'rich') if m in sys.modules))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\nrich\n"


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"), newline="")))


def test_csv_has_a_row_for_each_user() -> None:
    """A row per tool and user, one for a tool without users, and those gone quiet marked as such."""
    rows = _rows(render("csv", samples.rich()))
    assert [("svc-pc@contoso.example", "37"), ("tech1@contoso.example", "0")] == [
        (row["user"], row["tool_blocked"]) for row in rows[:2]
    ]
    assert [(row["tool"], row["user"]) for row in rows if row["tool"] == "Inventory"] == [("Inventory", "")]
    assert [row["tool"] for row in rows if row["in_period"] == "no"] == ["Quarterly export"]
    assert rows[0]["last_seen_utc"] == "2026-11-07 02:00:00"


def test_csv_is_what_excel_wants() -> None:
    """A byte order mark, CRLF between rows, every cell quoted."""
    text = render("csv", samples.tiny())
    assert text.startswith('\ufeff"tool","program"')
    assert re.sub(r"\r\n", "", text).count("\n") == 0
    assert text.count("\r\n") == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_computes_nothing(separator: str) -> None:
    """Harmless in a spreadsheet: no cell begins a formula, whichever separator the spreadsheet splits at."""
    text = render("csv", samples.hostile()).removeprefix("\ufeff")
    for row in csv.reader(StringIO(text, newline=""), delimiter=separator):
        assert [cell for cell in row if FORMULA.match(cell)] == []
        assert max(map(len, row)) < 32_767


@pytest.mark.parametrize("text", samples.HOSTILE.values(), ids=samples.HOSTILE)
def test_markdown_keeps_it_in_code_spans(text: str) -> None:
    """Harmless in Markdown: without the code spans none of it is left, and it begins no line."""
    plain, hostile = (
        render("markdown", samples.report(samples.tool(name, program=name), notes=(name,), machine=name))
        for name in ("[[x", text)
    )
    assert hostile.count("\n") == plain.count("\n")
    spans = re.compile(r"`[^`\n]+`")
    assert spans.sub("", plain) == spans.sub("", hostile)


def test_markdown_links_to_the_fix() -> None:
    """The fix comes with its link, ready to click."""
    assert f"- Use the Secure Application Model.\n- <{samples.SECURE_APP_MODEL}>\n" in render(
        "markdown", samples.rich()
    )


def _cases(text: str) -> Iterator[tuple[str, list[str]]]:
    for case in fromstring(text.encode()).iter("testcase"):
        yield (
            str(case.get("name")),
            [part.tag for part in case if part.tag not in ("system-out", "properties")],
        )


def test_junit_has_a_case_for_each_tool() -> None:
    """Without MFA fails, cannot tell is an error, the rest passes; what was not seen is a case of its own."""
    assert list(_cases(render("junit", samples.rich()))) == [
        (f"nightly-sync.ps1 on PC17 [{APP}]", ["failure"]),
        ("Partner Center PowerShell on PC17 [04b07795-8ddb-461a-bbee-02f9e1bf7b46]", ["failure"]),
        (f"Contoso Billing on PC17 [{APP}]", ["error"]),
        (f"CIPP on PC17 [{APP}]", []),
        (f"renew-licenses.py on PC17 [{APP}]", []),
        (f"Inventory on PC17 [{APP}]", []),
        (f"Quarterly export on PC17 [{APP}]", ["error"]),
        ("Calls were seen and could be read", ["error"]),
    ]
    root = fromstring(render("junit", samples.rich()).encode())
    assert {"tests": "8", "failures": "2", "errors": "3"} == {
        key: root.get(key) for key in ("tests", "failures", "errors")
    }


def test_junit_is_red_when_nothing_was_seen() -> None:
    """An empty report is no green suite; a clean one is, also with a recorder that was only stopped."""
    assert list(_cases(render("junit", samples.empty()))) == [
        ("Calls were seen and could be read", ["error"])
    ]
    stopped = samples.rich().recording.gaps[:1]
    clean = replace(samples.clean(), recording=Recording(1, 2, 0, stopped))
    assert list(_cases(render("junit", clean))) == [
        (f"CIPP on PC17 [{APP}]", []),
        (f"Inventory on PC17 [{APP}]", []),
    ]


def test_junit_tells_namesakes_apart() -> None:
    """Namesakes, which a test page would take for one, differ by app id, by account, and at last by a number."""
    rows = (("1", None), ("2", "ann"), ("2", "joe"), ("2", "joe"))
    tools = (samples.tool("x", app_id=app, account=account) for app, account in rows)
    names = [name for name, _ in _cases(render("junit", samples.report(*tools)))]
    assert names == [
        "x on PC17 [1]",
        "x on PC17 [2], ann",
        "x on PC17 [2], joe, no. 1",
        "x on PC17 [2], joe, no. 2",
    ]


def test_junit_names_stay_when_the_verdict_changes() -> None:
    """A test page follows a tool from run to run: numbers, users and verdicts are no part of its name."""
    before = samples.report(samples.tool("x", program="x.ps1"))
    after = samples.report(samples.fine("x", program="x.ps1", requests=7), answer=Answer.YES)
    first, second = ([name for name, _ in _cases(render("junit", one))] for one in (before, after))
    assert first == second


def test_junit_counts_nothing_twice() -> None:
    """An application of Microsoft's list is a case of its own only where no row of it fails."""
    row = samples.tool("x", app_id="1")
    there = [MicrosoftApplication(app, f"App {app}", 5, 0, 5, 0, True, (), samples.NOW) for app in ("1", "2")]
    report = samples.report(row, microsoft=Microsoft(0, 0, tuple(there), (), ()))
    assert [("x on PC17 [1]", ["failure"]), ("App 2 (seen by Microsoft) [2]", ["failure"])] == list(
        _cases(render("junit", report))
    )
    assert "Microsoft lists 1 more application that no recorder of yours saw." in answer_words.answer(report)


def test_advice_is_told_once() -> None:
    """What to do is said once for all tools that it fixes, in every format for people."""
    names = ("alpha.ps1", "beta.ps1", "gamma.ps1")
    report = samples.report(*(samples.tool("PowerShell", program=name) for name in names))
    for form in ("table", "markdown", "html"):
        text = " ".join(render(form, report).split())
        assert text.count("Use the Secure Application Model") == 1, form
        assert all(name in text for name in names)


def test_csv_has_advice_where_it_fails_only() -> None:
    """Filtered by its fix the CSV is the plan: users and tools that do not fail have none."""
    people = (
        samples.user("bad@contoso.example"),
        samples.user("good@contoso.example", verdict=Verdict.COMPLIANT, reasons=("mfa",)),
    )
    report = samples.report(
        samples.tool("x", users=people),
        samples.tool("y", verdict=Verdict.UNDETERMINED, reasons=("opaque",), users=()),
        samples.fine("z"),
    )
    rows = _rows(render("csv", report))
    assert ["bad@contoso.example"] == [row["user"] for row in rows if row["fix"]]
    assert ["Fix first", "Fix first", "Cannot tell", "Nothing to do"] == [row["todo"] for row in rows]


@pytest.mark.parametrize("text", samples.HOSTILE.values(), ids=samples.HOSTILE)
def test_junit_is_wellformed_whatever_comes(text: str) -> None:
    """Harmless in XML: it parses, and the text made no element."""
    plain, hostile = (
        fromstring(render("junit", samples.report(samples.tool(name), notes=(name,))).encode())
        for name in ("x", text)
    )
    assert [part.tag for part in plain.iter()] == [part.tag for part in hostile.iter()]


def test_templates_have_no_way_around_escaping() -> None:
    """The only markup that templates mark as safe is a constant of their own."""
    for template in (Path(words.__file__).parent / "templates").iterdir():
        source = template.read_text("utf-8")
        assert "autoescape" not in source
        for expression in re.findall(r"\{\{([^}]*)\|\s*safe", source):
            assert re.match(r" ' class=\"\w+\"' $", expression), expression

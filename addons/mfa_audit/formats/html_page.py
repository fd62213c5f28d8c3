"""The report as one HTML file: no script, no network, nothing outside the file.

Every expression in the templates comes out as one harmless line (`printable.line`) and escaped, because the
environment does both to all of them: no template can forget it. The Content-Security-Policy allows this
file's own style, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mfa_audit import __version__
from mfa_audit.formats import cause_words, decision_words, words
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, date_name, duration, line, moment, utc, zone
from mfa_audit.reports.model import Report, ToolRow

# A User-Agent longer than this tells nobody anything more.
_LIMIT: Final = 400
_MOST_DAYS: Final = 90


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
    """The report as a whole HTML document, the same whatever `width` and `colour` are."""
    environment = _environment()
    page = environment.get_template("report.html").render(**_names(report), policy=_policy())
    return f"{page}\n"


@dataclass(frozen=True, slots=True)
class Live:
    """The page while the proxy runs: `main` is its `<main>` element, with which it renews itself every few seconds.

    `policy` is the Content-Security-Policy that the document must be sent with.
    """

    document: str
    main: str
    policy: str


def render_live(report: Report) -> Live:
    """The report for a browser that can ask for it again; the same text for a whole minute in which nothing comes."""
    report = replace(report, generated_at=report.generated_at.replace(second=0, microsecond=0))
    script = _environment().get_template("live.js").render()
    policy = f"{_policy()}; script-src '{_hash(script)}'; connect-src 'self'; frame-ancestors 'none'"
    document = _environment().get_template("live.html").render(**_names(report))
    return Live(f"{document}\n", render_main(report), policy)


def render_main(report: Report) -> str:
    """The `<main>` element alone, for a page that renews it: a tool's element keeps its id."""
    return _environment().get_template("main.html").render(**_names(report))


def _policy() -> Markup:
    """This file's own style, by its hash, and nothing else. Markup, since it is our own text with quotes in it."""
    style = _hash(_environment().get_template("report.css").render())
    return Markup(  # noqa: S704 - nothing in it comes from outside
        f"default-src 'none'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mfa_audit.formats"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, duration=duration, utc=utc, zone=zone)
    environment.tests["link"] = lambda link: link.startswith("https://")
    environment.globals.update(
        words=words,
        cause_words=cause_words,
        decision_words=decision_words,
        Verdict=Verdict,
        version=__version__,
    )
    return environment


def _harmless(value: Any) -> Any:
    """What Jinja writes for an expression: markup of our own as it is, any other text as one line."""
    return line(value, _LIMIT) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _names(report: Report) -> dict[str, Any]:
    """What the templates know."""
    now = report.generated_at
    ids = _ids((*report.tools, *report.quiet, *report.retired))
    return {
        "report": report,
        "answer_class": {Answer.YES: "good", Answer.NO: "bad", Answer.UNCLEAR: "unsure"}[report.answer],
        "verdict_class": {
            Verdict.COMPLIANT: "good",
            Verdict.EXEMPT: "good",
            Verdict.NON_COMPLIANT: "bad",
            Verdict.UNDETERMINED: "unsure",
        },
        "id_of": lambda tool: ids[id(tool)],
        "chart_of": lambda tool: chart(tool, now),
        "moment": lambda when: moment(when, now),
        "date_name": lambda when: date_name(date.fromisoformat(when), now),
    }


def _ids(tools: Sequence[ToolRow]) -> dict[int, str]:
    """An element id for each row: from what the tool is, so that it survives a new order and new numbers."""
    seen: Counter[str] = Counter()
    ids = {}
    for tool in tools:
        parts = (tool.name, tool.app_id, tool.client, tool.application, tool.program)
        identity = json.dumps((*parts, tool.machine, tool.account, tool.started_by, tool.capture))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        seen[digest] += 1
        ids[id(tool)] = f"tool-{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else "")
    return ids


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: what to show of it, and its height of 40."""

    label: str
    requests: int
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Calls per day from the first day with calls to the last, days without calls included."""

    bars: tuple[Bar, ...]
    highest: Bar


def chart(tool: ToolRow, now: datetime) -> Chart | None:
    """The chart of a tool's last 90 days with calls; None where there are fewer than two days to compare."""
    requests = {date.fromisoformat(when): number for when, number in tool.days}
    if not requests:
        return None
    last = max(requests)
    first = max(min(requests), last - timedelta(days=_MOST_DAYS - 1))
    span = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    most = max(requests.get(when, 0) for when in span)
    bars = tuple(
        Bar(date_name(when, now), requests.get(when, 0), round(40 * requests.get(when, 0) / most, 1))
        for when in span
    )
    return Chart(bars, max(bars, key=lambda bar: bar.requests)) if len(bars) > 1 else None

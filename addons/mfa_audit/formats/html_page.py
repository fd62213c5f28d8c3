"""The report as one HTML file: no network, nothing outside the file, and one script that nothing needs.

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
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mfa_audit import __version__
from mfa_audit.formats import (
    answer_words,
    cause_words,
    decision_words,
    fix_words,
    help_words,
    microsoft_words,
    recording_words,
    words,
)
from mfa_audit.judging.reasons import Verdict
from mfa_audit.judging.verdicts import Answer
from mfa_audit.printable import count, date_name, duration, line, moment, utc, zone
from mfa_audit.reports.fixes import Group, by_group, is_blocked, remedies
from mfa_audit.reports.model import DayParts, Report, ToolRow, UserRow

_WORDS: Final = (
    answer_words,
    cause_words,
    decision_words,
    fix_words,
    help_words,
    microsoft_words,
    recording_words,
    words,
)
# From so many failing tools on, what to do is told once for all of them.
_CARDS_FROM: Final = 3
# A User-Agent longer than this tells nobody anything more.
_LIMIT: Final = 400
_MOST_DAYS: Final = 90


def render(report: Report) -> str:
    """The report as a whole HTML document."""
    environment = _environment()
    script = environment.get_template("table.js").render()
    policy = Markup(f"{_policy()}; script-src '{_hash(script)}'")  # noqa: S704 - nothing in it comes from outside
    page = environment.get_template("report.html").render(**_names(report), policy=policy)
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
    script = "".join(_environment().get_template(name).render() for name in ("table.js", "live.js"))
    policy = f"{_policy()}; script-src '{_hash(script)}'; connect-src 'self'; frame-ancestors 'none'"
    document = _environment().get_template("live.html").render(**_names(report, folds=False))
    return Live(f"{document}\n", render_main(report), policy)


def render_main(report: Report) -> str:
    """The `<main>` element alone, for a page that renews it: a tool's element keeps its id."""
    return _environment().get_template("main.html").render(**_names(report, folds=False))


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
        {module.__name__.rpartition(".")[2]: module for module in _WORDS},
        Verdict=Verdict,
        Group=Group,
        is_blocked=is_blocked,
        version=__version__,
    )
    return environment


def _harmless(value: Any) -> Any:
    """What Jinja writes for an expression: markup of our own as it is, any other text as one line."""
    return line(value, _LIMIT) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _names(report: Report, *, folds: bool = True) -> dict[str, Any]:
    """What the templates know. `folds`: tools with nothing to do are folded away."""
    now = report.generated_at
    every = (*report.tools, *report.quiet, *report.retired)
    ids = _ids(every)
    groups = by_group(report.tools)
    failing = groups[Group.FIX_FIRST]
    found = remedies(failing) if len(failing) >= _CARDS_FROM else ()
    fixes = {id(row): one.number for one in found for row in one.rows}
    return {
        "report": report,
        "groups": list(groups.items()),
        "cards": found,
        "folds": folds,
        "fix_of": lambda tool: fixes.get(id(tool)),
        "name_of": words.row_names(every),
        "tenants_of": _by_tenant,
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


def _by_tenant(tool: ToolRow) -> list[tuple[str, list[UserRow]]]:
    """The tool's users, those of one tenant together."""
    found: dict[str, list[UserRow]] = {}
    for user in tool.users:
        found.setdefault(user.tenant or "", []).append(user)
    return list(found.items())


class Bar(NamedTuple):
    """A part of a day's calls, drawn from `top` downwards in a chart of 40."""

    kind: str
    top: float
    height: float


class Day(NamedTuple):
    """One day: what to say of it, and its parts as bars from `left` on, one above the other."""

    label: str
    told: str
    requests: int
    left: int
    bars: tuple[Bar, ...]


class Chart(NamedTuple):
    """Calls per day from the first day with calls to the last, days without calls included.

    `legend`: class, name and calls of each kind that there is.
    """

    days: tuple[Day, ...]
    highest: Day
    legend: tuple[tuple[str, str, int], ...]


# What calls are drawn as, from the bottom up: class in report.css, name, field of DayParts.
_KINDS: Final = (
    ("with", "with MFA", "with_mfa"),
    ("unknown", "cannot be told", "unknown"),
    ("without", "without MFA", "without_mfa"),
    ("refused", "refused", "refused"),
)
_PARTS: Final = {
    Verdict.COMPLIANT: "with_mfa",
    Verdict.EXEMPT: "with_mfa",
    Verdict.NON_COMPLIANT: "without_mfa",
    Verdict.UNDETERMINED: "unknown",
}


def chart(tool: ToolRow, now: datetime) -> Chart | None:
    """The chart of a tool's last 90 days with calls; None where there are fewer than two days to compare."""
    if not tool.days:
        return None
    known = tool.day_parts or [DayParts(**{_PARTS[tool.verdict]: calls}) for _, calls in tool.days]
    parts = {date.fromisoformat(when): one for (when, _), one in zip(tool.days, known, strict=True)}
    last = max(parts)
    first = max(min(parts), last - timedelta(days=_MOST_DAYS - 1))
    span = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    if len(span) < 2:
        return None
    most = max(sum(parts.get(when, DayParts())) for when in span)
    days = tuple(_day(place, when, parts.get(when, DayParts()), most, now) for place, when in enumerate(span))
    legend = (
        (kind, name, sum(getattr(one, field) for when, one in parts.items() if when >= first))
        for kind, name, field in _KINDS
    )
    return Chart(days, max(days, key=lambda day: day.requests), tuple(entry for entry in legend if entry[2]))


def _day(place: int, when: date, parts: DayParts, most: int, now: datetime) -> Day:
    bars, below = [], 0
    for kind, _, field in _KINDS:
        calls = getattr(parts, field)
        if calls:
            top = round(40 - 40 * (below + calls) / most, 1)
            bars.append(Bar(kind, top, round(40 - 40 * below / most - top, 1)))
            below += calls
    told = f"{date_name(when, now)}: {count(below, 'call')}"
    if len(bars) > 1:
        each = (f"{getattr(parts, field):,} {name}" for _, name, field in _KINDS if getattr(parts, field))
        told += f" ({', '.join(each)})"
    return Day(date_name(when, now), told, below, place * 10 + 1, tuple(bars))

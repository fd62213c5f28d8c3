"""What people decided about tools, in a TOML file: names, owners, what is accepted, fixed, retired or expected.

    [[tool]]
    match = { program = "nightly-sync.ps1", machine = "PC17" }
    owner = "Dana"
    accept = { until = 2026-12-31, reason = "the vendor delivers in December" }

A decision never turns a failing tool into a passing one: an accepted tool still fails, a `fixed` one needs a good token
since then and no bad call, and `retired` ends with the next call.
"""

from __future__ import annotations

import fnmatch
import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any, Final, NoReturn, Protocol

from mfa_audit.errors import AuditError
from mfa_audit.printable import line


class Rhythm(StrEnum):
    """How often a tool is expected to call."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


# Days without a call after which an expected tool is missed: a weekend, a week and a day of grace, the longest month.
PAUSES: Final[Mapping[Rhythm, int]] = {Rhythm.DAILY: 3, Rhythm.WEEKLY: 8, Rhythm.MONTHLY: 33}

MATCH_KEYS: Final = ("tool", "program", "machine", "app_id", "user")
SAYS: Final = ("name", "owner", "ticket", "due", "accept", "fixed", "retired", "expect")
_KEYS: Final = ("match", *SAYS, "decided_by", "decided_at")
_LONGEST: Final = 200


class Row(Protocol):
    """What an entry is matched with: a row of the report, by its name without the decision's."""

    @property
    def name(self) -> str: ...
    @property
    def program(self) -> str | None: ...
    @property
    def machine(self) -> str | None: ...
    @property
    def app_ids(self) -> Sequence[str]: ...
    @property
    def people(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """A tool that may fail until the end of that day (local time of the reader), and why."""

    until: date
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry. `match` holds at least one of MATCH_KEYS; `*` and `?` stand for any text in its values.

    Dates are calendar days in the reader's zone; `fixed` and `retired` begin with the day.
    """

    match: Mapping[str, str]
    number: int
    name: str | None = None
    owner: str | None = None
    ticket: str | None = None
    due: date | None = None
    accept: Accepted | None = None
    fixed: date | None = None
    retired: date | None = None
    expect: Rhythm | None = None
    decided_by: str | None = None
    decided_at: date | None = None

    def fits(self, row: Row) -> bool:
        """Whether the entry is about this row of the report."""
        return all(_fits(pattern, _values(row, key)) for key, pattern in self.match.items())

    @property
    def title(self) -> str:
        """How the entry is called in a sentence; hostile text in it is made harmless."""
        return f"entry {self.number} ({', '.join(f'{key} {line(value, 60)}' for key, value in self.match.items())})"


@dataclass(frozen=True, slots=True)
class Decisions:
    """All entries of a file; `sha256` of its bytes in hex, so that a report can say which decisions it followed.

    `problem`: why the file was not read, one sentence.
    """

    entries: tuple[Decision, ...] = ()
    source: str = ""
    sha256: str | None = None
    problem: str | None = None

    def about(self, row: Row) -> tuple[Decision, ...]:
        """The entries about this row, the deciding one last: the one that names the most, else the later one."""
        fitting = [entry for entry in self.entries if entry.fits(row)]
        return tuple(sorted(fitting, key=lambda entry: (len(entry.match), entry.number)))

    def of(self, row: Row) -> Decision | None:
        """All that is decided about this row; where two entries say the same key, the deciding one counts."""
        found = self.about(row)
        if not found:
            return None
        said = {key: value for entry in found for key in SAYS if (value := getattr(entry, key)) is not None}
        return replace(found[-1], **said)

    def unmatched(self, rows: Iterable[Row]) -> tuple[Decision, ...]:
        """The entries that fit none of these rows."""
        seen = list(rows)
        return tuple(entry for entry in self.entries if not any(entry.fits(row) for row in seen))


NONE: Final = Decisions()


def parse(content: bytes, source: str) -> Decisions:
    """The decisions in a TOML file. `source` is its name, for sentences. Raises AuditError.

    An entry that says something unknown ends the reading: half a decision would be another decision.
    """
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise AuditError(f"{line(source)} is not UTF-8: save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise AuditError(f"{line(source)} is not TOML: {line(str(error))}.") from None
    stanzas = found.pop("tool", [])
    if found or not isinstance(stanzas, list):
        raise AuditError(f"{line(source)} may hold [[tool]] entries only; `mfa-audit decide` prints one.")
    entries = tuple(_Entry(source, number, stanza).read() for number, stanza in enumerate(stanzas, 1))
    return Decisions(entries, source, hashlib.sha256(content).hexdigest())


class _Entry:
    """Reads one [[tool]] entry; every mistake is one sentence that names the entry and the key."""

    def __init__(self, source: str, number: int, stanza: Any) -> None:
        self._where = f"{line(source)}, entry {number}"
        self._number = number
        self._stanza: dict[str, Any] = stanza if isinstance(stanza, dict) else {}

    def read(self) -> Decision:
        unknown = [key for key in self._stanza if key not in _KEYS]
        if unknown:
            self._wrong(f"{line(unknown[0], 40)!r} is not a key; known are {', '.join(_KEYS)}")
        return Decision(
            match=self._match(),
            number=self._number,
            name=self._text("name"),
            owner=self._text("owner"),
            ticket=self._text("ticket"),
            due=self._date(self._stanza, "due"),
            accept=self._accept(),
            fixed=self._date(self._stanza, "fixed"),
            retired=self._date(self._stanza, "retired"),
            expect=self._expect(),
            decided_by=self._text("decided_by"),
            decided_at=self._date(self._stanza, "decided_at"),
        )

    def _match(self) -> Mapping[str, str]:
        match = self._stanza.get("match")
        if not isinstance(match, dict) or not match:
            self._wrong(f"match must name at least one of {', '.join(MATCH_KEYS)}")
        for key, value in match.items():
            if key not in MATCH_KEYS or not isinstance(value, str) or not value.strip():
                self._wrong(f"match takes {', '.join(MATCH_KEYS)}, each with a text")
        if all(set(value) <= set("*?") for value in match.values()):
            self._wrong("match fits every tool; name one")
        return {key: value.strip() for key, value in match.items()}

    def _text(self, key: str) -> str | None:
        value = self._stanza.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self._wrong(f"{key} must be a text")
        return " ".join(value.split())[:_LONGEST]

    def _date(self, table: Mapping[str, Any], key: str) -> date | None:
        value = table.get(key)
        if isinstance(value, datetime):
            return value.date()
        if value is not None and not isinstance(value, date):
            self._wrong(f"{key} must be a date such as 2026-12-31, without quotes")
        return value

    def _accept(self) -> Accepted | None:
        found = self._stanza.get("accept")
        if found is None:
            return None
        if not isinstance(found, dict) or found.keys() != {"until", "reason"}:
            self._wrong("accept takes until (a date) and reason (a text), nothing else")
        until = self._date(found, "until")
        reason = found["reason"]
        if until is None or not isinstance(reason, str) or not reason.strip():
            self._wrong("accept takes until (a date) and reason (a text)")
        return Accepted(until, " ".join(reason.split())[:_LONGEST])

    def _expect(self) -> Rhythm | None:
        value = self._stanza.get("expect")
        if value is None:
            return None
        try:
            return Rhythm(value)
        except ValueError:
            self._wrong(f"expect must be {', '.join(Rhythm)}")

    def _wrong(self, what: str) -> NoReturn:
        raise AuditError(f"{self._where}: {what}.")


def _values(row: Row, key: str) -> Sequence[str]:
    if key in ("user", "app_id"):
        return row.people if key == "user" else row.app_ids
    value = {"tool": row.name, "program": row.program, "machine": row.machine}[key]
    return () if value is None else (value,)


def _fits(pattern: str, values: Sequence[str]) -> bool:
    """Whether all of them fit: what is decided about one user or app id is not decided about the row's others."""
    return bool(values) and all(
        fnmatch.fnmatchcase(value.lower(), _literal_brackets(pattern.lower())) for value in values
    )


def _literal_brackets(pattern: str) -> str:
    """`[` is no wildcard here: names of products hold it."""
    return pattern.replace("[", "[[]")


def stanza(match: Mapping[str, str], decided: Mapping[str, str | date | Accepted]) -> str:
    """A [[tool]] entry as TOML, ending in a newline."""
    lines = [
        "[[tool]]",
        f"match = {{ {', '.join(f'{key} = {_quote(value)}' for key, value in match.items())} }}",
    ]
    for key, value in decided.items():
        if isinstance(value, Accepted):
            lines.append(f"accept = {{ until = {value.until.isoformat()}, reason = {_quote(value.reason)} }}")
        else:
            lines.append(f"{key} = {value.isoformat() if isinstance(value, date) else _quote(value)}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """A basic string of TOML (https://toml.io/en/v1.0.0#string): quotes, backslashes and controls escaped."""
    escaped = "".join(
        f"\\{sign}"
        if sign in '"\\'
        else f"\\u{ord(sign):04x}"
        if ord(sign) < 32 or ord(sign) == 127
        else sign
        for sign in text
    )
    return f'"{escaped}"'


def start_of(day: date) -> float:
    """The beginning of a day in this process's zone, in seconds since 1970 (UTC)."""
    return datetime.combine(day, time()).astimezone(UTC).timestamp()

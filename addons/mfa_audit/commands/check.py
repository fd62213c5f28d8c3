"""`mfa-audit check`: Yes or No for one token, explained."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from mfa_audit.commands import quiet_option, token_input
from mfa_audit.commands.exits import exit_code_of
from mfa_audit.errors import AuditError
from mfa_audit.judging.advice import advise
from mfa_audit.judging.claims import USER_NAMES
from mfa_audit.judging.clients import KNOWN_APPS
from mfa_audit.judging.credentials import name_other
from mfa_audit.judging.reasons import REASONS, Verdict
from mfa_audit.judging.token_finder import values_in
from mfa_audit.judging.tokens import Token, read
from mfa_audit.judging.verdicts import Answer, Caller, caller, client_proof, is_for_another, text, words
from mfa_audit.printable import duration, line, moment, zone

ANSWERS: Final = {
    Verdict.COMPLIANT: Answer.YES,
    Verdict.EXEMPT: Answer.YES,
    Verdict.NON_COMPLIANT: Answer.NO,
    Verdict.UNDETERMINED: Answer.UNCLEAR,
}

_HEADLINES: Final = {
    Verdict.COMPLIANT: "YES - this token was obtained with MFA.",
    Verdict.EXEMPT: "YES - this is an app's own token, and the rule does not apply to it.",
    Verdict.NON_COMPLIANT: "NO - this token was obtained without MFA.",
    Verdict.UNDETERMINED: "CANNOT TELL from this token.",
}
_OTHER_RESOURCE: Final = (
    "CANNOT TELL - exempt, since it is an app's own token, but it is not a token for Partner Center."
)
_WORST: Final = (Answer.NO, Answer.UNCLEAR, Answer.YES)
# Bytes that tell a capture.
_BEGINNING: Final = 256 * 1024
_COLOURS: Final = {Answer.YES: "green", Answer.NO: "red", Answer.UNCLEAR: "yellow"}
_CALLERS: Final = {
    Caller.APP: "an app alone, no user",
    Caller.USER: "an app on behalf of a user: MFA is needed",
    Caller.UNKNOWN: "not known",
}
_PROOFS: Final = {
    "0": "a public client, no secret",
    "1": "a client with a secret",
    "2": "a client with a certificate",
}


@click.command(epilog="Example: mfa-audit check --clipboard")
@click.argument("token", nargs=-1)
@click.option("--clipboard", is_flag=True, help="Take the token from the clipboard.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@quiet_option
def command(token: tuple[str, ...], clipboard: bool, as_json: bool, quiet: bool) -> int:
    """Say Yes or No for one access token.

    TOKEN may be left out: then it is read from standard input, or asked for without showing it. A pasted
    "Authorization: Bearer ..." line will do; of several tokens each gets its answer, and the worst one counts. Exit
    status: 0 with MFA or app-only, 1 without, 3 cannot tell, 2 no access token.
    """
    checked = _read_all(_take(token, clipboard, quiet))
    worst = min(checked, key=lambda one: _WORST.index(one.answer))
    if as_json:
        document = worst.as_json()
        if len(checked) > 1:
            document["tokens"] = [one.as_json() for one in checked]
        click.echo(json.dumps(document, indent=2))
    else:
        for number, one in enumerate(checked, 1):
            if len(checked) > 1:
                _say(("" if number == 1 else "\n") + f"Token {number} of {len(checked)}")
            one.print()
        _say(
            "The token's signature was not checked."
            if len(checked) == 1
            else "No token's signature was checked."
        )
    return exit_code_of(worst.answer)


def _read_all(pasted: bytes) -> list[_Checked]:
    """Each access token in what was given, once. Raises AuditError where it is something else."""
    _refuse_captures(pasted)
    found: dict[str, Token] = {}
    others = []
    for value in values_in(pasted):
        token = read([value])
        other = name_other(value, token)
        if other is None:
            found.setdefault(token.key, token)
        else:
            others.append(other)
    if found:
        return [_Checked(token) for token in found.values()]
    if others:
        raise AuditError(f"This is {others[0]}.")
    raise AuditError("There was no token. Give it on standard input, with --clipboard, or when asked.")


def _refuse_captures(pasted: bytes) -> None:
    """Raises AuditError for a whole capture or database: its tokens are judged by other commands."""
    if pasted.startswith(b"SQLite format 3\0"):
        raise AuditError("This is a database, not a token: `mfa-audit report --db FILE` reports on it.")
    if pasted.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (
        b"{",
        b"[",
        *(b"%d" % digit for digit in range(10)),
        b"P",
    ):
        return
    from mfa_audit.captures import flows
    from mfa_audit.captures.json_shapes import Beginning, Shape

    is_capture = pasted.startswith(b"PK\x03\x04") or flows.recognise(pasted)
    if is_capture or Beginning(pasted[:_BEGINNING]).shape is not Shape.OTHER:
        raise AuditError(
            "This is a whole capture, not a token: run `mfa-audit import FILE`, then `mfa-audit report`."
        )


def _take(token: tuple[str, ...], clipboard: bool, quiet: bool) -> bytes:
    """What was given, from the one place that it was given in."""
    given = token not in ((), ("-",))
    if given and clipboard:
        raise click.UsageError("Give a token or --clipboard, not both.")
    if given:
        if not quiet:
            click.echo(
                "Warning: a token on the command line stays in the shell's history, the process list and "
                "audit logs. Better: run `mfa-audit check` and paste it when asked.",
                err=True,
            )
        if len(token) == 1 and _is_file(token[0]):
            raise AuditError(
                f"{line(token[0])} is a file, not a token: run `mfa-audit check < {line(token[0])}`."
            )
        pasted = " ".join(token).encode("utf-8", "surrogateescape")
    elif clipboard:
        pasted = token_input.read_clipboard()
    elif token == () and sys.stdin.isatty():
        pasted = token_input.ask("Paste the access token (it is not shown), then Enter: ")
    else:
        pasted = token_input.read_stdin()
    return pasted


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, as most tokens are
        return False


class _Checked:
    """One token and the answer to it.

    An app's own token for something else is exempt, but a YES would be taken for one about Partner Center.
    """

    def __init__(self, token: Token) -> None:
        self._token = token
        self._elsewhere = token.verdict is Verdict.EXEMPT and is_for_another(token.claims)
        self.answer = Answer.UNCLEAR if self._elsewhere else ANSWERS[token.verdict]
        self._reasons = [token.reason, *(["wrong-audience"] if self._elsewhere else [])]
        self._advice = (
            REASONS["wrong-audience"].advice
            if self._elsewhere
            else advise(token.verdict, [token.reason], [token.claims])
        )

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {
            "schema_version": 1,
            "answer": str(self.answer),
            "verdict": str(self._token.verdict),
            "reasons": self._reasons,
            "claims": dict(self._token.claims),
            "advice": None if self._advice is None else self._advice.text,
        }

    def print(self) -> None:
        """The answer, why, and what to do, for people."""
        headline = _OTHER_RESOURCE if self._elsewhere else _HEADLINES[self._token.verdict]
        _say(headline, fg=_COLOURS[self.answer], bold=True)
        _say(f"Why     {why(self._token)}")
        for label, told in details(self._token, datetime.now(UTC)):
            _say(f"{label:<8}{told}")
        if self._advice is not None:
            _say("")
            _say(f"Likely  {self._advice.cause}.")
            _say(f"Fix     {self._advice.fix}.")
            _say(f"        {self._advice.link}")
        _say("")
        _say("This proves one token, not the tool: its other runs may use other tokens.")


def why(token: Token) -> str:
    """Why the verdict is what it is, with the claim that decided, as harmless text."""
    title = f"{REASONS[token.reason].title}."
    methods = ", ".join(words(token.claims.get("amr")))
    if token.reason in ("mfa", "ngcmfa", "amr-without-mfa", "caller-unknown") and methods:
        return f"{title} amr (how the user signed in): {line(methods)}{_without(token)}."
    if token.reason in ("wrong-audience", "retired-audience"):
        return f"{title} aud (what it is for): {_shown(token.claims.get('aud'))}."
    return title


def _without(token: Token) -> str:
    return "; mfa is not among them" if token.reason == "amr-without-mfa" else ""


def details(token: Token, now: datetime) -> Iterator[tuple[str, str]]:
    """(label, harmless text) of what matters in the claims; nothing where they could not be read. `now` is
    aware."""
    claims = token.claims
    if not claims:
        return
    yield "For", _shown(claims.get("aud")) or "(no audience)"
    yield "Acts as", _CALLERS[caller(claims)]
    if token.app_id is not None:
        known = KNOWN_APPS.get(token.app_id)
        proof = _PROOFS.get(client_proof(claims) or "")
        named = [line(known or str(claims.get("app_displayname") or ""), 80), proof or ""]
        meaning = ", ".join(part for part in named if part)
        yield "App", line(token.app_id, 80) + (f" ({meaning})" if meaning else "")
    name = text(claims, *USER_NAMES, "name")
    if name is not None:
        yield "User", line(name, 120)
    if (tenant := text(claims, "tid")) is not None:
        yield "Tenant", line(tenant, 80)
    if token.issued is not None:
        yield "Issued", _when(token.issued, now, "{} ago", "in {}")
    if token.expires is not None:
        yield "Expires", _when(token.expires, now, "expired {} ago", "in {}")


def _when(seconds: float, now: datetime, past: str, future: str) -> str:
    """A moment in local time and how far off it is, such as "7 Nov 03:00 CET, expired 3 h ago"."""
    try:
        when = datetime.fromtimestamp(seconds, UTC)
        shown = f"{moment(when, now)} {zone(when)}"
    except (OverflowError, OSError, ValueError):
        return "at no possible time"  # beyond what this platform's clock can show
    distance = seconds - now.timestamp()
    return f"{shown}, {(future if distance > 0 else past).format(duration(abs(distance)))}"


def _shown(value: object) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(line(str(item), 120) for item in values[:5] if item is not None)


def _say(told: str, **style: Any) -> None:
    """Prints a line: coloured on a terminal that wants it, and spelled out where the console lacks a
    character."""
    encoding = sys.stdout.encoding or "utf-8"
    told = told.encode(encoding, "backslashreplace").decode(encoding)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(click.style(told, **style) if colour and style else told)

"""`mfa-audit check`: Yes or No for one token, explained."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import click

from mfa_audit.commands import quiet_option, token_input
from mfa_audit.commands.exits import exit_code_of
from mfa_audit.errors import AuditError
from mfa_audit.judging.advice import advise
from mfa_audit.judging.claims import USER_NAMES
from mfa_audit.judging.clients import KNOWN_APPS
from mfa_audit.judging.reasons import REASONS, Advice, Verdict
from mfa_audit.judging.token_finder import values_in
from mfa_audit.judging.tokens import Token, read
from mfa_audit.judging.verdicts import Answer, Caller, caller, client_proof, text, words
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
    "Authorization: Bearer ..." line will do. Exit status: 0 with MFA or app-only, 1 without, 3 cannot tell.
    """
    found = read(values_in(_take(token, clipboard, quiet)))
    answer = ANSWERS[found.verdict]
    advice = advise(found.verdict, [found.reason], [found.claims])
    if as_json:
        click.echo(json.dumps(_as_json(found, answer, advice), indent=2))
    else:
        _print(found, answer, advice)
    return exit_code_of(answer)


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
        pasted = " ".join(token).encode("utf-8", "surrogateescape")
    elif clipboard:
        pasted = token_input.read_clipboard()
    elif token == () and sys.stdin.isatty():
        pasted = token_input.ask("Paste the access token (it is not shown), then Enter: ")
    else:
        pasted = token_input.read_stdin()
    if not values_in(pasted):
        raise AuditError("There was no token. Give it on standard input, with --clipboard, or when asked.")
    return pasted


def _as_json(token: Token, answer: Answer, advice: Advice | None) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "answer": str(answer),
        "verdict": str(token.verdict),
        "reasons": [token.reason],
        "claims": dict(token.claims),
        "advice": None if advice is None else advice.text,
    }


def _print(token: Token, answer: Answer, advice: Advice | None) -> None:
    now = datetime.now(UTC)
    _say(_HEADLINES[token.verdict], fg=_COLOURS[answer], bold=True)
    _say(f"Why     {why(token)}")
    for label, told in details(token, now):
        _say(f"{label:<8}{told}")
    if advice is not None:
        _say("")
        _say(f"Likely  {advice.cause}.")
        _say(f"Fix     {advice.fix}.")
        _say(f"        {advice.link}")
    _say("")
    _say("This proves one token, not the tool: its other runs may use other tokens.")
    _say("The token's signature was not checked.")


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

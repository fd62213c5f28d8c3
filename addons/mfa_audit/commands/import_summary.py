"""What an import held, for a terminal: a few plain sentences a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from mfa_audit.captures.importer import Imported
from mfa_audit.captures.recognition import Format
from mfa_audit.captures.remarks import Remarks
from mfa_audit.printable import count, line, moment


def describe(done: Imported, now: float | None = None) -> Iterator[str]:
    """Lines about one capture, harmless to print. `now` in seconds since 1970 (UTC)."""
    producer = f" of {line(done.producer, 60)}" if done.producer and done.format == Format.HAR else ""
    yield f"{line(done.name)} ({done.format}{producer}): {_held(done)}"
    if done.remedy:
        yield f"  Not one readable token in it, so it proves nothing. {done.remedy}"
    if done.not_filled_in:
        carried = "carries" if done.not_filled_in == 1 else "carry"
        yield (
            f"  {count(done.not_filled_in, 'call')} {carried} the name of a variable instead of a token: the script "
            "did not fill it in, or its sign-in failed."
        )
    if done.valid_until is not None:
        until = moment(
            datetime.fromtimestamp(done.valid_until, UTC),
            datetime.fromtimestamp(time.time() if now is None else now, UTC),
        )
        verb = "is" if done.valid == 1 else "are"
        yield f"  {count(done.valid, 'token')} in this file {verb} valid until {until}: protect or delete it."
    yield from _remarks("Skipped", done.remarks.skipped, done.remarks)
    yield from _remarks("Note", done.remarks.notes, done.remarks)


def _held(done: Imported) -> str:
    if done.format == Format.MICROSOFT:
        return f"{count(done.rows, 'row')}, {done.new_rows:,} new."
    if done.format == Format.SIGN_INS:
        return (
            f"{count(done.rows, 'sign-in')}, {done.kept:,} of Partner Center or of applications seen calling it, "
            f"{done.new_rows:,} new."
        )
    told = f"{count(done.calls, 'call')} to Partner Center, {count(done.tokens, 'token')}"
    if done.without_token:
        told += f", {count(done.without_token, 'call')} without one"
    seen = []
    if done.added.imported_before:
        seen.append(f"{done.added.imported_before:,} imported before")
    if done.added.recorded_live:
        seen.append(f"{done.added.recorded_live:,} already recorded live")
    return f"{told}. {done.added.new:,} new{''.join(f', {one}' for one in seen)}."


def _remarks(title: str, counted: Counter[str], remarks: Remarks) -> Iterator[str]:
    for what, times in counted.most_common():
        places = [line(place, 60) for place in remarks.places(what)]
        more = ", …" if len(places) < times else ""
        where = f" ({', '.join(places)}{more})" if places else ""
        entries = f"{count(times, 'entry', 'entries')}: " if title == "Skipped" else ""
        yield f"  {title}: {entries}{line(what)}{where}."

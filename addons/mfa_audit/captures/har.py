"""HTTP Archives (HAR 1.1 and 1.2), entry by entry, from whatever browser or proxy wrote them.

The format: http://www.softwareishard.com/blog/har-12-spec/. Nothing in it can be relied on: fields are `null`
or missing, header names come in any case, and HTTP/2 pseudo-headers stand among the others.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any

from mfa_audit.captures import entries
from mfa_audit.captures.entries import Answer, Reading, Request
from mfa_audit.captures.json_texts import BrokenError, JsonText
from mfa_audit.exchanges.bodies import BODY_LIMIT, REFUSING
from mfa_audit.exchanges.exchange import Exchange

# Gives the first 64 KiB of a body that Playwright put beside its `har.har`, or None.
Attachments = Callable[[str], bytes | None]


class Har:
    """One HAR; iterate over its calls once. `text` stands at its beginning.

    Some tools write the value of `log` alone, or just the array of entries. `creator` (who wrote the file) and
    `producer` (the same, with the browser whose traffic it is) are known when their part of the text was passed.
    """

    def __init__(
        self,
        text: JsonText,
        reading: Reading,
        attachments: Attachments = lambda name: None,
    ) -> None:
        self.creator: str | None = None
        self._browser: str | None = None
        self._text = text
        self._reading = reading
        self._attachments = attachments

    def __iter__(self) -> Iterator[Exchange]:
        """The calls in the archive's order; of bad content it raises CutOffError only."""
        if self._text.peek() == "[":
            yield from self._read_entries()
        else:
            yield from self._read_archive(inside=False)

    def _read_archive(self, *, inside: bool) -> Iterator[Exchange]:
        for key in self._text.keys():  # noqa: SIM118  (not a dictionary)
            next_one = self._text.peek()
            if key == "log" and next_one == "{" and not inside:
                yield from self._read_archive(inside=True)
            elif key == "entries" and next_one == "[":
                yield from self._read_entries()
            elif key == "creator":
                self.creator = self._read_program()
            elif key == "browser":
                self._browser = self._read_program()
            else:
                self._text.skip()

    @property
    def producer(self) -> str | None:
        """Who wrote the file and whose traffic it is, such as "Playwright 1.65 (chromium 131)"."""
        if self.creator is None or self._browser in (None, self.creator):
            return self.creator or self._browser
        return f"{self.creator} ({self._browser})"

    def _read_program(self) -> str | None:
        try:
            found = self._text.value()
        except BrokenError:
            return None
        if not isinstance(found, dict):
            return None
        words = [found.get(key) for key in ("name", "version")]
        return (
            entries.clean(" ".join(str(word)[:60] for word in words if word and isinstance(word, str | int)))
            or None
        )

    def _read_entries(self) -> Iterator[Exchange]:
        for number in self._text.items():
            place = f"entry {number}"
            try:
                entry = self._text.value()
            except BrokenError as error:
                self._reading.remarks.skip(str(error), place)
                continue
            try:
                exchange = self._read_entry(entry, place)
            except entries.SkipError as skip:
                self._reading.remarks.skip(str(skip), place)
                continue
            if exchange is not None:
                yield exchange

    def _read_entry(self, entry: Any, place: str) -> Exchange | None:
        request = _read_request(entry)
        if entry.get("_fromCache"):
            # Chromium's word for an answer out of its memory or from its disk: Partner Center was not asked, and
            # whatever token the entry shows was not accepted now.
            raise entries.SkipError("answered from the browser's cache, not by Partner Center")
        written = entry.get("startedDateTime")
        host = self._reading.find_api_host(request, entries.to_seconds(entries.read_date(written)))
        if host is None:
            return None
        answer = self._read_answer(entry.get("response"))
        own = self._reading.read_date(written, place)
        return self._reading.make_exchange(request, host, answer, own=own, place=place)

    def _read_answer(self, response: Any) -> Answer:
        if not isinstance(response, dict):
            return Answer()
        status = _read_status(response.get("status"))
        phrase = response.get("statusText")
        return Answer(
            status=status,
            reason_phrase=phrase if isinstance(phrase, str) else "",
            fields=_read_fields(response.get("headers")),
            body=self._read_body(response.get("content")) if status in REFUSING else None,
            unpacked=True,
        )

    def _read_body(self, content: Any) -> bytes | None:
        if not isinstance(content, dict):
            return None
        text, file = content.get("text"), content.get("_file")
        if not isinstance(text, str):
            return self._attachments(file) if isinstance(file, str) else None
        if content.get("encoding") == "base64":
            try:
                return base64.b64decode(text[: (BODY_LIMIT + 2) // 3 * 4])[:BODY_LIMIT]
            except (binascii.Error, ValueError):
                return None
        return text[:BODY_LIMIT].encode("utf-8", "replace")[:BODY_LIMIT]


def _read_request(entry: Any) -> Request:
    """The request of an entry; raises SkipError where there is none."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise entries.SkipError("no request")
    url, method = request.get("url"), request.get("method")
    address = entries.read_url(url) if isinstance(url, str) else None
    if address is None:
        raise entries.SkipError("no readable URL")
    # A record without method is still the record of a call.
    method = method.upper() if isinstance(method, str) else "?"
    return Request(method, *address, _read_fields(request.get("headers")))


def _read_fields(headers: Any) -> list[tuple[str, str]]:
    """Header fields of the usual list of names and values, or of a plain object as some converters write."""
    if isinstance(headers, dict):
        headers = [{"name": name, "value": value} for name, value in headers.items()]
    elif not isinstance(headers, list):
        return []
    if len(headers) > entries.HEADER_FIELDS:
        raise entries.TooManyFieldsError
    fields = []
    for field in headers:
        if not isinstance(field, dict):
            continue
        name = field.get("name")
        if isinstance(name, str) and name.lower() in entries.WANTED:
            value = field.get("value")
            if isinstance(value, str):
                fields.append((name, entries.clean(value)))
    return fields


def _read_status(status: Any) -> int | None:
    """A status of three digits, also as text; 0 is how a HAR says that no answer came."""
    try:
        number = int(status)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 100 <= number <= 999 else None

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
    """One HAR; iterate over its calls once. `producer` is known when its part of the text was passed.

    `log` is the JSON text right before the value of the archive's `log`.
    """

    def __init__(
        self,
        log: JsonText,
        reading: Reading,
        attachments: Attachments = lambda name: None,
    ) -> None:
        self.producer: str | None = None
        self._log = log
        self._reading = reading
        self._attachments = attachments

    def __iter__(self) -> Iterator[Exchange]:
        """The calls in the archive's order; of bad content it raises CutOffError only."""
        if self._log.peek() != "{":
            self._log.skip()
            return
        for key in self._log.keys():  # noqa: SIM118  (not a dictionary)
            if key == "entries" and self._log.peek() == "[":
                yield from self._read_entries()
            elif key in ("creator", "browser"):
                self._read_producer()
            else:
                self._log.skip()

    def _read_producer(self) -> None:
        try:
            found = self._log.value()
        except BrokenError:
            return
        if isinstance(found, dict):
            words = [str(found[key])[:60] for key in ("name", "version") if found.get(key)]
            # `creator` is who wrote the file, `browser` whose traffic it is: "Playwright 1.65 (chromium
            # 131)".
            text = entries.clean(" ".join(words))
            if text and self.producer not in (None, text):
                text = f"{self.producer} ({text})"
            self.producer = text or self.producer

    def _read_entries(self) -> Iterator[Exchange]:
        for number in self._log.items():
            place = f"entry {number}"
            try:
                entry = self._log.value()
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

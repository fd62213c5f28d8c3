"""HTTP Archives (HAR 1.1 and 1.2), entry by entry, from whatever browser or proxy wrote them.

The format: http://www.softwareishard.com/blog/har-12-spec/. Nothing in it can be relied on: fields are `null` or
missing, header names come in any case, and HTTP/2 pseudo-headers stand among the others.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Iterator
from typing import Any

from mfa_audit.exchanges import Exchange
from mfa_audit.sources import calls
from mfa_audit.sources.bodies import BODY_LIMIT
from mfa_audit.sources.calls import Calendar
from mfa_audit.sources.jsontexts import Broken, CutOff, JsonText
from mfa_audit.sources.remarks import Remarks

# Gives the first 64 KiB of a body that Playwright put beside its `har.har`, or None.
Attachments = Callable[[str], bytes | None]


class Har:
    """One HAR; iterate over its calls once. `producer` is known when its part of the text was passed.

    `log` is the JSON text right before the value of the archive's `log`.
    """

    def __init__(
        self,
        log: JsonText,
        remarks: Remarks,
        now: float,
        further: Collection[str] = (),
        attachments: Attachments = lambda name: None,
    ) -> None:
        self.producer: str | None = None
        self._log = log
        self._remarks = remarks
        self._calendar = Calendar(remarks, now)
        self._further = further
        self._attachments = attachments

    def __iter__(self) -> Iterator[Exchange]:
        """The calls in the archive's order; never raises on bad content."""
        try:
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
        except CutOff:
            self._remarks.note("cut off or damaged: the rest of the file could not be read")

    def _read_producer(self) -> None:
        try:
            found = self._log.value()
        except Broken:
            return
        if isinstance(found, dict):
            words = [str(found[key])[:60] for key in ("name", "version") if found.get(key)]
            # `creator` is who wrote the file, `browser` whose traffic it is: "Playwright 1.65 (chromium 131)".
            text = calls.clean(" ".join(words))
            if text and self.producer not in (None, text):
                text = f"{self.producer} ({text})"
            self.producer = text or self.producer

    def _read_entries(self) -> Iterator[Exchange]:
        for number in self._log.items():
            place = f"entry {number}"
            try:
                entry = self._log.value()
            except Broken as error:
                self._remarks.skip(str(error), place)
                continue
            exchange = self._read_entry(entry, place)
            if exchange is not None:
                yield exchange

    def _read_entry(self, entry: Any, place: str) -> Exchange | None:
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict):
            self._remarks.skip("no request", place)
            return None
        url = request.get("url")
        address = calls.read_url(url) if isinstance(url, str) else None
        fields = _read_fields(request.get("headers"))
        if address is None:
            self._remarks.skip("no readable URL", place)
            return None
        host = calls.find_api_host(address.host, fields, self._further)
        method = request.get("method")
        # Every call of the API has a method, but a record of a call without one is still a record of a call.
        method = method.upper() if isinstance(method, str) else "?"
        if host is None or not calls.is_call(method, fields):
            date = calls.read_date(entry.get("startedDateTime"))
            self._calendar.pass_by(date.timestamp() if date and date.tzinfo else None)
            return None
        response = entry.get("response")
        response = response if isinstance(response, dict) else {}
        answer_fields = _read_fields(response.get("headers"))
        if max(len(fields), len(answer_fields)) > calls.HEADER_FIELDS:
            self._remarks.skip(f"more than {calls.HEADER_FIELDS:,} header fields", place)
            return None
        at = self._calendar.find(
            self._calendar.read(entry.get("startedDateTime"), place), answer_fields, place
        )
        if at is None:
            return None
        status = _read_status(response.get("status"))
        phrase = response.get("statusText")
        return calls.make_exchange(
            at=at,
            method=method,
            address=calls.Address(host, address.path),
            request_fields=fields,
            status=status,
            reason_phrase=phrase if isinstance(phrase, str) else "",
            response_fields=answer_fields,
            body=self._read_body(response.get("content")) if status == 401 else None,
        )

    def _read_body(self, content: Any) -> bytes | None:
        if not isinstance(content, dict):
            return None
        text, file = content.get("text"), content.get("_file")
        if not isinstance(text, str):
            return self._attachments(file) if isinstance(file, str) else None
        if content.get("encoding") == "base64":
            try:
                return base64.b64decode(text[: BODY_LIMIT * 4 // 3 // 4 * 4])
            except (binascii.Error, ValueError):
                return None
        return text[:BODY_LIMIT].encode("utf-8", "replace")[:BODY_LIMIT]


def _read_fields(headers: Any) -> list[tuple[str, str]]:
    """Header fields of the usual list of names and values, or of a plain object as some converters write."""
    if isinstance(headers, dict):
        pairs = list(headers.items())
    elif isinstance(headers, list):
        pairs = [(field.get("name"), field.get("value")) for field in headers if isinstance(field, dict)]
    else:
        return []
    return [
        (name, calls.clean(value))
        for name, value in pairs
        if isinstance(name, str) and isinstance(value, str)
    ]


def _read_status(status: Any) -> int | None:
    """A status of three digits, also as text; 0 is how a HAR says that no answer came."""
    try:
        number = int(status)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 100 <= number <= 999 else None

"""Made-up captures with realistic headers and bodies, for the benchmarks: all formats hold the same calls.

A third of the calls has a body of 1 kB, a third one of 8 kB, a third one of 24 kB, as lists of customers and
subscriptions have. Tokens are 1.8 kB long, and change every 200 calls.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mfa_audit.commands.demo.sample_tokens import make_user_token

START = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
HOST = "api.partnercenter.microsoft.com"


class Call(NamedTuple):
    """One made-up call."""

    at: float
    path: str
    request_headers: list[tuple[str, str]]
    response_headers: list[tuple[str, str]]
    body: bytes


def make_calls(count: int) -> Iterator[Call]:
    """Calls in the order of their times, the same for the same count."""
    chance = random.Random(1)
    bodies = [_body(chance, size) for size in (1_000, 8_000, 24_000) for _ in range(20)]
    token = ""
    for number in range(count):
        if number % 200 == 0:
            token = make_user_token("pwd", "mfa", uti=f"token-{number}", padding="x" * 400)
        request_id = f"{chance.getrandbits(128):032x}"
        request_id = "-".join(
            (request_id[:8], request_id[8:12], request_id[12:16], request_id[16:20], request_id[20:])
        )
        yield Call(
            at=START + number * 0.25,
            path=f"/v1/customers/{chance.getrandbits(64):x}/subscriptions?size=100",
            request_headers=[
                ("Host", HOST),
                ("Authorization", f"Bearer {token}"),
                ("Accept", "application/json"),
                ("MS-RequestId", request_id),
                ("MS-CorrelationId", request_id),
                ("MS-PartnerCenter-Client", "Partner Center .NET SDK"),
                ("MS-SdkVersion", "3.4.0.0"),
                ("X-Locale", "en-US"),
                ("User-Agent", "contoso-billing/2.1"),
            ],
            response_headers=[
                ("Content-Type", "application/json; charset=utf-8"),
                ("Date", "Mon, 01 Jun 2026 00:00:00 GMT"),
                ("MS-RequestId", request_id),
                ("MS-CorrelationId", request_id),
                ("Cache-Control", "no-cache"),
                ("Strict-Transport-Security", "max-age=31536000"),
                ("X-Content-Type-Options", "nosniff"),
                ("Request-Context", "appId=cid-v1:made-up"),
            ],
            body=bodies[number % len(bodies)],
        )


def _body(chance: random.Random, size: int) -> bytes:
    items: list[dict[str, Any]] = []
    text = ""
    while len(text) < size:
        items.append(
            {
                "id": f"{chance.getrandbits(128):032x}",
                "companyProfile": {
                    "tenantId": f"{chance.getrandbits(128):032x}",
                    "domain": f"customer{chance.getrandbits(20)}.onmicrosoft.com",
                    "companyName": f"Customer {chance.getrandbits(20)}",
                },
                "relationshipToPartner": "reseller",
                "allowDelegatedAccess": True,
            }
        )
        text = json.dumps(
            {"totalCount": len(items), "items": items, "attributes": {"objectType": "Collection"}}
        )
    return text.encode()


def write_flows(path: Path, count: int) -> None:
    """A flow file, by mitmproxy's own writer."""
    from mitmproxy import http
    from mitmproxy.io import FlowWriter
    from mitmproxy.test import tflow

    with path.open("wb") as file:
        writer = FlowWriter(file)
        for call in make_calls(count):
            flow = tflow.tflow(resp=True)
            flow.request = http.Request.make(
                "GET", f"https://{HOST}{call.path}", headers=[_bytes(pair) for pair in call.request_headers]
            )
            flow.request.timestamp_start = flow.timestamp_created = call.at
            flow.request.timestamp_end = call.at + 0.01
            flow.response = http.Response.make(
                200, call.body, headers=[_bytes(pair) for pair in call.response_headers]
            )
            writer.add(flow)


def write_har(path: Path, count: int) -> None:
    """A HAR 1.2 with the fields that browsers write."""
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '{"log": {"version": "1.2", "creator": {"name": "made up", "version": "1"}, "pages": [],\n"entries": ['
        )
        for number, call in enumerate(make_calls(count)):
            entry = {
                "startedDateTime": datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds"),
                "time": 120.5,
                "request": {
                    "method": "GET",
                    "url": f"https://{HOST}{call.path}",
                    "httpVersion": "HTTP/1.1",
                    "headers": [{"name": name, "value": value} for name, value in call.request_headers],
                    "queryString": [{"name": "size", "value": "100"}],
                    "cookies": [],
                    "headersSize": -1,
                    "bodySize": 0,
                },
                "response": {
                    "status": 200,
                    "statusText": "OK",
                    "httpVersion": "HTTP/1.1",
                    "headers": [{"name": name, "value": value} for name, value in call.response_headers],
                    "cookies": [],
                    "content": {
                        "size": len(call.body),
                        "mimeType": "application/json",
                        "text": call.body.decode(),
                    },
                    "redirectURL": "",
                    "headersSize": -1,
                    "bodySize": len(call.body),
                },
                "cache": {},
                "timings": {"send": 1, "wait": 100, "receive": 19.5},
            }
            file.write((",\n" if number else "\n") + json.dumps(entry))
        file.write("\n]}}")


def write_saz(path: Path, count: int) -> None:
    """A session archive as Fiddler writes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, call in enumerate(make_calls(count), 1):
            head = io.BytesIO()
            head.write(f"GET https://{HOST}{call.path} HTTP/1.1\r\n".encode())
            head.writelines(b"%s: %s\r\n" % _bytes(pair) for pair in call.request_headers)
            head.write(b"\r\n")
            archive.writestr(f"raw/{number}_c.txt", head.getvalue())
            begun = datetime.fromtimestamp(call.at, UTC).isoformat(timespec="microseconds")
            archive.writestr(
                f"raw/{number}_m.xml",
                f'<?xml version="1.0" encoding="utf-8"?>\n<Session SID="{number}" BitFlags="59">'
                f'<SessionTimers ClientConnected="{begun}" ClientBeginRequest="{begun}" ServerDoneResponse="{begun}" />'
                '<PipeInfo /><SessionFlags><SessionFlag N="x-clientport" V="50000" />'
                '<SessionFlag N="x-processinfo" V="contoso-billing:4711" /></SessionFlags></Session>',
            )
            head = io.BytesIO(b"HTTP/1.1 200 OK\r\n")
            head.seek(0, io.SEEK_END)
            head.writelines(b"%s: %s\r\n" % _bytes(pair) for pair in call.response_headers)
            head.write(b"\r\n")
            head.write(call.body)
            archive.writestr(f"raw/{number}_s.txt", head.getvalue())


def _bytes(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    return pair[0].encode(), pair[1].encode()

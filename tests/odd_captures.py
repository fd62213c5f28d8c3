"""Captures such as no program should write: random changes of good ones, and a saved corpus of those that once reached
new code.

`scripts/grow_corpus.py --captures` adds to the corpus; a capture on which a reader fails belongs there too.
"""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from mitmproxy.io import tnetstring
from mitmproxy.test import tflow

from captures.producers import AT, NOW, entry, flow, har, saz, session
from captures_of_microsoft import GRAPH
from mfa_audit.captures import recognition
from mfa_audit.captures.importer import Imported
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.commands.import_summary import describe
from mfa_audit.errors import AuditError
from mfa_audit.judging.observations import Judge, Observation

CORPUS: Final = Path(__file__).parent / "corpus" / "odd_captures.jsonl"
_TOKEN: Final = "Bearer " + make_user_token("pwd", iat=round(AT), nbf=round(AT), exp=round(AT) + 3900)
_HEADERS: Final = {
    "Authorization": _TOKEN,
    "User-Agent": "x",
    "MS-RequestId": "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e7f80",
}
_REQUEST: Final = {
    "requestId": "8f489776-a3f3-47cb-91c3-538e1f70f560", "operationName": "GET /v1/customers", "upn": "d@x.example",
    "requestDateTime": "2026-05-28T20:26:40.125", "applicationId": "14f38d7d-c4fc-448a-b2df-0fc60e75465a",
    "mfaCompliant": False,
}  # fmt: skip
_ADOPTION: Final = {
    "loginDate": "2026-05-28", "mfaCompliantRequestCount": 5, "totalRequestCount": 7, "applicationId": "x",
}  # fmt: skip
_PRINCIPAL: Final = {
    "objectId": "x",
    "upn": "y",
    "lastNonMfaCompliantRequestDateTime": "/Date(1780000000125)/",
}
_REFUSED: Final = entry(status=401, headers=_HEADERS, body='{"code": 900421}')
_CSV: Final = (
    b"\xef\xbb\xbfDate (UTC),Request ID,User ID,Username,Application,Application ID ,Resource ID ,"
    b"Authentication Protocol\r\n"
    b'2026-05-28T20:26:40Z,8f489776-a3f3-47cb-91c3-538e1f70f560,x,d@x.example,"Night, ly",y,z,ropc\r\n'
)

# Values that mean something somewhere, or that no place expects.
_ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**70, 1e400, float("nan"), "", "x", "null", "\ud800", "\x00", "x" * 70_000, [], {}, [[]],
    [None], {"": None}, 401, "401", "2026-05-28T20:26:40Z", "1/21/2026 10:18:35 PM", "/Date(9999999999999)/", _TOKEN,
    "https://api.partnercenter.microsoft.com/v1/x", "api.partnercenter.microsoft.com:443", "OPTIONS", "CONNECT",
)  # fmt: skip
_PIECES: Final = (
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"\\",
        b",",
        b":",
        b"\x00",
        b"\xff\xfe",
        b"\r\n\r\n",
        b"[" * 3000,
        b'{"a":' * 3000,
    ),
    *(
        b"\xef\xbb\xbf",
        b"0:~",
        b"4:true!",
        b"9" * 20,
        b"1e999",
        b"\\ud800",
        b"PK\x03\x04",
        b"<!ENTITY a 'b'>",
        b"6:backup;",
    ),
)


def _har(rng: random.Random) -> bytes:
    log = {
        "version": "1.2",
        "creator": {"name": "x", "version": "1"},
        "entries": [entry(headers=_HEADERS), _REFUSED],
    }
    value = rng.choice([{"log": log}, log, log["entries"]])
    return _as_json(rng, _changed(rng, value))


def _list(rng: random.Random) -> bytes:
    rows = [_REQUEST, _ADOPTION, _PRINCIPAL]
    rng.shuffle(rows)
    page = {"totalCount": 3, "items": rows}
    value = rng.choice(
        [rows, page, [page, page], rows[0], {"value": rows, "Count": 3}, {"items": {"value": rows}}]
    )
    return _as_json(rng, _changed(rng, value)) + rng.choice([b"", _as_json(rng, rows)])


def _sign_ins(rng: random.Random) -> bytes:
    row = copy.deepcopy(GRAPH)
    value = rng.choice(
        [
            row,
            [row, row],
            {"value": [row]},
            {"records": [{"time": row["createdDateTime"], "properties": row}]},
        ]
    )
    return _as_json(rng, _changed(rng, value)) * rng.choice([1, 1, 2])


def _csv(rng: random.Random) -> bytes:
    return _CSV.replace(b",", rng.choice([b",", b";", b"\t"]))


def _flows(rng: random.Random) -> bytes:
    made = [
        flow(headers=[(b"Authorization", _TOKEN.encode())]),
        flow(status=401, encoding="gzip"),
        tflow.ttcpflow(),
    ]
    if rng.random() < 0.3:
        made[0].backup()
        made[0].request.path = "/v1/other"
    return b"".join(
        _dumped(_changed(rng, one.get_state()) if rng.random() < 0.5 else one.get_state()) for one in made
    )


def _saz(rng: random.Random) -> bytes:
    one = session("1")
    part = rng.choice(sorted(one))
    one[part] = _torn(rng, one[part])
    return saz(one, session("2"))


def _zipped(rng: random.Random) -> bytes:
    refused = copy.deepcopy(_REFUSED)
    refused["response"]["content"] = {"_file": rng.choice(["body.json", "../x", "har.har"])}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "har.har", _torn(rng, har(refused)) if rng.random() < 0.5 else har(_changed(rng, refused))
        )
        archive.writestr("body.json", b'{"code": 900421}')
    return buffer.getvalue()


def _packed(rng: random.Random) -> bytes:
    return rng.choice([gzip.compress, zlib.compress])(rng.choice([_har, _list, _flows])(rng))


# Each format by its name, and how one with changed structure is made.
FORMATS: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "har": _har, "list": _list, "sign-ins": _sign_ins, "csv": _csv, "flows": _flows, "saz": _saz, "zip": _zipped,
    "packed": _packed,
}  # fmt: skip


def make_odd(kind: str, seed: int) -> bytes:
    """One capture of a format with its structure changed, its bytes, or both; always the same for a seed."""
    rng = random.Random(f"{kind} {seed}")
    data = FORMATS[kind](rng)
    return _torn(rng, data) if rng.random() < 0.6 else data


def read_odd(path: Path) -> list[Observation]:
    """Every call of a capture, judged; [] where it is refused. All it says is put into sentences too."""
    try:
        with recognition.read(path, lambda: b"word", now=NOW) as capture:
            judge = Judge()
            seen = [judge.observe(exchange) for exchange in capture.exchanges]
            rows = len(list(capture.rows)) + len(list(capture.sign_ins))
            done = Imported(
                capture.name, capture.format, capture.remarks, capture.producer, calls=len(seen), rows=rows
            )
            done.remedy = capture.remedy(marked=bool(seen))
            assert all("\x1b" not in sentence for sentence in describe(done, NOW))
            assert not judge.failures
            return seen
    except AuditError:
        return []


def read_corpus() -> Iterator[bytes]:
    """The saved captures."""
    for line in CORPUS.read_text(encoding="ascii").splitlines():
        yield zlib.decompress(base64.b64decode(json.loads(line)))


def write_corpus(captures: list[bytes]) -> None:
    """Save them, one a line."""
    lines = (json.dumps(base64.b64encode(zlib.compress(one, 9)).decode()) for one in captures)
    CORPUS.write_text("".join(line + "\n" for line in lines), encoding="ascii")


def _torn(rng: random.Random, data: bytes) -> bytes:
    """With a few bytes changed, dropped, doubled or put in, or the end cut off."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        size = rng.choice([1, 1, 4, 40])
        what = rng.randint(0, 4)
        if what == 0:
            data = data[:at] + bytes([rng.randint(0, 255)]) + data[at + 1 :]
        elif what == 1:
            data = data[:at] + data[at + size :]
        elif what == 2:
            data = data[:at] + data[at : at + size] * 2 + data[at + size :]
        elif what == 3:
            data = data[:at] + rng.choice(_PIECES) + data[at:]
        elif rng.random() < 0.3:
            data = data[:at]
    return data


def _changed(rng: random.Random, value: Any) -> Any:
    """A copy with one or two of its parts replaced, dropped, wrapped or renamed."""
    root = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, 2)):
        holder: Any = root
        key: Any = 0
        while isinstance(inner := holder[key], dict | list) and inner and rng.random() < 0.85:
            holder = inner
            key = rng.choice(sorted(inner, key=str)) if isinstance(inner, dict) else rng.randrange(len(inner))
        what = rng.randint(0, 4)
        if what == 0:
            holder[key] = rng.choice(_ODD)
        elif what == 1 and holder is not root:
            holder.pop(key)
        elif what == 2:
            for _ in range(rng.choice([1, 2, 400])):
                name = rng.choice(["", "value", "items", "log"])
                holder[key] = {name: holder[key]} if name else [holder[key]]
        elif what == 3 and isinstance(holder, dict) and isinstance(key, str):
            holder[rng.choice([key.upper(), key + " ", "entries", "request"])] = holder.pop(key)
        elif what == 4 and isinstance(holder, list) and holder is not root:
            holder.insert(key, rng.choice(_ODD))
    return root[0]


def _as_json(rng: random.Random, value: Any) -> bytes:
    text = json.dumps(value, indent=rng.choice([None, None, 1]))
    return text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"]))


def _dumped(state: Any) -> bytes:
    try:
        return tnetstring.dumps(state)
    except (ValueError, RecursionError, UnicodeEncodeError):
        return tnetstring.dumps(flow().get_state())

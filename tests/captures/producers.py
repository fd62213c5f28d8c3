"""Captures as their producers write them, made when a test runs."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyzipper
from mitmproxy import http
from mitmproxy.addons.savehar import SaveHar
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from mfa_audit.captures import recognition
from mfa_audit.captures.remarks import Remarks
from mfa_audit.commands.demo.standin import StandIn
from mfa_audit.exchanges.exchange import Exchange

HOST = "api.partnercenter.microsoft.com"
AT = 1_780_000_000.125
NOW = AT + 3600
TOKEN = "Bearer aaaa.bbbb.cccc"
REQUEST_ID = "6a2b7b0e-5f0e-4a45-9c1b-2f5c5d6e7f80"

# mitmdump without its console script, which need not be on the path.
MITMDUMP = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"]


def flow(
    path: str = "/v1/customers?size=5",
    *,
    host: str = HOST,
    named: str | None = None,
    status: int | None = 200,
    body: bytes = b"{}",
    encoding: str | None = None,
    method: str = "GET",
    at: float = AT,
    headers: Sequence[tuple[bytes, bytes]] = ((b"Authorization", TOKEN.encode()),),
) -> http.HTTPFlow:
    """A finished flow; `named` is its Host header where that differs from the address."""
    made = tflow.tflow(resp=status is not None)
    fields = [(b"Host", (named or host).encode()), (b"MS-RequestId", REQUEST_ID.encode()), *headers]
    made.request = http.Request.make(method, f"https://{host}{path}")
    made.request.headers = http.Headers(fields)
    made.request.timestamp_start = made.timestamp_created = at
    made.request.timestamp_end = at + 0.01
    if status is not None:
        made.response = http.Response.make(status, body, headers=[(b"isMfaCompliant", b"false")])
        made.response.timestamp_start, made.response.timestamp_end = at + 0.1, at + 0.2
        if encoding:
            made.response.encode(encoding)
    return made


def write_flows(path: Path, flows: Iterable[Any]) -> Path:
    """A flow file by mitmproxy's own writer."""
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for one in flows:
            writer.add(one)
    return path


def hardump(flows: Sequence[Any]) -> bytes:
    """What mitmproxy's `hardump` writes."""
    return json.dumps(SaveHar().make_har(flows), indent=4).encode()


def entry(**changes: Any) -> dict[str, Any]:
    """An entry of a HAR as Chrome writes it; `url`, `at`, `headers`, `status` and `body` may be given."""
    headers = changes.pop("headers", {"authorization": TOKEN, "ms-requestid": REQUEST_ID, ":authority": HOST})
    url, at = (
        changes.pop("url", f"https://{HOST}/v1/customers?size=5"),
        changes.pop("at", "2026-05-28T22:26:40.125+02:00"),
    )
    status, body = changes.pop("status", 200), changes.pop("body", "{}")
    return {
        "_initiator": {"type": "script"},
        "startedDateTime": at,
        "time": 12.5,
        "request": {
            "method": changes.pop("method", "GET"),
            "url": url,
            "httpVersion": "http/2.0",
            "headers": [{"name": name, "value": value} for name, value in headers.items()],
            "queryString": [],
            "cookies": [],
        },
        "response": {
            "status": status,
            "statusText": "",
            "headers": [{"name": "ismfacompliant", "value": "false"}],
            "content": {"size": len(body), "mimeType": "application/json", "text": body},
        },
        "timings": {},
        **changes,
    }


def har(*entries: Any, creator: Any = None, **log: Any) -> bytes:
    """A HAR of these entries."""
    creator = {"name": "WebInspector", "version": "537.36"} if creator is None else creator
    return json.dumps(
        {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": entries, **log}}
    ).encode()


def session(number: str = "1", **parts: bytes | None) -> dict[str, bytes]:
    """The files of one of Fiddler's sessions; `c`, `s` and `m` replace a file, None leaves it out."""
    files = {
        "c": f"GET https://{HOST}/v1/customers?size=5 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {TOKEN}\r\n"
        f"MS-RequestId: {REQUEST_ID}\r\n\r\n".encode(),
        "s": b"HTTP/1.1 200 OK\r\nisMfaCompliant: false\r\nContent-Length: 2\r\n\r\n{}",
        "m": b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n<Session SID="1" BitFlags="59">\r\n'
        b'  <SessionTimers ClientConnected="2026-05-28T22:26:39.0000000+02:00" '
        b'ClientBeginRequest="2026-05-28T22:26:40.1250000+02:00" ServerDoneResponse="0001-01-01T00:00:00" />\r\n'
        b'  <PipeInfo />\r\n  <SessionFlags>\r\n    <SessionFlag N="x-clientip" V="127.0.0.1" />\r\n'
        b'    <SessionFlag N="x-processinfo" V="powershell:4711" />\r\n  </SessionFlags>\r\n</Session>',
        **parts,
    }
    ends = {"c": "txt", "s": "txt", "m": "xml"}
    return {f"raw/{number}_{part}.{ends[part]}": data for part, data in files.items() if data is not None}


def saz(*sessions: dict[str, bytes], password: bytes | None = None, aes: bool = False) -> bytes:
    """A session archive; with a password by ZipCrypto, or by AES."""
    buffer = io.BytesIO()
    options = {"encryption": pyzipper.WZ_AES} if aes else {}
    with pyzipper.AESZipFile(buffer, "w", compression=pyzipper.ZIP_DEFLATED, **options) as archive:
        if aes:
            archive.setpassword(password)
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("_index.htm", "<html></html>")
        for one in sessions:
            for name, data in one.items():
                archive.writestr(name, data)
    data = buffer.getvalue()
    return data if password is None or aes else _zip_crypto(data, password)


def _zip_crypto(data: bytes, password: bytes) -> bytes:
    """The same zip under ZipCrypto (APPNOTE.TXT, 6.1), which no Python library writes."""
    table = [_crc_row(byte) for byte in range(256)]

    def encrypt(plain: bytes) -> bytes:
        keys = [0x12345678, 0x23456789, 0x34567890]

        def update(byte: int) -> None:
            keys[0] = keys[0] >> 8 ^ table[(keys[0] ^ byte) & 0xFF]
            keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            keys[2] = keys[2] >> 8 ^ table[(keys[2] ^ keys[1] >> 24) & 0xFF]

        for byte in password:
            update(byte)
        out = bytearray()
        for byte in plain:
            key = (keys[2] | 2) & 0xFFFF
            out.append(byte ^ (key * (key ^ 1) >> 8 & 0xFF))
            update(byte)
        return bytes(out)

    buffer = io.BytesIO()
    directory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        for info in infos:
            start = info.header_offset
            name = info.filename.encode()
            packed = data[start + 30 + len(name) :][: info.compress_size]
            check = bytes(11) + bytes([info.CRC >> 24])
            body = encrypt(check + packed)
            offset = buffer.tell()
            head = (1).to_bytes(2, "little") + info.compress_type.to_bytes(2, "little") + bytes(4)
            head += info.CRC.to_bytes(4, "little") + len(body).to_bytes(4, "little")
            head += info.file_size.to_bytes(4, "little") + len(name).to_bytes(2, "little") + bytes(2)
            buffer.write(b"PK\3\4\x14\0" + head + name + body)
            directory.write(b"PK\1\2\x14\0\x14\0" + head + bytes(10) + offset.to_bytes(4, "little") + name)
    start, table_bytes = buffer.tell(), directory.getvalue()
    buffer.write(table_bytes + b"PK\5\6\0\0\0\0" + len(infos).to_bytes(2, "little") * 2)
    buffer.write(len(table_bytes).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0")
    return buffer.getvalue()


def _crc_row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xEDB88320 if byte & 1 else 0)
    return byte


def read(path: Path, *, now: float = NOW, password: bytes | None = None) -> tuple[list[Exchange], Remarks]:
    """All calls of a capture, and the remarks on it."""
    with recognition.read(path, lambda: password, now=now) as capture:
        return list(capture.exchanges), capture.remarks


PEAK = """
import sys
from pathlib import Path
from mfa_audit.captures import recognition
with recognition.read(Path(sys.argv[1])) as capture:
    calls = sum(1 for _ in capture.exchanges)
status = Path("/proc/self/status")
if status.exists():  # getrusage of Linux counts what the parent had before exec
    peak = next(int(line.split()[1]) / 1e3 for line in status.read_text().splitlines() if "VmHWM" in line)
else:
    import psutil
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", memory.rss) / 1e6
print(calls, capture.remarks.skipped.total(), peak)
"""


def peak_below(megabytes: int, path: Path) -> tuple[int, int]:
    """Calls and skipped entries of a capture, read by a process that must stay below so much memory."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    calls, skipped, peak = done.stdout.split()
    assert float(peak) < megabytes
    return int(calls), int(skipped)


def record(folder: Path, standin: StandIn, paths: Sequence[str]) -> tuple[Path, Path]:
    """Real calls through a real mitmdump in reverse mode: its flow file and its HAR, both with the Host
    header only.
    """
    import requests

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flows, archive = folder / "recorded.mitm", folder / "recorded.har"
    options = {
        "confdir": folder / "confdir",
        "listen_host": "127.0.0.1",
        "listen_port": port,
        "hardump": archive,
        "keep_host_header": "true",
        "ssl_verify_upstream_trusted_ca": standin.certificate_file,
    }
    command = [*MITMDUMP, "-q", "-w", str(flows), "--mode", f"reverse:{standin.origin}"]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    with subprocess.Popen(command) as process, requests.Session() as client:
        client.trust_env = False
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        headers = {"Host": HOST, "Authorization": TOKEN, "MS-RequestId": REQUEST_ID}
        for path in paths:
            client.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=20)
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.CTRL_C_EVENT)
        process.wait(30)
    return flows, archive

"""Fiddler's session archives."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from producers import AT, HOST, REQUEST_ID, TOKEN, peak_below, read, saz, session

from mfa_audit.captures import recognition
from mfa_audit.errors import AuditError
from mfa_audit.exchanges.exchange import Program


def read_bytes(tmp_path: Path, data: bytes, **options: Any) -> Any:
    (tmp_path / "a.saz").write_bytes(data)
    return read(tmp_path / "a.saz", **options)


def test_reads_a_session(tmp_path: Path) -> None:
    """A session becomes an Exchange: when the client began, and the process as program."""
    (exchange,), remarks = read_bytes(tmp_path, saz(session()))
    assert (AT, "GET", HOST, "/v1/customers", REQUEST_ID, 200, "OK", "false", Program("powershell")) == (
        exchange.at, exchange.method, exchange.host, exchange.path, exchange.request_id, exchange.status,
        exchange.reason_phrase, exchange.mfa_compliant, exchange.program,
    )  # fmt: skip
    assert [TOKEN.encode()] == [one.reveal() for one in exchange.authorization]
    assert not remarks.skipped


@pytest.mark.parametrize(
    ("options", "what"),
    [({}, "plain"), ({"password": b"secret"}, "ZipCrypto"), ({"password": b"secret", "aes": True}, "AES")],
)
def test_reads_each_kind_of_lock(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    """Without password, under ZipCrypto and under AES."""
    exchanges, _ = read_bytes(
        tmp_path, saz(session(), session("2"), **options), password=options.get("password")
    )
    assert 2 == len(exchanges)


@pytest.mark.parametrize("aes", [True, False])
@pytest.mark.parametrize(("given_word", "message"), [(None, "--password"), (b"wrong", "does not open")])
def test_says_what_is_wrong_with_a_password(
    tmp_path: Path, aes: bool, given_word: bytes | None, message: str
) -> None:
    """A missing and a wrong password are told apart, and both say so."""
    with pytest.raises(AuditError, match=message):
        read_bytes(tmp_path, saz(session(), password=b"secret", aes=aes), password=given_word)


def test_four_digit_names_other_files_and_folders(tmp_path: Path) -> None:
    """Other tools pad the numbers, use backslashes, a folder of their own, capitals, and add files."""
    odd = {"sessions\\raw\\0002_C.TXT": session()["raw/1_c.txt"], "raw/readme.txt": b"", "raw/1_x.txt": b""}
    exchanges, remarks = read_bytes(tmp_path, saz(session("0001"), odd))
    assert 2 == len(exchanges)
    assert not remarks.skipped


def test_a_session_with_request_only(tmp_path: Path) -> None:
    """Without answer and metadata it is a call still, dated by the one before; one without request is named."""
    exchanges, remarks = read_bytes(
        tmp_path, saz(session(), session("2", s=None, m=None), session("3", c=None))
    )
    assert [200, None] == [one.status for one in exchanges]
    assert [AT, AT] == [one.at for one in exchanges]
    assert {"no request": 1} == remarks.skipped


@pytest.mark.parametrize(
    ("request_head", "calls"),
    [
        (f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n", 0),
        (f"OPTIONS https://{HOST}/v1/x HTTP/1.1\r\n\r\n", 0),
        ("GET https://example.com/ HTTP/1.1\r\n\r\n", 0),
        (f"GET /v1/x HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n", 1),
        (f"GET https://127.0.0.1/v1/x HTTP/2\r\n:authority: {HOST}\r\n\r\n", 1),
        (f"\ufeffPOST https://{HOST}/v1/x\nhost: {HOST}\n\nbody", 1),
    ],
)
def test_which_sessions_are_calls(tmp_path: Path, request_head: str, calls: int) -> None:
    """Tunnels, preflights and other hosts are none; any way to name the API's host is one."""
    exchanges, remarks = read_bytes(tmp_path, saz(session(c=request_head.encode())))
    assert calls == len(exchanges)
    assert not remarks.skipped


def test_the_body_of_a_refusal_as_it_was_on_the_wire(tmp_path: Path) -> None:
    """Fiddler stores a 401's body chunked and packed; it is kept plain."""
    import gzip

    packed = gzip.compress(b'{"code": 900421}')
    answer = b"HTTP/1.1 401 Unauthorized - MFA required\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer += b"%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\n\r\n" % (5, packed[:5], len(packed) - 5, packed[5:])
    (exchange,), _ = read_bytes(tmp_path, saz(session(s=answer)))
    assert ("Unauthorized - MFA required", b'{"code": 900421}') == (exchange.reason_phrase, exchange.body)


@pytest.mark.parametrize(
    "metadata",
    [
        b"<Session",
        b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Session>'
        b'<SessionFlags><SessionFlag N="x-processinfo" V="&b;:1"/></SessionFlags></Session>',
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Session>&f;</Session>',
        b"<a>" * 10_000,
        b'<?xml version="1.0" encoding="nonsense"?><Session/>',
    ],
)
def test_metadata_that_cannot_be_read_costs_itself_only(tmp_path: Path, metadata: bytes) -> None:
    """Entities are refused, and the call is kept with the time of the one before."""
    exchanges, remarks = read_bytes(tmp_path, saz(session(), session("2", m=metadata)))
    assert [Program("powershell"), None] == [one.program for one in exchanges]
    assert 1 == remarks.notes["the metadata cannot be read"]


def test_climbing_paths_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    """A name with .. in it is skipped; reading writes no file."""
    exchanges, remarks = read_bytes(tmp_path, saz(session(), {"../../raw/2_c.txt": session()["raw/1_c.txt"]}))
    assert 1 == len(exchanges)
    assert {"a path that leads out of the archive": 1} == remarks.skipped
    assert ["a.saz"] == [path.name for path in tmp_path.iterdir()]


def test_a_flood_of_headers_is_skipped(tmp_path: Path) -> None:
    """A request with more fields than any server takes is named, and the others are kept."""
    flood = f"GET https://{HOST}/v1/x HTTP/1.1\r\n".encode() + b"a: b\r\n" * 10_001 + b"\r\n"
    exchanges, remarks = read_bytes(tmp_path, saz(session(), session("2", c=flood)))
    assert 1 == len(exchanges)
    assert {"more than 10,000 header fields": 1} == remarks.skipped


def test_endless_heads_are_searched_once(tmp_path: Path) -> None:
    """Sixty heads that do not end are given up at 1 MiB each, in seconds on a slow machine too."""
    (tmp_path / "a.saz").write_bytes(
        saz(*(session(str(number), c=b"a" * 2_000_000) for number in range(1, 61)))
    )
    begun = time.process_time()
    exchanges, remarks = read(tmp_path / "a.saz")
    assert time.process_time() - begun < 5
    assert ([], {"a head of more than 1 MiB": 60}) == (exchanges, remarks.skipped)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n"])
@pytest.mark.parametrize("size", [8190, 8191, 8192, 8193, 8194, 73_728])
def test_the_end_of_a_head_across_two_pieces(tmp_path: Path, end: bytes, size: int) -> None:
    """The empty line is found wherever it lies, and the body begins right behind it."""
    begin = b"HTTP/1.1 401 No\r\nX-A: "
    answer = begin + b"a" * (size - len(begin) - 2) + end + b"the body"
    (exchange,), _ = read_bytes(tmp_path, saz(session(s=answer)))
    assert b"the body" == exchange.body


def test_members_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    """A request of a gigabyte is named, an answer with a body of one is read, in some MiB."""
    with zipfile.ZipFile(tmp_path / "a.saz", "w", zipfile.ZIP_DEFLATED) as archive:
        for one in (session("1", c=None), session("2", s=None)):
            for name, data in one.items():
                archive.writestr(name, data)
        with archive.open("raw/1_c.txt", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b"a" * 1_000_000)
        with archive.open("raw/2_s.txt", "w", force_zip64=True) as file:
            file.write(b"HTTP/1.1 401 No\r\n\r\n")
            for _ in range(300):
                file.write(b"a" * 1_000_000)
    assert (1, 1) == peak_below(100, tmp_path / "a.saz")


def test_a_hundred_thousand_members_are_said(tmp_path: Path) -> None:
    """Past 100,000 files it is said; past 300,000 the archive is refused, before its table is read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in session().items():
            archive.writestr(name, data)
        for number in range(100_001):
            archive.writestr(f"x{number}", b"")
    exchanges, remarks = read_bytes(tmp_path, buffer.getvalue())
    assert 1 == len(exchanges)
    assert any("100,000" in note for note in remarks.notes)
    data = bytearray(saz(session()))
    end = data.rindex(b"PK\5\6")
    # A zip64 end record that promises ten million members.
    promise = (
        b"PK\6\6" + (44).to_bytes(8, "little") + bytes(20) + (10_000_000).to_bytes(8, "little") + bytes(16)
    )
    begun = time.monotonic()
    with pytest.raises(AuditError, match="10,000,000"):
        read_bytes(tmp_path, bytes(data[:end]) + promise + bytes(data[end:]))
    assert time.monotonic() - begun < 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_raises(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed anywhere cost sessions, or the archive with a sentence; never anything else."""
    good = saz(session(), session("2"))
    position = data.draw(st.integers(4, len(good) - 1))
    junk = data.draw(st.binary(max_size=8))
    drop = data.draw(st.integers(0, 20))
    try:
        exchanges, _ = read_bytes(tmp_path, good[:position] + junk + good[position + drop :])
    except AuditError:
        return
    assert len(exchanges) <= 2


def test_a_foreign_zip_is_no_capture(tmp_path: Path) -> None:
    """A zip without sessions or HAR says what it is not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("letter.txt", "dear")
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    with pytest.raises(recognition.NotACaptureError, match="neither"):
        recognition.read(tmp_path / "a.zip")

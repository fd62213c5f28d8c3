"""HTTP Archives."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from producers import (
    AT,
    HOST,
    NOW,
    REQUEST_ID,
    TOKEN,
    entry,
    flow,
    har,
    hardump,
    peak_below,
    read,
    write_flows,
)

from mfa_audit.captures import recognition
from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.commands.demo.standin import StandIn
from mfa_audit.judging.observations import Judge

LATE = "Bearer " + make_user_token("pwd", iat=round(AT) + 300, exp=round(AT) + 4000)


def read_bytes(tmp_path: Path, data: bytes) -> Any:
    (tmp_path / "a.har").write_bytes(data)
    return read(tmp_path / "a.har")


def test_reads_a_call(tmp_path: Path) -> None:
    """An entry becomes an Exchange: its own date with any offset, address without port and query, headers in
    any case.
    """
    url = f"https://user:secret@{HOST.upper()}:443/v1/customers?size=5#x"
    (exchange,), remarks = read_bytes(tmp_path, har(entry(url=url)))
    assert (AT, "GET", HOST, "/v1/customers", REQUEST_ID, 200, "false") == (
        exchange.at, exchange.method, exchange.host, exchange.path, exchange.request_id, exchange.status,
        exchange.mfa_compliant,
    )  # fmt: skip
    assert [TOKEN.encode()] == [one.reveal() for one in exchange.authorization]
    assert not remarks.skipped
    assert not remarks.notes


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_an_answer_from_the_cache_is_no_call(cache: str, tmp_path: Path) -> None:
    """What Chromium answered out of its cache proves nothing of a token: it is left out, and said."""
    (exchange,), remarks = read_bytes(tmp_path, har(entry(), entry(_fromCache=cache)))
    assert REQUEST_ID == exchange.request_id
    assert {"answered from the browser's cache, not by Partner Center": 1} == dict(remarks.skipped)


def test_mitmproxys_hardump_reads_as_its_flows(tmp_path: Path) -> None:
    """The same flows give the same calls from mitmproxy's flow file and from its HAR."""
    flows = [
        flow(),
        flow(status=401, body=b'{"code": 900421}', encoding="gzip"),
        flow(host="example.com"),
        flow(status=None),
    ]
    assert read(write_flows(tmp_path / "f", flows))[0] == read_bytes(tmp_path, hardump(flows))[0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (None, "no request"),
        ("text", "no request"),
        ({}, "no request"),
        ({"request": None}, "no request"),
        ({"request": {"method": "GET", "url": None}}, "no readable URL"),
        ({"request": {"method": "GET", "url": "nowhere"}}, "no readable URL"),
        (entry(headers={f"x-{number}": "" for number in range(10_001)}), "more than 10,000 header fields"),
    ],
)
def test_a_broken_entry_is_named_and_the_others_are_kept(tmp_path: Path, broken: Any, reason: str) -> None:
    """Each broken entry is skipped, counted and named by its place."""
    exchanges, remarks = read_bytes(tmp_path, har(entry(), broken, entry()))
    assert 2 == len(exchanges)
    assert {reason: 1} == remarks.skipped
    assert ("entry 2",) == remarks.places(reason)


@pytest.mark.parametrize(
    "broken", ['{"request": tru}', '{"a" 1}', '{"request": {"url": "x",}}', "[" * 100_000 + "]" * 100_000]
)
def test_an_entry_that_is_no_json_costs_itself_only(tmp_path: Path, broken: str) -> None:
    """Bad syntax inside one entry, or nesting beyond measure, is passed over by its brackets."""
    good = json.dumps(entry())
    text = f'{{"log": {{"entries": [{good}, {broken}, {good}]}}}}'
    exchanges, remarks = read_bytes(tmp_path, text.encode())
    assert 2 == len(exchanges)
    assert 1 == remarks.skipped.total()


def test_nan_is_read_as_python_writes_it(tmp_path: Path) -> None:
    """Tools in Python write NaN for times that are not known."""
    assert 1 == len(read_bytes(tmp_path, har(entry(time=float("nan"))))[0])


@pytest.mark.parametrize("field", ["response", "timings", "cache", "time", "startedDateTime"])
@pytest.mark.parametrize("value", [None, [], "x", -1])
def test_null_and_odd_fields_keep_the_call(tmp_path: Path, field: str, value: Any) -> None:
    """A call counts with any part but its request missing; without date it has the time of the one before."""
    exchanges, remarks = read_bytes(tmp_path, har(entry(), entry(**{field: value})))
    assert [AT, AT] == [one.at for one in exchanges]
    assert not remarks.skipped


@pytest.mark.parametrize("field", ["headers", "content", "status", "statusText"])
def test_null_inside_the_answer_keeps_the_call(tmp_path: Path, field: str) -> None:
    """An answer with missing parts is an answer."""
    one = entry(status=401)
    one["response"][field] = None
    exchanges, _ = read_bytes(tmp_path, har(one))
    assert 1 == len(exchanges)


def test_a_status_of_zero_is_no_answer(tmp_path: Path) -> None:
    """Browsers write 0 where no answer came; some tools write numbers as text."""
    exchanges, _ = read_bytes(tmp_path, har(entry(status=0), entry(status="403")))
    assert [None, 403] == [one.status for one in exchanges]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-05-28T20:26:40.125Z", AT),
        ("2026-05-28T20:26:40.1250000Z", AT),
        ("2026-05-29T01:56:40.125 +0530", AT),
        ("2026-05-28 12:26:40.125-08:00", AT),
        ("2026-05-28T20:26:40.125", AT),
    ],
)
def test_dates_of_all_kinds(tmp_path: Path, written: str, expected: float) -> None:
    """Any offset counts; without one the date is UTC, and that is said."""
    exchanges, remarks = read_bytes(tmp_path, har(entry(at=written)))
    assert [expected] == [one.at for one in exchanges]
    assert ("dated without an offset, read as UTC" in remarks.notes) is (
        written[-1:].isdigit() and written[-6] not in "+-" and written[-5] not in "+-"
    )


@pytest.mark.parametrize(
    "written",
    [None, "", "yesterday", "1601-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", 17],
)
def test_a_wrong_date_is_replaced_by_evidence_and_said(tmp_path: Path, written: Any) -> None:
    """The server's Date header dates a call without usable date; without it, the entry before, when the token was
    issued, or when the file was saved.
    """
    dated = entry(at=written)
    dated["response"]["headers"].append({"name": "Date", "value": "Thu, 28 May 2026 20:26:41 GMT"})
    path = tmp_path / "a.har"
    path.write_bytes(
        har(entry(at=written), dated, entry(at=written), entry(at=written, headers={"authorization": LATE}))
    )
    os.utime(path, (AT - 5000, AT - 5000))
    exchanges, remarks = read(path)
    assert [AT - 5000, AT + 0.875, AT + 0.875, round(AT) + 300] == [one.at for one in exchanges]
    assert not remarks.skipped
    how = [note.split(",")[0] for note in remarks.notes]
    assert [
        "dated by when the file was saved",
        "dated by the server's Date header",
        "dated as the entry before",
        "dated by when its token was issued",
    ] == how


def test_a_file_saved_at_no_possible_time(tmp_path: Path) -> None:
    """A file that says it was saved in 1980 or in the future dates a call as of now."""
    for saved in (315_532_800, NOW + 1e8):
        (tmp_path / "a.har").write_bytes(har(entry(at=None)))
        os.utime(tmp_path / "a.har", (saved, saved))
        assert [NOW] == [one.at for one in read(tmp_path / "a.har")[0]]


def test_reads_a_har_without_its_wrapper(tmp_path: Path) -> None:
    """The value of `log` alone, and the array of entries alone, read as the archive does."""
    whole, _ = read_bytes(tmp_path, har(entry(), entry(status=401)))
    log = json.loads(har(entry(), entry(status=401)))["log"]
    for bare in (log, log["entries"], {"entries": log["entries"], "version": "1.2"}):
        exchanges, remarks = read_bytes(tmp_path, json.dumps(bare).encode())
        assert whole == exchanges
        assert not remarks.notes


def test_a_log_inside_a_log_is_passed_over(tmp_path: Path) -> None:
    """Wrappers in wrappers without end neither count nor fail."""
    text = '{"log":' * 3000 + "{}" + "}" * 3000
    assert [] == read_bytes(tmp_path, text.encode())[0]


def test_each_repeated_field_of_an_answer_counts(tmp_path: Path) -> None:
    """A refusal in the second WWW-Authenticate, behind Negotiate, is seen."""
    one = entry(status=401)
    one["response"]["headers"] = [
        {"name": "WWW-Authenticate", "value": "Negotiate"},
        {
            "name": "www-authenticate",
            "value": 'Bearer error="invalid_token", error_description="MFA required"',
        },
    ]
    (exchange,), _ = read_bytes(tmp_path, har(one))
    assert Judge().observe(exchange).blocked


def test_a_token_too_long_to_be_read_is_told_as_such(tmp_path: Path) -> None:
    """A reader keeps enough of a header to tell that it is longer than what is decoded."""
    (exchange,), _ = read_bytes(tmp_path, har(entry(headers={"authorization": "Bearer " + "a" * 70_000})))
    assert "too-long" == Judge().observe(exchange).token.reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    """A byte order mark, and the encodings that PowerShell writes, are read."""
    assert 1 == len(read_bytes(tmp_path, har(entry()).decode().encode(encoding))[0])


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    """A Latin-1 header value costs its letter, not the file; a lone surrogate costs itself."""
    data = har(
        entry(headers={"user-agent": "B\u00fcro", "authorization": TOKEN}, url=f"https://{HOST}/\ud800")
    ).replace(b"\\u00fc", b"\xfc")
    (exchange,), _ = read_bytes(tmp_path, data)
    assert ("B\ufffdro", "/?") == (exchange.user_agent, exchange.path)


def test_the_host_header_names_a_rerouted_call(tmp_path: Path) -> None:
    """Host and HTTP/2's :authority count where the URL names another host."""
    entries = [
        entry(url="https://127.0.0.1:8443/v1/x"),
        entry(url="http://[::1]/v1/x", headers={"HOST": f"{HOST}:443"}),
        entry(url="https://example.com/", headers={}),
    ]
    assert [HOST, HOST] == [one.host for one in read_bytes(tmp_path, har(*entries))[0]]


def test_preflights_are_no_calls(tmp_path: Path) -> None:
    """OPTIONS without Authorization is a browser's question, not a call."""
    exchanges, _ = read_bytes(tmp_path, har(entry(method="OPTIONS", headers={}), entry(method="OPTIONS")))
    assert 1 == len(exchanges)


def test_the_body_of_a_refusal_in_base64(tmp_path: Path) -> None:
    """A 401's body is decoded, and cut at 64 KiB."""
    one, two = entry(status=401), entry(status=401, body="y" * 100_000)
    one["response"]["content"] = {"text": base64.b64encode(b"x" * 100_000).decode(), "encoding": "base64"}
    exchanges, _ = read_bytes(tmp_path, har(one, two))
    assert [b"x" * 65536, b"y" * 65536] == [exchange.body for exchange in exchanges]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_file_that_is_cut_off_keeps_its_whole_entries(tmp_path: Path, indent: int | None) -> None:
    """Of a file cut anywhere all whole entries are kept, and the loss is said."""
    data = json.dumps(json.loads(har(entry(), entry())), indent=indent).encode()
    for end in range(len(data) // 2 + 200, len(data), 97):
        exchanges, remarks = read_bytes(tmp_path, data[:end])
        assert 1 <= len(exchanges) <= 2
        assert remarks.notes


def test_entries_of_any_size_are_not_held(tmp_path: Path) -> None:
    """An entry with a body of 100 MB is read in some MiB, and the one after it too."""
    long = json.dumps(entry()).replace('"text": "{}"', '"text": "' + 'ab\\"\\u00e9' * 10_000_000 + '"')
    (tmp_path / "a.har").write_text(f'{{"log": {{"entries": [{long}, {json.dumps(entry())}]}}}}')
    del long
    assert (2, 0) == peak_below(90, tmp_path / "a.har")


def test_a_million_headers_are_skipped(tmp_path: Path) -> None:
    """An entry with 10^6 header fields is named, in bounded memory, and the next one is read."""
    flood = json.dumps(entry()).replace(
        '"headers": [', '"headers": [' + '{"name": "a", "value": "b"},' * 1_000_000, 1
    )
    (tmp_path / "a.har").write_text(f'{{"log": {{"entries": [{flood}, {json.dumps(entry())}]}}}}')
    del flood
    assert (1, 1) == peak_below(150, tmp_path / "a.har")


def test_zhar_and_gzip(tmp_path: Path) -> None:
    """mitmproxy's .zhar, and a HAR packed with gzip, are unpacked as they are read."""
    import gzip
    import zlib

    for data in (zlib.compress(har(entry())), gzip.compress(har(entry()))):
        assert 1 == len(read_bytes(tmp_path, data)[0])


def test_a_zip_of_hars_with_bodies_beside(tmp_path: Path) -> None:
    """Playwright's .har.zip names bodies that lie beside the HAR; climbing names and lies about them change
    nothing.
    """
    one, two = entry(status=401), entry(status=401)
    one["response"]["content"] = {"_file": "abc.json"}
    two["response"]["content"] = {"_file": "../../etc/passwd"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("har.har", har(one, two))
        archive.writestr("abc.json", b'{"code": 900421}')
    exchanges, _ = read_bytes(tmp_path, buffer.getvalue())
    assert [b'{"code": 900421}', None] == [exchange.body for exchange in exchanges]


@pytest.mark.parametrize(
    ("creator", "browser", "expected"),
    [
        ({"name": "WebInspector", "version": "537.36"}, None, "WebInspector 537.36"),
        ({"name": "Playwright", "version": "1"}, {"name": "chromium", "version": "2"}, "Playwright 1 (chromium 2)"),
        ({"name": [[[]]], "version": 3}, None, "3"),
        (None, None, None),
        ("Fiddler", 3, None),
    ],
)  # fmt: skip
def test_names_the_producer(tmp_path: Path, creator: Any, browser: Any, expected: str | None) -> None:
    """Creator and browser are told, wherever they stand in the file."""
    path = tmp_path / "a.har"
    path.write_text(json.dumps({"log": {"entries": [entry()], "creator": creator, "browser": browser}}))
    with recognition.read(path, now=NOW) as capture:
        list(capture.exchanges)
        assert expected == capture.producer


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_raises(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, dropped or added anywhere cost entries, never the reading."""
    good = har(entry(), entry(status=401))
    position = data.draw(st.integers(1, len(good) - 1))
    junk = data.draw(
        st.one_of(st.binary(max_size=8), st.sampled_from([b"[" * 3000, b'"', b"\\", b"}", b"]", b":", b","]))
    )
    drop = data.draw(st.integers(0, 20))
    (tmp_path / "a.har").write_bytes(good[:position] + junk + good[position + drop :])
    with contextlib.suppress(recognition.NotACaptureError):
        assert len(read(tmp_path / "a.har")[0]) <= 2


PLAYWRIGHT = """
const {chromium} = require('playwright-core');
(async () => {
  const [executablePath, path, url, address] = process.argv.slice(1);
  const rules = '--host-resolver-rules=MAP ' + new URL(url).hostname + ' ' + address;
  const browser = await chromium.launch({executablePath, args: ['--no-sandbox', '--proxy-server=direct://', rules]});
  const context = await browser.newContext({ignoreHTTPSErrors: true, recordHar: {path},
    extraHTTPHeaders: {Authorization: 'Bearer aaaa.bbbb.cccc'}});
  const page = await context.newPage();
  for (const status of [200, 401])
    await page.goto(url + '?status=' + status);
  await context.close();
  await browser.close();
})();
"""


@pytest.mark.parametrize("name", ["recorded.har", "recorded.har.zip"])
def test_playwrights_record_har(tmp_path: Path, standin: StandIn, name: str) -> None:
    """What Playwright's recordHar writes is read, plain and zipped with its bodies beside."""
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if not node or not chromium:
        pytest.skip("node or chromium is not on this machine")
    if subprocess.run(
        [node, "-e", "require('playwright-core')"], capture_output=True, check=False
    ).returncode:
        pytest.skip("playwright-core is not installed for node (NODE_PATH)")
    path = tmp_path / name
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [node, "-e", PLAYWRIGHT, chromium, str(path), f"https://{HOST}/v1/customers", f"127.0.0.1:{standin.port}"],
        check=True, timeout=120, env=environment,
    )  # fmt: skip
    everything, remarks = read(path, now=path.stat().st_mtime)
    exchanges = [one for one in everything if one.path == "/v1/customers"]  # and no favicon
    assert [200, 401] == [one.status for one in exchanges]
    assert exchanges[1].body
    assert [TOKEN.encode()] == [one.reveal() for one in exchanges[0].authorization]
    assert not remarks.skipped

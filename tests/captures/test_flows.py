"""mitmproxy's flow files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import producers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow
from mitmproxy.version import FLOW_FORMAT_VERSION
from producers import AT, HOST, NOW, flow, peak_below, read, write_flows

from mfa_audit.captures import flows, netstrings
from mfa_audit.captures.entries import Reading, SkipError
from mfa_audit.captures.remarks import Remarks
from mfa_audit.captures.streams import BUFFER
from mfa_audit.commands.demo.standin import StandIn


def reading() -> Reading:
    return Reading(Remarks(), NOW)


def test_the_current_format_is_mitmproxys() -> None:
    """The short way knows the format that the installed mitmproxy writes."""
    assert FLOW_FORMAT_VERSION == flows.CURRENT


def test_reads_a_call(tmp_path: Path) -> None:
    """A flow becomes an Exchange with its time, address without query, headers and answer."""
    (exchange,), remarks = read(write_flows(tmp_path / "one", [flow()]))
    assert (AT, "GET", HOST, "/v1/customers", 200, "OK", "false") == (
        exchange.at, exchange.method, exchange.host, exchange.path, exchange.status, exchange.reason_phrase,
        exchange.mfa_compliant,
    )  # fmt: skip
    assert [b"Bearer aaaa.bbbb.cccc"] == [one.reveal() for one in exchange.authorization]
    assert not remarks.skipped


def test_recorded_traffic_reads_the_same_from_flows_and_har(tmp_path: Path, standin: StandIn) -> None:
    """What mitmdump recorded with -w and with hardump gives the same calls, a refusal's body included."""
    flow_file, har_file = producers.record(
        tmp_path, standin, ["/v1/customers?n=1", "/v1/invoices?status=401"]
    )
    now = flow_file.stat().st_mtime
    from_flows, _ = read(flow_file, now=now)
    from_har, _ = read(har_file, now=now)
    assert [HOST, HOST] == [one.host for one in from_flows]
    assert 401 == from_flows[1].status
    assert from_flows[1].body
    for ours, theirs in zip(from_flows, from_har, strict=True):
        # A HAR's time has microseconds.
        assert abs(ours.at - theirs.at) < 1e-5
        for name in ("method", "path", "authorization", "user_agent", "request_id", "status", "body"):
            assert getattr(ours, name) == getattr(theirs, name)


header_names = st.sampled_from(
    [b"Authorization", b"user-agent", b"MS-RequestId", b"Date", b"X-Other", b"host"]
)
answer_names = st.sampled_from([b"isMfaCompliant", b"WWW-Authenticate", b"Date", b"Content-Encoding"])
header_values = st.one_of(
    st.sampled_from([b"Bearer x", HOST.encode(), b"Mon, 01 Jun 2026 00:00:00 GMT"]), st.binary(max_size=30)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.lists(st.tuples(header_names, header_values), max_size=6),
    answer=st.lists(st.tuples(answer_names, header_values), max_size=4),
    host=st.sampled_from([HOST, "127.0.0.1", "example.com", HOST.upper() + "."]),
    method=st.sampled_from(["GET", "OPTIONS", "CONNECT", "post"]),
    status=st.sampled_from([None, 200, 401]),
    body=st.binary(max_size=200),
    at=st.sampled_from([AT, 0.0, AT + 1e9, AT - 1]),
    path=st.sampled_from(["/v1/a?b#c", "/", "https://example.com/v1/x?y", "*"]),
)  # fmt: skip
def test_the_short_way_and_mitmproxys_agree(
    headers: Any, answer: Any, host: str, method: str, status: int | None, body: bytes, at: float, path: str
) -> None:
    """Both ways make the same Exchange of any flow, or both skip it for the same reason."""
    made = flow(host=host, method=method, status=status, body=body, at=at, headers=headers)
    made.request.data.path = path.encode()
    if made.response:
        made.response.headers = type(made.response.headers)(answer)
    record = tnetstring.dumps(made.get_state())
    record = record[record.index(b":") + 1 : -1]
    results = []
    for way in (flows.read_current, flows.read_by_mitmproxy):
        try:
            results.append(way(record, reading(), "flow 1"))
        except SkipError as skip:
            results.append(str(skip))
    assert results[0] == results[1]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", None])
def test_keeps_the_unpacked_body_of_a_refusal_only(tmp_path: Path, encoding: str | None) -> None:
    """A 401's body is kept unpacked, and no other."""
    body = b'{"code": 900421, "description": "MFA required"}'
    made = [flow(status=401, body=body, encoding=encoding), flow(body=body, encoding=encoding)]
    exchanges, _ = read(write_flows(tmp_path / "f", made))
    assert [body, None] == [one.body for one in exchanges]


def test_rerouted_calls_count_by_their_host_header(tmp_path: Path) -> None:
    """A flow to another address is a call of the API when its Host header says so."""
    exchanges, _ = read(
        write_flows(tmp_path / "f", [flow(host="127.0.0.1", named=f"{HOST}:443"), flow(host="example.com")])
    )
    assert [HOST] == [one.host for one in exchanges]


def test_preflights_and_tunnels_are_no_calls(tmp_path: Path) -> None:
    """OPTIONS without Authorization and CONNECT are left out, OPTIONS with it is not."""
    made = [flow(method="OPTIONS", headers=[]), flow(method="CONNECT"), flow(method="OPTIONS")]
    exchanges, remarks = read(write_flows(tmp_path / "f", made))
    assert ["OPTIONS"] == [one.method for one in exchanges]
    assert not remarks.skipped


def test_other_flows_are_passed_over(tmp_path: Path) -> None:
    """TCP, UDP and DNS flows are no calls and no trouble."""
    exchanges, remarks = read(write_flows(tmp_path / "f", [tflow.ttcpflow(), tflow.tdnsflow(), flow()]))
    assert 1 == len(exchanges)
    assert not remarks.skipped


def test_a_file_that_is_cut_off_keeps_its_whole_flows(tmp_path: Path) -> None:
    """Of a file cut anywhere all whole flows are kept, and the loss is said."""
    data = write_flows(tmp_path / "f", [flow(f"/v1/{number}") for number in range(3)]).read_bytes()
    third = len(data) // 3
    for end in (len(data) - 1, len(data) - third // 2, 2 * third + 3):
        (tmp_path / "cut").write_bytes(data[:end])
        exchanges, remarks = read(tmp_path / "cut")
        assert 2 == len(exchanges)
        assert any("no whole flow" in note for note in remarks.notes)


def test_flows_after_a_damaged_stretch_are_found(tmp_path: Path) -> None:
    """A recorder that was killed and started again with -w +file costs one flow, not all after it."""
    data = write_flows(tmp_path / "f", [flow(), flow(), flow()]).read_bytes()
    third = len(data) // 3
    (tmp_path / "torn").write_bytes(data[: third + third // 2] + data)
    exchanges, remarks = read(tmp_path / "torn")
    assert 4 == len(exchanges)
    assert any("passed over" in note for note in remarks.notes)


@pytest.mark.parametrize("before", [0, 1, *range(BUFFER - 1_500, BUFFER + 100, 40)])
def test_the_copy_inside_a_changed_flow_is_no_call(tmp_path: Path, before: int) -> None:
    """A flow that was changed holds its backup; after damage the search does not start in that, wherever it lies."""
    changed = flow("/v1/before")
    changed.backup()
    changed.request.path = "/v1/after"
    torn = b"9" * before + tnetstring.dumps(changed.get_state())[8:]
    good = tnetstring.dumps(flow("/v1/whole").get_state())
    (tmp_path / "f").write_bytes(good + torn + good)
    exchanges, remarks = read(tmp_path / "f")
    assert ["/v1/whole", "/v1/whole"] == [one.path for one in exchanges]
    assert any("passed over" in note for note in remarks.notes)


def test_a_file_made_to_wear_out_the_search_ends_soon(tmp_path: Path) -> None:
    """Half a million places where a flow might begin, and none does: reading gives up, and says so."""
    (tmp_path / "f").write_bytes(b"99:4:type;" * 500_000 + b"}")
    begun = time.monotonic()
    exchanges, remarks = read(tmp_path / "f")
    assert [] == exchanges
    assert remarks.notes
    assert time.monotonic() - begun < 10


def test_concatenated_files_are_one(tmp_path: Path) -> None:
    """Two flow files one after the other read as one."""
    data = write_flows(tmp_path / "f", [flow()]).read_bytes()
    (tmp_path / "two").write_bytes(data * 2)
    assert 2 == len(read(tmp_path / "two")[0])


def migrate_back(state: dict[str, Any], version: int) -> dict[str, Any]:
    """The state as an older mitmproxy wrote it (mitmproxy/io/compat.py, read backwards)."""
    if version <= 19:
        state["client_conn"]["state"] = state["server_conn"]["state"] = 0
    if version <= 18:
        for name, (peer, sock) in {
            "client_conn": ("address", "sockname"),
            "server_conn": ("ip_address", "source_address"),
        }.items():
            state[name][peer] = state[name].pop("peername")
            state[name][sock] = state[name].pop("sockname")
            state[name]["tls_established"] = True
            state[name]["cipher_name"] = state[name].pop("cipher")
        state["client_conn"]["tls_extensions"] = []
        state["server_conn"]["via2"] = state["server_conn"].pop("via")
    if version <= 16:
        state["mode"] = "regular"
    if version <= 15:
        state.pop("timestamp_created")
    state["version"] = version
    return state


@pytest.mark.parametrize("version", [20, 19, 18, 16, 15])
def test_older_formats_are_read_by_mitmproxy(tmp_path: Path, version: int) -> None:
    """A flow of an older format gives the same Exchange as the current one."""
    path = tmp_path / "old"
    path.write_bytes(tnetstring.dumps(migrate_back(flow().get_state(), version)))
    expected, _ = read(write_flows(tmp_path / "new", [flow()]))
    exchanges, remarks = read(path)
    assert not remarks.skipped
    assert expected == exchanges


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request": None}, "not a flow that mitmproxy can read"),
        ({"version": 99}, "written by a newer mitmproxy (flow format 99)"),
        ({"version": 3}, "written in flow format 3, which is too old"),
        ({"version": [0, 10]}, "written in flow format 0.10, which is too old"),
        ({"version": [0, 18, 2]}, "not a flow that mitmproxy can read (KeyError, flow format 0.18)"),
        ({"version": "x"}, "not a flow that mitmproxy can read"),
        ({"response": [1, 2]}, "not a flow that mitmproxy can read"),
    ],
)
def test_an_odd_flow_is_named_and_the_others_are_kept(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """Whatever mitmproxy raises on a flow costs that flow only."""
    good = tnetstring.dumps(flow().get_state())
    (tmp_path / "f").write_bytes(good + tnetstring.dumps({**flow().get_state(), **change}) + good)
    exchanges, remarks = read(tmp_path / "f")
    assert 2 == len(exchanges)
    ((named, count),) = remarks.skipped.items()
    assert named.startswith(reason)
    assert (1, ("flow 2",)) == (count, remarks.places(named))


def test_bodies_of_any_size_are_not_held(tmp_path: Path) -> None:
    """A flow with a body of 200 MB is read in a few MiB; a refusal's body is cut to 64 KiB."""
    path = write_flows(tmp_path / "f", [flow(status=401, body=b"x" * 200_000_000), flow()])
    assert (2, 0) == peak_below(90, path)
    assert [65536, None] == [one.body and len(one.body) for one in read(path)[0]]


def test_a_flood_of_headers_is_skipped(tmp_path: Path) -> None:
    """A flow with 200,000 header fields is named, and the next one is read."""
    flood = flow(headers=[(b"X-A", b"b")] * 200_000)
    exchanges, remarks = read(write_flows(tmp_path / "f", [flood, flow()]))
    assert 1 == len(exchanges)
    assert 1 == remarks.skipped.total()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_raises(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, dropped or repeated anywhere cost flows, never the reading."""
    good = tnetstring.dumps(flow().get_state()) * 2
    position = data.draw(st.integers(1, len(good) - 1))
    junk = data.draw(st.binary(max_size=8))
    drop = data.draw(st.integers(0, 20))
    path = tmp_path / "f"
    path.write_bytes(good[:position] + junk + good[position + drop :])
    if flows.recognise(path.read_bytes()[:64]):
        assert len(read(path)[0]) <= 2


def test_lengths_are_only_digits() -> None:
    """What Python would take for a number is no length: signs, spaces and underscores."""
    for length in (b"-1", b" 1", b"1_0", b"+1", b""):
        record = b"4:type;" + length + b":aaaaaaaaaa,"
        with pytest.raises(ValueError, match="not a dictionary"):
            netstrings.index(record, 0, len(record))

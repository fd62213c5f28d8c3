"""Telling captures by content, and what all of them have in common."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from producers import NOW, entry, flow, har, saz, session, write_flows

from mfa_audit.captures import recognition
from mfa_audit.errors import AuditError

COUNT = """
import sys
from mfa_audit.captures import recognition
with recognition.read(None) as capture:
    print(capture.format, sum(1 for _ in capture.exchanges), capture.sha256())
"""


@pytest.fixture(params=["flows", "HAR", "SAZ"])
def capture_file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A capture in each format, under a name that says nothing."""
    path = tmp_path / "capture.txt"
    if request.param == "flows":
        write_flows(path, [flow()])
    else:
        path.write_bytes(har(entry()) if request.param == "HAR" else saz(session()))
    return request.param, path


def test_content_tells_the_format(capture_file: tuple[str, Path]) -> None:
    """The name of a file says nothing; its SHA-256 is that of its bytes."""
    format_, path = capture_file
    with recognition.read(path, now=NOW) as capture:
        assert format_ in capture.format
        assert 1 == len(list(capture.exchanges))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == capture.sha256()
        assert path.stat().st_size == capture.size


@pytest.mark.parametrize("piped", [True, False])
def test_standard_input(capture_file: tuple[str, Path], piped: bool) -> None:
    """A capture comes through a pipe, or through a redirection, in each format."""
    format_, path = capture_file
    command = [sys.executable, "-c", COUNT]
    if piped:
        done = subprocess.run(command, input=path.read_bytes(), capture_output=True, timeout=60, check=False)
    else:
        with path.open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, timeout=60, check=False)
    *words, count, digest = done.stdout.decode().split()
    assert (format_ in " ".join(words), "1") == (True, count)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\0" * 100, b"%PDF-1.7", b"\x78\x9c nothing", b"PK\3\4 nothing", b"\x89PNG\r\n"]
)
def test_foreign_files_are_refused_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    """What is no capture is said to be none."""
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(AuditError):
        recognition.read(path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file and a folder are told in a sentence."""
    with pytest.raises(AuditError, match="cannot be read"):
        recognition.read(tmp_path / "nothing")
    with pytest.raises(AuditError, match="--recursive"):
        recognition.read(tmp_path)


def test_a_bomb_is_defused(tmp_path: Path) -> None:
    """A .zhar that unpacks to hundreds of times its size is refused after some MiB."""
    machine = zlib.compressobj(9)
    data = machine.compress(b'{"log": {"entries": [')
    for _ in range(400):
        data += machine.compress(b" " * 1_000_000)
    (tmp_path / "bomb.zhar").write_bytes(data + machine.flush())
    with recognition.read(tmp_path / "bomb.zhar") as capture, pytest.raises(AuditError, match="trap"):
        list(capture.exchanges)


def test_a_bomb_in_a_zip_is_defused(tmp_path: Path) -> None:
    """The same of a HAR in a zip."""
    with (
        zipfile.ZipFile(tmp_path / "bomb.har.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("har.har", "w", force_zip64=True) as file,
    ):
        file.write(b'{"log": {"entries": [')
        for _ in range(400):
            file.write(b" " * 1_000_000)
    with recognition.read(tmp_path / "bomb.har.zip") as capture, pytest.raises(AuditError, match="trap"):
        list(capture.exchanges)


def test_a_flow_file_in_gzip(tmp_path: Path) -> None:
    """Packed flow files are read without unpacking them to disk."""
    import gzip

    path = tmp_path / "flows.gz"
    path.write_bytes(gzip.compress(write_flows(tmp_path / "f", [flow(), flow()]).read_bytes()))
    with recognition.read(path, now=NOW) as capture:
        assert 2 == len(list(capture.exchanges))


def remedy_of(path: Path, creator: str | None, browser: str | None = None, *, marked: bool) -> str:
    names = {
        key: {"name": name, "version": "1"}
        for key, name in (("creator", creator), ("browser", browser))
        if name
    }
    path.write_bytes(
        json.dumps({"log": {"version": "1.2", **names, "entries": [entry(headers={})]}}).encode()
    )
    with recognition.read(path, now=NOW) as capture:
        list(capture.exchanges)
        return capture.remedy(marked=marked)


@pytest.mark.parametrize(
    ("creator", "browser", "words"),
    [
        ("WebInspector", None, "with sensitive data"), ("Firefox", "Firefox", "Firefox"),
        ("WebKit Web Inspector", None, "Safari"), ("Fiddler", None, "Fiddler"), ("Charles Proxy", None, "Charles"),
        ("Proxyman", None, "Proxyman"), ("HTTP Toolkit", None, "HTTP Toolkit"), ("mitmproxy", None, "mitmdump"),
        ("Insomnia REST Client", None, "Insomnia"), ("Playwright", None, "recordHar"), ("someone", None, "sanitizer"),
        ("WebPagetest", None, "WebPageTest"), (None, None, "sanitizer"),
        # Who wrote the file counts before whose traffic it is.
        ("Playwright", "firefox", "recordHar"), ("WebPagetest", "Firefox", "WebPageTest"),
        ("Fiddler", "Firefox", "SAZ"), ("BrowserMob Proxy", "Firefox", "Firefox"), (None, "Firefox", "Firefox"),
    ],
)  # fmt: skip
def test_each_producer_has_its_remedy(
    tmp_path: Path, creator: str | None, browser: str | None, words: str
) -> None:
    """A capture whose tokens somebody replaced by marks says how its producer keeps them."""
    assert words in remedy_of(tmp_path / "a.har", creator, browser, marked=True)


@pytest.mark.parametrize(
    ("creator", "words"),
    [
        ("WebInspector", "with sensitive data"), ("WebPagetest", "WebPageTest"), ("Firefox", "Either the programs"),
        ("mitmproxy", "Either the programs"), ("Charles Proxy", "Either the programs"), (None, "Either the programs"),
    ],
)  # fmt: skip
def test_a_cause_that_nobody_knows_is_not_told(tmp_path: Path, creator: str | None, words: str) -> None:
    """Where calls simply had no Authorization, only producers that leave it out by themselves are blamed."""
    assert words in remedy_of(tmp_path / "a.har", creator, marked=False)


def test_flows_without_authorization_blame_no_addon(tmp_path: Path) -> None:
    """A flow file whose calls had no Authorization may be whole."""
    with recognition.read(write_flows(tmp_path / "f", [flow(headers=[])]), now=NOW) as capture:
        list(capture.exchanges)
        assert "addon" not in capture.remedy(marked=False)
        assert "addon" in capture.remedy(marked=True)


def test_reading_loads_no_mitmproxy(tmp_path: Path) -> None:
    """A flow file of the current format, like all others, is read without loading mitmproxy."""
    path = write_flows(tmp_path / "f", [flow()])
    script = "import sys; from pathlib import Path; from mfa_audit.captures import recognition\n"
    script += "assert len(list(recognition.read(Path(sys.argv[1])).exchanges)) == 1; print('mitmproxy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "False\n" == done.stdout


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_named_pipe(tmp_path: Path) -> None:
    """A capture may come through a named pipe: `mfa-audit import <(zstdcat calls.har.zst)`."""
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[har(entry(), entry())])
    writer.start()
    with recognition.read(pipe, now=NOW) as capture:
        assert 2 == len(list(capture.exchanges))
    writer.join()


def test_further_hosts_count(tmp_path: Path) -> None:
    """Hosts that the user adds are API hosts."""
    path = write_flows(tmp_path / "f", [flow(host="gateway.contoso.example")])
    with recognition.read(path, further=["gateway.contoso.example"], now=NOW) as capture:
        assert ["gateway.contoso.example"] == [one.host for one in capture.exchanges]


def test_rewinding_reads_no_more_than_it_must() -> None:
    """`inflate` hands out no more than it is asked for."""
    from mfa_audit.captures.streams import inflate

    read = inflate(io.BytesIO(zlib.compress(b"a" * 1000)).read)
    assert [10, 990] == [len(read(10)), sum(len(piece) for piece in iter(lambda: read(100), b""))]

"""Drive every client that this machine has through `mfa-audit`, and write what came of it into docs/clients.md.

    python scripts/drive_clients.py [--folder FOLDER] [--write]

Each client makes one call to Partner Center's API, which a stand-in on loopback answers, under `mfa-audit run`
(browsers under `mfa-audit browse`). It counts as recorded when the report has exactly that call. Clients that come from
a package index (requests, httpx, aiohttp, axios, Azure CLI) are installed into environments of their own in FOLDER,
which is kept when it is named. With --write the table between the markers in docs/clients.md is replaced.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mfa_audit.commands.demo.sample_tokens import make_user_token
from mfa_audit.commands.demo.standin import StandIn

HERE: Final = Path(__file__).resolve().parent
GUIDE: Final = HERE.parent / "docs" / "clients.md"
HOST: Final = "api.partnercenter.microsoft.com"
URL: Final = f"https://{HOST}/v1/customers"
AUDIT: Final = [sys.executable, "-m", "mfa_audit"]
BEGIN: Final = "<!-- written by scripts/drive_clients.py -->"
END: Final = "<!-- end of what it wrote -->"
SECONDS: Final = 120


@dataclass(frozen=True)
class Result:
    """What came of one client: its version, and whether its call was recorded (None: it is not on this machine)."""

    title: str
    version: str
    recorded: bool | None
    remark: str = ""


@dataclass(frozen=True)
class Client:
    """A client: what it is called, how its version is asked, and its command line for a URL and a token.

    Either may give None where the client cannot be had. `remark` goes into the guide.
    """

    title: str
    version: Callable[[Path], Sequence[str] | None]
    command: Callable[[Path, str], Sequence[str] | None]
    remark: str = ""


def program(name: str, *arguments: str) -> Callable[[Path], Sequence[str] | None]:
    return lambda _: [name, *arguments] if shutil.which(name) else None


def python_client(
    package: str, script: str, *arguments: str, title: str | None = None, remark: str = ""
) -> Client:
    def version(folder: Path) -> Sequence[str] | None:
        python = python_with(folder, package)
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return [str(python), "-c", code] if python else None

    def command(folder: Path, token: str) -> Sequence[str] | None:
        python = python_with(folder, package)
        return [str(python), str(HERE / "clients" / script), URL, token, *arguments] if python else None

    return Client(title or f"Python {package}", version, command, remark)


def python_with(folder: Path, package: str) -> Path | None:
    """A Python of its own with that package, made once; None where it cannot be installed."""
    environment = folder / package
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = environment / scripts / ("python.exe" if os.name == "nt" else "python")
    if not (environment / "ready").exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(environment)], check=False).returncode == 0
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        if not made or subprocess.run(install, check=False).returncode != 0:
            return None
        (environment / "ready").touch()
    return python


def axios(folder: Path) -> Path | None:
    """Node's folder of modules with axios in it, made once."""
    modules = folder / "node" / "node_modules"
    if shutil.which("npm") and not (modules / "axios").exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder / "node"), "axios"], check=False)
    return modules if (modules / "axios").exists() else None


def axios_command(folder: Path, token: str) -> Sequence[str] | None:
    modules = axios(folder)
    if modules is None or shutil.which("node") is None:
        return None
    script = shutil.copy(HERE / "clients" / "axios.js", modules.parent / "call.js")
    return ["node", str(script), URL, token]


def axios_version(folder: Path) -> Sequence[str] | None:
    modules = axios(folder)
    return (
        None
        if modules is None
        else ["node", "-p", f"require({str(modules / 'axios' / 'package.json')!r}).version"]
    )


def go_command(folder: Path, token: str) -> Sequence[str] | None:
    if shutil.which("go") is None:
        return None
    binary = folder / ("call.exe" if os.name == "nt" else "call")
    subprocess.run(["go", "build", "-o", str(binary), str(HERE / "clients" / "call.go")], check=True)
    return [str(binary), URL, token]


def azure_command(folder: Path, token: str) -> Sequence[str] | None:
    python = python_with(folder, "azure-cli")
    if python is None:
        return None
    headers = ["--headers", f"Authorization=Bearer {token}"]
    return [str(python), "-m", "azure.cli", "rest", "--skip-authorization-header", *headers, "--url", URL]


def azure_version(folder: Path) -> Sequence[str] | None:
    python = python_with(folder, "azure-cli")
    code = "from importlib.metadata import version; print(version('azure-cli'))"
    return [str(python), "-c", code] if python else None


def java(name: str) -> Callable[[Path, str], Sequence[str] | None]:
    source = str(HERE / "clients" / f"{name}.java")
    return lambda _, token: ["java", source, URL, token] if shutil.which("java") else None


def script(name: str, *first: str) -> Callable[[Path, str], Sequence[str] | None]:
    path = str(HERE / "clients" / name)
    return lambda _, token: [*first, path, URL, token] if shutil.which(first[0]) else None


def with_header(*command: str) -> Callable[[Path, str], Sequence[str] | None]:
    return lambda _, token: (
        [*command, "--header", f"Authorization: Bearer {token}", URL] if shutil.which(command[0]) else None
    )


def powershell(name: str) -> Callable[[Path, str], Sequence[str] | None]:
    call = "Invoke-RestMethod -Uri '{}' -Headers @{{Authorization = 'Bearer {}'}}"
    return lambda _, token: (
        [name, "-NoProfile", "-Command", call.format(URL, token)] if shutil.which(name) else None
    )


CLIENTS: Final = (
    Client("curl", program("curl", "--version"), with_header("curl", "--silent", "--show-error")),
    Client("wget", program("wget", "--version"), with_header("wget", "--quiet", "--output-document=-"),
           "Debian's is built with GnuTLS and reads no trust variable: `wget --ca-certificate=\"$SSL_CERT_FILE\"`."),
    python_client("requests", "by_requests.py"),
    python_client("httpx", "by_httpx.py"),
    python_client("aiohttp", "by_aiohttp.py", "trust_env", title="Python aiohttp, `trust_env=True`"),
    python_client("aiohttp", "by_aiohttp.py", title="Python aiohttp",
                  remark="Ignores the variables unless the script says `trust_env=True`."),
    Client("Python urllib", lambda _: [sys.executable, "--version"], script("by_urllib.py", sys.executable)),
    Client("Azure CLI, `az rest`", azure_version, azure_command),
    Client("Node axios", axios_version, axios_command),
    Client("Node fetch", program("node", "--version"), script("fetch.mjs", "node"),
           "Looks at the proxy variables from Node 24 and 22.21 on only; `run` says so before it starts an older one."),
    Client("Java HttpURLConnection", program("java", "-version"), java("Call")),
    Client("Java HttpClient", program("java", "-version"), java("CallByHttpClient")),
    Client("Go net/http", program("go", "version"), go_command,
           "On Windows and macOS it trusts the system's store only: `mfa-audit trust`."),
    Client("PowerShell 7", program("pwsh", "--version"), powershell("pwsh")),
    Client("Windows PowerShell 5.1", program("powershell", "-Command", "$PSVersionTable.PSVersion.ToString()"),
           powershell("powershell"), "Needs `mfa-audit trust`, and the line of `mfa-audit env` in the script."),
)  # fmt: skip
BROWSERS: Final = {
    "edge": "microsoft-edge",
    "chrome": "google-chrome",
    "chromium": "chromium",
    "firefox": "firefox",
}


def drive(client: Client, folder: Path, standin: StandIn) -> Result:
    """One client through `run`."""
    asked = client.version(folder)
    command = client.command(folder, make_user_token("pwd", "mfa")) if asked is not None else None
    if asked is None or command is None:
        return Result(client.title, "", None, client.remark)
    with tempfile.TemporaryDirectory() as place:
        database = Path(place) / "audit.db"
        subprocess.run(
            [*AUDIT, "run", "--quiet", "--db", str(database), *towards(standin), "--", *command],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        return Result(client.title, version_of(asked), requests_in(database) == 1, client.remark)


def drive_browser(name: str, standin: StandIn) -> Result:
    """One browser through `browse`, on a page whose script calls the API."""
    title = f"{name.capitalize()}, `browse`"
    found = shutil.which(BROWSERS[name]) or (shutil.which("firefox-esr") if name == "firefox" else None)
    if found is None:
        return Result(title, "", None)
    with tempfile.TemporaryDirectory() as place, page(make_user_token("pwd", "mfa")) as url:
        database = Path(place) / "audit.db"
        browsing = subprocess.Popen(
            [*AUDIT, "browse", "--headless", "--browser", name, "--db", str(database), *towards(standin), url],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and browsing.poll() is None and requests_in(database) == 0:
            time.sleep(1)
        browsing.terminate()
        browsing.communicate(timeout=SECONDS)
        return Result(title, version_of([found, "--version"]), requests_in(database) == 1)


@contextmanager
def page(token: str) -> Iterator[str]:
    """A page on loopback that calls the API; its URL."""
    html = f"<script>fetch('{URL}', {{headers: {{Authorization: 'Bearer {token}'}}}})</script>".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def towards(standin: StandIn) -> list[str]:
    """The options that send the API's calls to the stand-in."""
    options = {
        "map_remote": f"|https://{re.escape(HOST)}(:443)?/|{standin.origin}/",
        "ssl_verify_upstream_trusted_ca": str(standin.certificate_file),
        "connection_strategy": "lazy",
    }
    return [word for name, value in options.items() for word in ("--set", f"{name}={value}")]


def requests_in(database: Path) -> int:
    """How many calls with a token the report counts."""
    if not database.exists():
        return 0
    report = [*AUDIT, "report", "--db", str(database), "--format", "json", "--since", "all"]
    told = subprocess.run(report, capture_output=True, text=True, check=False).stdout
    return int(json.loads(told)["totals"]["requests"]) if told else 0


def version_of(asked: Sequence[str]) -> str:
    """The first thing like a version in what the program says."""
    told = subprocess.run(
        asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    found = re.search(r"\d+(\.\d+)+\w*", told.stdout + told.stderr)
    return found[0] if found else "?"


def table(results: Sequence[Result]) -> str:
    """The results as Markdown."""
    words = {True: "yes", False: "**no**", None: "not tried here"}
    lines = ["| client | version | recorded | |", "|---|---|---|---|"]
    lines += [f"| {one.title} | {one.version} | {words[one.recorded]} | {one.remark} |" for one in results]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where installed clients are kept")
    parser.add_argument("--write", action="store_true", help="write the table into docs/clients.md")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="clients-"))
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    try:
        with StandIn() as standin:
            for client in CLIENTS:
                results.append(drive(client, folder, standin))
                print(f"{results[-1].title}: {results[-1].version} {results[-1].recorded}", file=sys.stderr)
            for name in BROWSERS:
                results.append(drive_browser(name, standin))
                print(f"{results[-1].title}: {results[-1].version} {results[-1].recorded}", file=sys.stderr)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(results))
    if arguments.write:
        text = GUIDE.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        GUIDE.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What servers do, each with the calls that meet it, and the clients that make them directly and through the proxy."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = Path(__file__).with_name("programs")
HOST: Final = "api.partnercenter.microsoft.com"
BASE: Final = f"https://{HOST}/SITUATION?run="
UPLOAD: Final = 900_000

Call = tuple[str, int, float, dict[str, str]]  # method, size of its body, pause before it (s), header fields
GET: Final[Call] = ("GET", 0, 0.0, {})
POST: Final[Call] = ("POST", 200, 0.0, {})
LATER: Final = 0.3


@dataclass(frozen=True)
class Situation:
    """`calls` follow each other on what the client keeps open; `title` for the table."""

    title: str
    calls: tuple[Call, ...]
    kinds: str = "12"  # of HTTP


EXPECTING: Final[Call] = ("POST", 5_000, 0.0, {"Expect": "100-continue"})
SITUATIONS: Final[dict[str, Situation]] = {
    "plain": Situation("five calls on a kept connection", (GET, POST, GET, GET, POST)),
    "goaway": Situation("GOAWAY after every third call", (GET,) * 8, "2"),
    "goaway-late": Situation("GOAWAY that crosses a call", (GET,) * 8, "2"),
    "refused-stream": Situation("REFUSED_STREAM", (GET, POST, GET, GET), "2"),
    "closed-between": Situation(
        "kept connection closed between calls", (GET, ("GET", 0, LATER, {}), ("POST", 200, LATER, {}))
    ),
    "closed-meanwhile": Situation("kept connection closed while a call is on its way", (GET, GET, GET)),
    "no-answer": Situation("closed without an answer", (GET, POST)),
    "cut-short": Situation("closed in the middle of an answer", (GET,)),
    "expect-continue": Situation("Expect: 100-continue, granted", (EXPECTING, EXPECTING), "1"),
    "expect-refused": Situation("Expect: 100-continue, refused", (EXPECTING,), "1"),
    "early-refusal": Situation("401 and close during an upload of 900 kB", (("POST", UPLOAD, 0.0, {}),) * 3),
    "early-reset": Situation(
        "401 and reset during an upload of 900 kB", (("POST", UPLOAD, 0.0, {}),) * 3, "1"
    ),
    "events": Situation("server-sent events", (GET,)),
    "slow-refusal": Situation("401 whose body comes slowly", (GET,)),
    "until-close": Situation("answer that ends with the connection", (GET, GET), "1"),
    "early-hints": Situation("103 before the answer", (GET, GET)),
    "blanks": Situation("blanks behind a field's name", (GET,), "1"),
    "large": Situation("answer of two megabytes", (GET,)),
}
# What some clients get wrong by themselves: http.client takes a 103 for the answer, and is lucky or not with the rest;
# Java 17 waits for ever for the end of a refusal (JDK-8286171), and so do httpx and Java for room on a stream that was
# reset.
UNSURE: Final = {
    "requests": ("early-hints",),
    "java": ("expect-refused",),
    **dict.fromkeys(("httpx-2", "java-2"), ("early-refusal",)),
}
# What must reach the client as it comes.
STREAMED: Final = ("events", "slow-refusal")

Outcome = list[Any]  # status or "error", bytes, seconds to the first of them, and to the last; then the error


@dataclass(frozen=True)
class Client:
    """`http` is "1" or "2"; `command` makes its command line of URL and plan, None where it is not here."""

    title: str
    http: str
    command: Callable[[str, dict[str, list[Call]]], list[str]] | None
    unsure: tuple[str, ...] = ()  # situations that it is not driven into


def find_clients(folder: Path) -> dict[str, Client]:
    """The clients of this machine; what has to be compiled goes to `folder`."""
    clients = {}
    for kind, http in (("requests", "1"), ("httpx", "1"), ("httpx-2", "2")):
        if importlib.util.find_spec(kind.partition("-")[0]) is not None:
            command = _by(sys.executable, str(PROGRAMS / "by_python.py"), kind)
            clients[kind] = Client(kind, http, command, UNSURE.get(kind, ()))
    if node := shutil.which("node"):
        for kind, http in (("node", "1"), ("node-2", "2")):
            clients[kind] = Client(kind, http, _by(node, str(PROGRAMS / "by_node.js"), kind))
    if go := shutil.which("go"):
        binary = folder / "by_go"
        subprocess.run([go, "build", "-o", binary, PROGRAMS / "by_go.go"], check=True, timeout=120)
        clients["go"] = Client("go", "1", _by(str(binary), "go"))
        clients["go-2"] = Client("go-2", "2", _by(str(binary), "go-2"))
    if shutil.which("javac") and (java := shutil.which("java")):
        subprocess.run(["javac", "-d", folder, PROGRAMS / "ByJava.java"], check=True, timeout=120)
        for kind, http in (("java", "1"), ("java-2", "2")):
            start = [java, "-XX:TieredStopAtLevel=1", "-cp", str(folder), "ByJava", kind]
            clients[kind] = Client(kind, http, _by_java(start), UNSURE.get(kind, ()))
    if shutil.which("curl"):
        for kind, http in (("curl", "1"), ("curl-2", "2")):
            clients[kind] = Client(kind, http, None)
    return clients


def _by(*start: str) -> Callable[[str, dict[str, list[Call]]], list[str]]:
    return lambda base, plan: [*start, base, json.dumps(plan)]


def _by_java(start: list[str]) -> Callable[[str, dict[str, list[Call]]], list[str]]:
    def command(base: str, plan: dict[str, list[Call]]) -> list[str]:
        lines = [
            "|".join([name, *(f"{m} {size} {pause} {int(bool(fields))}" for m, size, pause, fields in calls)])
            for name, calls in plan.items()
        ]
        return [*start, base, "\n".join(lines)]

    return command


def plan_of(client: Client) -> dict[str, list[Call]]:
    """What the client is asked to do, by situation."""
    return {
        name: list(one.calls)
        for name, one in SITUATIONS.items()
        if client.http in one.kinds and name not in client.unsure
    }


def drive(client: Client, way: str, proxy: str, bundle: Path) -> dict[str, list[Outcome]]:
    """What came of each call, by situation. `way` names the run at the server; trust is in `bundle`."""
    base, plan = BASE + f"{way}-{client.title}", plan_of(client)
    environment = {
        **os.environ,
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
        **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(bundle)),
    }
    if client.title == "go":
        environment["GODEBUG"] = "http2client=0"
    if client.command is None:
        return {name: _curl(client, base, name, calls, environment) for name, calls in plan.items()}
    ran = subprocess.run(
        client.command(base, plan), env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    found = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert plan.keys() == found.keys(), ran.stderr
    return found


def _curl(
    client: Client, base: str, situation: str, calls: list[Call], environment: dict[str, str]
) -> list[Outcome]:
    """One curl for all calls of a situation, so that it keeps its connection."""
    command = ["curl", "--no-progress-meter"]
    if any(pause for _, _, pause, _ in calls):
        command += ["--rate", f"{60 / LATER:.0f}/m"]
    with tempfile.NamedTemporaryFile() as upload:
        for number, (method, size, _, fields) in enumerate(calls):
            command += ["--next"] if number else []
            command += ["--http2" if client.http == "2" else "--http1.1", "--max-time", "15", "--no-buffer"]
            command += ["--output", os.devnull, "--write-out", "%{http_code} %{size_download} "]
            command += ["%{time_starttransfer} %{time_total} %{exitcode}\\n"]
            command[-2:] = [command[-2] + command[-1]]
            command += ["--request", method] if method != "GET" else []
            if size:
                upload.truncate(size)
                command += ["--data-binary", f"@{upload.name}"]
            command += ["--header", f"Expect: {fields.get('Expect', '')}"]
            command += [base.replace("SITUATION", f"{situation}/{number}")]
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    outcomes: list[Outcome] = []
    for line in ran.stdout.splitlines():
        status, size, first, total, code = line.split()
        good = code == "0"
        outcomes.append([int(status) if good else "error", int(size), float(first), float(total), ran.stderr])
    return outcomes


def drive_all(
    clients: dict[str, Client], ways: dict[str, str], bundle: Path
) -> dict[tuple[str, str], dict[str, list[Outcome]]]:
    """Every client on every way (name to its proxy's address), two at a time."""
    with ThreadPoolExecutor(2) as pool:
        running = {
            (name, way): pool.submit(drive, client, way, proxy, bundle)
            for name, client in clients.items()
            for way, proxy in ways.items()
        }
        return {key: future.result() for key, future in running.items()}


def worse(direct: list[Outcome], through: list[Outcome]) -> list[str]:
    """The calls that worked directly and not through the proxy, each as a sentence."""
    return [
        f"call {number + 1}: {was[0]} with {was[1]} bytes directly, {now[0]} with {now[1]} bytes through us {now[4:]}"
        for number, (was, now) in enumerate(zip(direct, through, strict=True))
        if was[0] != "error" and was[:2] != now[:2]
    ]

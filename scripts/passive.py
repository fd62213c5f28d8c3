"""Make the calls of tests/passive with every client of this machine, directly and through the proxy, and print a table.

    python scripts/passive.py [--client NAME ...] [--write]

Each cell says what came of the calls directly and through us, where the two differ; `same` where they do not. With
--write the table between the markers in docs/passive.md for this version of mitmproxy is replaced.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
TESTS: Final = HERE.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "passive")]

from plain_tunnels import Tunnels  # noqa: E402
from situations import HOST, SITUATIONS, Outcome, drive_all, find_clients, worse  # noqa: E402
from told_server import ToldServer  # noqa: E402
from told_ways import start_proxy  # noqa: E402

from endpoints import Issuer  # noqa: E402


def main() -> int:
    """Drive and print; 1 when a call worked directly only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", action="append", help="only this one; repeatable")
    parser.add_argument("--write", action="store_true", help="write the table into docs/passive.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="passive-") as name:
        folder = Path(name)
        clients = find_clients(folder)
        if given.client:
            clients = {name: client for name, client in clients.items() if name in given.client}
        issuer = Issuer("A root of the machine", folder)
        with ToldServer(issuer.server(HOST)) as server, Tunnels({(HOST, 443): server.port}) as tunnels:
            running, url, authority, _ = start_proxy(folder, {f"{HOST}:443": server.port}, issuer)
            bundle = folder / "bundle.pem"
            bundle.write_bytes(issuer.pem + authority.read_bytes())
            began = time.monotonic()
            try:
                ways = {"direct": f"http://127.0.0.1:{tunnels.port}", "through": url}
                outcomes = drive_all(clients, ways, bundle)
            finally:
                running.stop()
    bad = 0
    lines = [f"| situation | {' | '.join(clients)} |", f"|---|{'---|' * len(clients)}"]
    for situation, one in SITUATIONS.items():
        cells = []
        for client in clients:
            direct = outcomes[client, "direct"].get(situation)
            through = outcomes[client, "through"].get(situation)
            if direct is None or through is None:
                cells.append("–")
                continue
            bad += bool(worse(direct, through))
            cells.append(_cell(direct, through))
        lines.append(f"| {one.title} | {' | '.join(cells)} |")
    version = importlib.metadata.version("mitmproxy")
    print(f"mitmproxy {version}, {time.monotonic() - began:.0f} s", *lines, sep="\n")
    if given.write:
        page = HERE.parent / "docs" / "passive.md"
        marks = f"<!-- mitmproxy {version.partition('.')[0]} -->", "<!-- end -->"
        pattern = re.compile(f"{marks[0]}.*?{marks[1]}", re.DOTALL)
        table = "\n".join([marks[0], *lines, marks[1]])
        page.write_text(pattern.sub(lambda _: table, page.read_text("utf-8")), "utf-8")
    return 1 if bad else 0


def _cell(direct: list[Outcome], through: list[Outcome]) -> str:
    words = [_words(direct), _words(through)]
    return f"same: {words[0]}" if words[0] == words[1] else f"**{words[0]} → {words[1]}**"


def _words(outcomes: list[Outcome]) -> str:
    said = [str(outcome[0]) for outcome in outcomes]
    return said[0] if len(set(said)) == 1 else " ".join(said)


if __name__ == "__main__":
    sys.exit(main())

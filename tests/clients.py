"""HTTP clients as real programs, which learn of proxy and trust from their environment alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Final

REQUESTS: Final = """
import sys, requests
print(requests.get(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]}, timeout=20).status_code)
"""
HTTPX: Final = """
import sys, httpx
print(httpx.get(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]}, timeout=20).status_code)
"""
# Node's own clients ignore HTTPS_PROXY before version 24, so this one makes its tunnel itself.
NODE: Final = """
const [url, token] = [new URL(process.argv[1]), process.argv[2]];
const proxy = new URL(process.env.HTTPS_PROXY);
const http = require('http'), https = require('https');
http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.host + ':443'})
  .on('connect', (response, socket) => https.get(url, {
    createConnection: () => require('tls').connect({socket, servername: url.hostname}),
    headers: {Authorization: 'Bearer ' + token, 'User-Agent': 'node-client/1.0'},
  }, answer => { console.log(answer.statusCode); answer.resume(); answer.on('end', () => process.exit(0)); })
    .on('error', error => { console.error(error.code); process.exit(1); }))
  .end();
"""


def _curl(url: str, token: str) -> list[str]:
    return [
        *("curl", "--silent", "--show-error", "--output", os.devnull, "--write-out", "%{http_code}\n"),
        *("--header", f"Authorization: Bearer {token}", url),
    ]


def _requests(url: str, token: str) -> list[str]:
    return [sys.executable, "-c", REQUESTS, url, token]


def _httpx(url: str, token: str) -> list[str]:
    return [sys.executable, "-c", HTTPX, url, token]


def _node(url: str, token: str) -> list[str]:
    return ["node", "-e", NODE, url, token]


# Each gives the command line of one GET, which prints the status code of its answer.
CLIENTS: Final[Mapping[str, Callable[[str, str], list[str]]]] = {
    "curl": _curl,
    "requests": _requests,
    "httpx": _httpx,
    "node": _node,
}


def is_here(client: str) -> bool:
    """Whether this machine has it."""
    if client in ("requests", "httpx"):
        return importlib.util.find_spec(client) is not None
    return shutil.which(client) is not None

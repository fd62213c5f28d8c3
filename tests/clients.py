"""HTTP clients as real programs, which learn of proxy and trust from their environment alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Final

from mfa_audit.commands.demo.sample_clients import NODE

API: Final = "https://api.partnercenter.microsoft.com"

REQUESTS: Final = """
import sys, requests
print(requests.get(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]}, timeout=20).status_code)
"""
HTTPX: Final = """
import sys, httpx
print(httpx.get(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]}, timeout=20).status_code)
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
    return ["node", "-e", NODE, token, url]


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

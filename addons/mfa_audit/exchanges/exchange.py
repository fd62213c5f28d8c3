"""One HTTP call to Partner Center, as any source saw it.

Everything that can be audited becomes an Exchange first. An Exchange lives in memory only: it is the last
type that holds a raw token, and what is kept of it is the Observation that `judging` makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn

from mfa_audit.errors import AuditError
from mfa_audit.printable import line

# Where Partner Center's API answers: global and US Government, China (21Vianet), pricing and referrals,
# pre-production. Read in Microsoft's documentation.
API_HOSTS: Final = (
    "api.partnercenter.microsoft.com",
    "partner.partnercenterapi.microsoftonline.cn",
    "api.partner.microsoft.com",
    "api.partnercenter.microsoft-ppe.com",
)
# Any name below this one too, as seen in other people's code.
API_DOMAIN: Final = "partnercenter.microsoft.com"

# Bytes of the Authorization fields of one call that are read. Entra's tokens stay below 20 kB, and servers refuse
# far shorter headers. One that is longer is told by its length alone, so captures keep one byte more of a value.
LONGEST_AUTHORIZATION: Final = 64 * 1024

GUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"
)


def is_api_host(host: str, further: Iterable[str] = ()) -> bool:
    """Whether `host` (a DNS name without port, any letters' case) is one of Partner Center's, or one of `further`."""
    name = host.lower().rstrip(".")
    return name in API_HOSTS or name.endswith("." + API_DOMAIN) or name in further


def check_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Further API hosts as a user names them, in lower case. Raises AuditError for what is no host name."""
    names = tuple(host.lower().rstrip(".") for host in hosts)
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise AuditError(
                f"{line(name)!r} is not a host name such as api.example.com; give it without port and https://."
            )
    return names


class Secret:
    """Bytes that stay in memory: they show in no repr, no format, no traceback line, no pickle and no copy."""

    __slots__ = ("_bytes",)

    def __init__(self, value: bytes) -> None:
        self._bytes = value

    def reveal(self) -> bytes:
        """The bytes themselves; only `judging.tokens` has a reason to call this."""
        return self._bytes

    def __repr__(self) -> str:
        return "Secret(redacted)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


class Program(NamedTuple):
    """What made a call: the executable's or script's `name`, the `account` it runs under, and what started it.

    `account` and `started_by` (such as `cron`, `terminal` or `backup.service`) are None where they are not known, as
    in every capture.
    """

    name: str
    account: str | None = None
    started_by: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call: who asked for what, with which Authorization, and what the server answered.

    `at` is the start of the request in seconds since 1970 (UTC). `path` has no query string. `status` is None when no
    answer came. `body` is that of a 401 or 403 and None otherwise. `tested` says that the request asked the server to
    enforce the rule on this call (MS-Enforce-MFA), whoever put that header there. `own_id` says that the answer
    carries a request id, as those of Partner Center do and those of what stands in between do not.
    """

    at: float
    method: str
    host: str
    path: str
    authorization: tuple[Secret, ...] = ()
    user_agent: str | None = None
    application: str | None = None
    client: str | None = None
    sdk_version: str | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    status: int | None = None
    reason_phrase: str = ""
    mfa_compliant: str | None = None
    www_authenticate: str | None = None
    body: bytes | None = field(default=None, repr=False)
    program: Program | None = None
    tested: bool = False
    own_id: bool = False

"""Calls that carry as much as they can, in each place where a hook looks; `size` multiplies what they carry."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from time import thread_time
from typing import Final

from mitmproxy import http

from mfa_audit.addon.live import PartnerCenterMfa
from odd_calls import WHOLE, OddCall

_HEADER: Final = WHOLE.split(b".")[0]


def _call(
    *,
    authorization: list[bytes] | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    answer: list[tuple[bytes, bytes]] | None = None,
    status: int = 200,
    body: bytes = b"{}",
    path: str = "customers",
) -> OddCall:
    return OddCall(
        [b"Bearer " + WHOLE] if authorization is None else authorization,
        headers or [],
        answer or [],
        status,
        body,
        path,
        False,
    )


def _token(claims: object) -> list[bytes]:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return [b"Bearer " + b".".join([_HEADER, payload, b"c2ln" * 85])]


def _user(**claims: object) -> dict[str, object]:
    return {
        "aud": "https://api.partnercenter.microsoft.com",
        "scp": "user_impersonation",
        "amr": ["pwd"],
        **claims,
    }


# Sizes from 1 to 4: at 4 there are 10,000 headers, a claim of 200 kB, a body of 64 KiB.
HEAVY: Final[Mapping[str, Callable[[int], OddCall]]] = {
    "10,000 request headers": lambda size: _call(
        headers=[(b"X-%d" % at, b"v" * 20) for at in range(2500 * size)]
    ),
    "10,000 user agents": lambda size: _call(
        headers=[(b"User-Agent", b"tool/%d" % at) for at in range(2500 * size)]
    ),
    "a user agent of 200 kB": lambda size: _call(
        headers=[(b"User-Agent", b"tool/1.0 (x; y) " * 3125 * size)]
    ),
    "a user agent of 200 kB that is no text": lambda size: _call(
        headers=[(b"User-Agent", b"\xff\xfe(" * 17_000 * size)]
    ),
    "all known headers of 60 kB": lambda size: _call(
        headers=[
            (name, b"Partner App 1.2.3-4 " * 750 * size)
            for name in (
                b"MS-PartnerCenter-Application",
                b"MS-PartnerCenter-Client",
                b"MS-RequestId",
                b"MS-SdkVersion",
            )
        ]
    ),
    "2,000 Authorization fields": lambda size: _call(authorization=[b"Bearer " + WHOLE] * 500 * size),
    "a claim of 200 kB": lambda size: _call(authorization=_token(_user(upn="u" * 50_000 * size))),
    "a claim of 40 kB": lambda size: _call(authorization=_token(_user(upn="u" * 10_000 * size))),
    "its own text as a claim": lambda size: _call(authorization=_token(_user(upn=WHOLE.decode() * 7 * size))),
    "3,000 claims": lambda size: _call(
        authorization=_token(_user(**{f"c{at}": at for at in range(750 * size)}))
    ),
    "6,000 methods in amr": lambda size: _call(authorization=_token(_user(amr=["pwd"] * 1500 * size))),
    "a scope of 40 kB": lambda size: _call(authorization=_token(_user(scp="a.b " * 2500 * size))),
    "dots": lambda size: _call(authorization=[b"Bearer " + b"a." * 15_000 * size]),
    "spaces and commas": lambda size: _call(authorization=[b"Bearer ," * 2_000 * size + WHOLE]),
    "brackets in a token": lambda size: _call(
        authorization=[b"Bearer e." + base64.urlsafe_b64encode(b"[" * 11_000 * size)]
    ),
    "a path of 200 kB": lambda size: _call(path="a/" * 25_000 * size),
    "a path of 200 kB in one piece": lambda size: _call(path="a" * 50_000 * size),
    "a query of 200 kB": lambda size: _call(path="customers?q=" + "a&" * 25_000 * size),
    "10,000 answer headers": lambda size: _call(
        answer=[(b"X-%d" % at, b"v" * 20) for at in range(2500 * size)]
    ),
    "2,000 challenges": lambda size: _call(
        answer=[(b"WWW-Authenticate", b"Bearer realm=x, mfa is mfa is")] * 500 * size, status=401
    ),
    "a challenge of 200 kB": lambda size: _call(
        answer=[(b"WWW-Authenticate", b"mfa " * 12_500 * size)], status=401
    ),
    "a refusal of 64 KiB": lambda size: _call(
        body=json.dumps([{"mfa": "is "}] * 1000 * size).encode(), status=401
    ),
    "a refusal of brackets": lambda size: _call(body=b"[" * 16_000 * size, status=401),
    "a refusal of text": lambda size: _call(body=b"code mfa is " * 1300 * size, status=401),
    "a packed refusal": lambda size: _call(
        body=gzip.compress(b"code mfa is " * 1_000_000 * size),
        answer=[(b"Content-Encoding", b"gzip")],
        status=401,
    ),
}


class _Timed:
    """Awaits what a hook returned; `longest` is the longest step of it between two waits, in seconds of this thread."""

    def __init__(self, waiting: Awaitable[object]) -> None:
        self._steps = waiting.__await__()
        self.longest = 0.0

    def __await__(self) -> Generator[object, None, None]:
        while True:
            began = thread_time()
            try:
                pending = next(self._steps)
            except StopIteration:
                return
            finally:
                self.longest = max(self.longest, thread_time() - began)
            yield pending


async def seconds_held(addon: PartnerCenterMfa, call: OddCall) -> float:
    """How long one hook keeps the event loop for that call without a wait, at most, in seconds of this thread."""
    flow = call.flow()
    answer: http.Response | None
    answer, flow.response = flow.response, None
    longest = 0.0
    for name in ("requestheaders", "responseheaders", "response"):
        if name == "responseheaders":
            flow.response = answer
        began = thread_time()
        waiting = getattr(addon, name)(flow)
        longest = max(longest, thread_time() - began)
        if waiting is not None:
            timed = _Timed(waiting)
            await timed
            longest = max(longest, timed.longest)
    return longest

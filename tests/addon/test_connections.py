"""Which connections are blind spots, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mfa_audit.addon.connections import Blindness
from mfa_audit.exchanges.exchange import Program

CASES: dict[str, tuple[list[str], list[str]]] = {
    "nothing came": ([], ["no-request"]),
    "bytes that were no TLS hello to us": (["saw_bytes"], ["tunnelled"]),
    "a hello and nothing more": (["saw_bytes", "saw_hello"], ["no-request"]),
    "a refusal": (["saw_bytes", "saw_hello", "refused_certificate"], ["certificate-refused"]),
    "no TLS with the server": (["saw_bytes", "saw_hello", "failed_upstream"], ["upstream-tls-failed"]),
    "a request": (["saw_bytes", "saw_hello", "saw_request"], []),
    "a request after a failure upstream": (["failed_upstream", "saw_request"], []),
    "no connection came about": (["failed_connect"], ["unreachable"]),
    "no password for the proxy": (["forget"], []),
}


@pytest.mark.parametrize(("steps", "reasons"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("end", ["close", "flush"])
def test_reasons(steps: list[str], reasons: list[str], end: str) -> None:
    """A connection's end, or the recorder's, notes what was seen of it last, once."""
    noted = follow(lambda blindness: [getattr(blindness, step)("one") for step in steps], end)
    assert [("host", "curl/8", Program("tool"), reason) for reason in reasons] == noted


def follow(steps: Callable[[Blindness], object], end: str) -> list[tuple[str | Program | None, ...]]:
    noted: list[tuple[str | Program | None, ...]] = []

    async def go() -> None:
        program: asyncio.Future[Program | None] = asyncio.get_running_loop().create_future()
        program.set_result(Program("tool"))
        blindness = Blindness(lambda *values: noted.append(values))
        blindness.open("one", "host", "curl/8", program)
        steps(blindness)
        for _ in range(2):
            blindness.close("one") if end == "close" else blindness.flush()

    asyncio.run(go())
    return noted


def test_a_failed_look_up_of_the_program() -> None:
    """A program whose look-up failed, or is not over, is unknown, and the blind spot is noted all the same."""

    async def go() -> list[tuple[str | Program | None, ...]]:
        noted: list[tuple[str | Program | None, ...]] = []
        blindness = Blindness(lambda *values: noted.append(values))
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[Program | None] = loop.create_future()
        failed.set_exception(RuntimeError("psutil"))
        blindness.open("one", "host", None, failed)
        blindness.open("two", "host", None, loop.create_future())
        blindness.flush()
        return noted

    assert [("host", None, None, "no-request")] * 2 == asyncio.run(go())

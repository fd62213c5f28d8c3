"""What `run`, `proxy` and `browse` share: serve, record, say what is seen, stop on a signal, report at the end.

mitmproxy takes half a second to load and the store a tenth, so they are imported when a recording begins and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

from mfa_audit.commands.terminal import print_report, say, wants_colour
from mfa_audit.errors import AuditError
from mfa_audit.machine import proxies
from mfa_audit.reports.settings import Settings

if TYPE_CHECKING:
    from mfa_audit.proxy.live_report import LatestReport
    from mfa_audit.proxy.serving import Proxy, ProxySettings
    from mfa_audit.reports.model import Report
    from mfa_audit.store.recorder import Recorder

_T = TypeVar("_T")

# What ends a recording. SIGHUP is a closed terminal; SIGBREAK is Ctrl-Break and the closing console on Windows.
STOP_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


class Stops:
    """The stop signals that have come while recording, by number; `handler`, once set, gets each of them."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._came = asyncio.Event()
        self._handler: Callable[[int], None] | None = None

    async def wait(self) -> None:
        """Wait for the first one."""
        await self._came.wait()

    def pass_to(self, handler: Callable[[int], None]) -> None:
        """Give `handler` those that have come and each one that will come."""
        self._handler = handler
        for number in self.numbers:
            handler(number)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note signals instead of what Python does with them, for as long as the context lasts.

        Plain `signal.signal`, since asyncio's own handlers do not exist on Windows.
        """
        loop = asyncio.get_running_loop()

        def pass_on(number: int, _: FrameType | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(self._note, number)

        before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _note(self, number: int) -> None:
        self.numbers.append(number)
        self._came.set()
        if self._handler is not None:
            self._handler(number)


def record(
    plan: ProxySettings, work: Callable[[Proxy, Stops], Awaitable[_T]], *, quiet: bool
) -> tuple[Recorder, _T]:
    """Record while `work` goes on, which gets the proxy and the stop signals; the recorder and what `work` returns.

    A proxy of kind `proxy` or `run` is announced, so that `mfa-audit env` and `doctor` find it. Raises AuditError.
    """
    return asyncio.run(_record(plan, work, quiet))


async def _record(
    plan: ProxySettings, work: Callable[[Proxy, Stops], Awaitable[_T]], quiet: bool
) -> tuple[Recorder, _T]:
    from mfa_audit.proxy.serving import serve

    stops = Stops()
    with stops.watched():
        async with serve(plan, say) as proxy:
            with _announced(plan, proxy):
                for remark in proxy.remarks:
                    say(remark, quiet=quiet)
                return proxy.recorder, await work(proxy, stops)


@contextlib.contextmanager
def _announced(plan: ProxySettings, proxy: Proxy) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if plan.kind in (proxies.PROXY, proxies.RUN):
            announcement = proxies.announce(
                proxy.host,
                proxy.port,
                authority=plan.authority.certificate_file,
                database=plan.database,
                hosts=plan.hosts,
                kind=plan.kind,
            )
            # Of `run`, only `mfa-audit env` inside its command would miss it.
            with contextlib.suppress(*([AuditError] if plan.kind == proxies.RUN else [])):
                stack.enter_context(announcement)
        yield


@contextlib.asynccontextmanager
async def telling(latest: LatestReport, *, quiet: bool, said: list[str] | None = None) -> AsyncIterator[None]:
    """Say what is seen for as long as the context lasts, a line for each news.

    With `said`, the lines that are on the terminal by now, a terminal shows a table below them instead.
    """
    if quiet:
        yield
        return
    if said is not None and wants_colour(sys.stderr):
        # With rich, 2 MB that a proxy without a terminal can do without.
        from mfa_audit.commands.live_table import show

        task = asyncio.create_task(show(latest, said))
    else:
        from mfa_audit.commands.announcements import watch

        task = asyncio.create_task(watch(latest))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])  # it takes its table off the screen before anything else is said
        if not task.cancelled() and (error := task.exception()) is not None:
            say(
                f"Telling what was seen met an unexpected {type(error).__name__}; the recording is not touched."
            )


def conclude(recorder: Recorder, settings: Settings, *, quiet: bool) -> Report:
    """The report on what was recorded, printed on stderr unless `quiet`."""
    from mfa_audit.reports.databases import report_on_recording

    report = report_on_recording(recorder, settings)
    if not quiet:
        print_report(report, sys.stderr)
    return report

"""A real headless Chromium, driven over its debugging pipe: no port, no driver, no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WHY_NOT: Final = (
    "the debugging pipe needs POSIX"
    if os.name != "posix"
    else None
    if CHROMIUM
    else "no chromium on PATH (Debian: apt-get install chromium)"
)
_PATIENCE: Final = 60
# Chromium reads file descriptor 3 and writes 4, whatever numbers we were given.
_MOVE: Final = (
    "import os, sys; r, w = (os.dup(int(n)) for n in sys.argv[1:3]); r, w = os.dup(r), os.dup(w);"
    "os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One Chromium with a profile of its own, and `further` arguments; ended and cleaned up with the `with`."""

    def __init__(self, *further: str) -> None:
        assert CHROMIUM is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        arguments = [
            *("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--hide-scrollbars"),
            f"--user-data-dir={self._profile.name}",
            # Chromium's sandbox refuses to run as root, which is who CI containers run as.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *further,
        ]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _MOVE,
                str(theirs_in),
                str(theirs_out),
                CHROMIUM,
                *arguments,
                "about:blank",
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)  # Chromium ends when its pipe does
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        self._profile.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; events that come meanwhile are kept."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._read(deadline)
            if answer is None:
                raise TimeoutError(f"no answer to {method}")
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _read(self, deadline: float) -> dict[str, Any] | None:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            piece = os.read(self._in, 1 << 20) if ready else b""
            if not piece:
                return None
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def page(self, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A new, empty page of that size in CSS pixels."""
        return Page(self, width, height, dark)


class Page:
    """One tab that remembers every request, console message and exception."""

    def __init__(self, browser: Browser, width: int, height: int, dark: bool) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol to this page."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go there and wait until everything is loaded."""
        self.call("Page.navigate", url=url)
        loaded = "new Promise(done => addEventListener('load', () => done(true)))"
        self.evaluate(f"document.readyState === 'complete' || {loaded}")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until a JavaScript expression is true; the test fails when it does not become so."""
        deadline = time.monotonic() + _PATIENCE
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"did not become true: {script}"
            time.sleep(0.1)

    def press(self, key: str, code: int, text: str = "") -> None:
        """One key of the keyboard, as the user would press it."""
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def requests(self) -> list[str]:
        """The URL of every request that the page made, its own included."""
        return [event["params"]["request"]["url"] for event in self._of("Network.requestWillBeSent")]

    def answers(self) -> list[tuple[int, str]]:
        """Status and URL of every answer that the page got."""
        responses = [event["params"]["response"] for event in self._of("Network.responseReceived")]
        return [(response["status"], response["url"]) for response in responses]

    def complaints(self) -> list[str]:
        """Everything on the console: messages, log entries (CSP violations), exceptions."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for kind in kinds for event in self._of(kind)]

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(image))

    def _of(self, method: str) -> list[dict[str, Any]]:
        return [
            event
            for event in self._browser.events
            if event.get("method") == method and event.get("sessionId") == self._session
        ]

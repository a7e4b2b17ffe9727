"""Debian's Chromium without a window, driven over a pipe by its DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SECONDS = 60  # for an answer, on a busy machine
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which root has to do without
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # the network is off
)
_CHILD_ENDS = (3, 4)  # where the browser reads and where it writes


class Browser:
    """A browser with one page; it notes what the page asks for and complains about.

    Args:
        profile: An empty folder for its settings.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        assert PROGRAM is not None
        hears, self._write = os.pipe()
        self._read, says = os.pipe()
        # Out of the way of the numbers that the browser expects.
        far = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (hears, says)]
        quiet = [(os.POSIX_SPAWN_OPEN, end, os.devnull, os.O_RDWR, 0) for end in (0, 1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, end, at) for end, at in zip(far, _CHILD_ENDS, strict=True)]
        words = [PROGRAM, *_OPTIONS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = os.posix_spawn(PROGRAM, words, os.environ, file_actions=quiet + pipes, setpgroup=0)
        for end in (hears, says, *far):
            os.close(end)
        self._numbers, self._heard = itertools.count(1), b""
        self._page = ""
        page = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._page = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{part}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and return its answer; what happens meanwhile is noted."""
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": parameters}
        if self._page:
            said["sessionId"] = self._page
        os.write(self._write, json.dumps(said).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == number:
                assert "error" not in heard, (method, heard["error"])
                return heard["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _SECONDS
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            assert part, "the browser does not answer"
            self._heard += part
        first, _, self._heard = self._heard.partition(b"\0")
        heard: dict[str, Any] = json.loads(first)
        if "method" in heard:
            self.events.append(heard)
        return heard

    def happened(self, method: str) -> list[Mapping[str, Any]]:
        """Return what is known of each time that something happened."""
        return [each["params"] for each in self.events if each["method"] == method]

    def look(self, width: int, scheme: str = "light", medium: str = "") -> None:
        """Set the page's width in CSS pixels, its colour scheme and its medium, "" for the browser's own."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=medium, features=features)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is drawn."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not self.happened("Page.loadEventFired"):
            self._next()

    def tell(self, expression: str) -> Any:
        """Return what a JavaScript expression gives in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def printed(self) -> bytes:
        """Return the page as PDF on A4, with the structure that tells what is on which page."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69}  # inches
        answer = self.ask("Page.printToPDF", printBackground=True, generateTaggedPDF=True, **size)
        return base64.b64decode(answer["data"])

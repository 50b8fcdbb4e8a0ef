"""A headless Chromium, driven over its pipe by the DevTools protocol: pages opened from disk, keys pressed, what they show asked for."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60.0  # for one answer, on a busy machine
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium on this machine")


class Chromium:
    """One browser with one page. Every error of a page's scripts and every file that it fails to load is an error of the test."""

    def __init__(self, profile: Path, width: int = 1400, height: int = 1000) -> None:
        assert PROGRAM is not None
        to_browser, self._send = os.pipe()
        self._receive, from_browser = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe"]
        command = [PROGRAM, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
        moved = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'  # the browser speaks on the descriptors 3 and 4
        self._process = subprocess.Popen(
            ["bash", "-c", moved, "chromium", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._unread, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        self.requests: list[str] = []
        [page] = [one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._send)
        self._process.kill()
        self._process.wait()
        os.close(self._receive)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The browser's answer to one command."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        os.write(self._send, json.dumps(request).encode() + b"\0")
        while (message := self._message()).get("id") != self._number:
            self._notice(message)
        assert "error" not in message, message
        return dict(message["result"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._receive], [], [], SECONDS)
            assert ready, "the browser does not answer"
            part = os.read(self._receive, 1 << 20)
            assert part, "the browser has ended"
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(line))

    def _notice(self, message: dict[str, Any]) -> None:
        found = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(found["exceptionDetails"].get("exception", found["exceptionDetails"])))
        if message.get("method") == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.problems.append(found["entry"]["text"] + " " + found["entry"].get("url", ""))
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])

    def open(self, path: Path, asked: str = "") -> None:
        """Open a page from disk, with what is asked for in its address, and wait until all that it loads at once is there."""
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=f"{path.absolute().as_uri()}{asked}")
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never came true: {condition}; {self.problems}"
            self.run("new Promise((done) => setTimeout(done, 20))")

    def press(self, key: str) -> None:
        """Press and release a key of one character, or a named one such as Tab."""
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def resize(self, width: int, height: int) -> None:
        """Show the page on a screen of this size, in pixels."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700)

    def screenshot(self, path: Path) -> None:
        """Save what is on the screen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

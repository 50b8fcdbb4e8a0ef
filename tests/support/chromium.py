"""A headless Chromium, driven by its DevTools protocol: pages are opened, clicked, typed into and looked at as by a person."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-port=0")
SECONDS = 120  # that a test waits for an event before it fails
MODIFIERS = {"Alt": 1, "Ctrl": 2, "Shift": 8}


class Browser:
    """One page of a browser. ``requests`` are the addresses that it asked for, ``complaints`` what its console says of faults."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._number = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.resize(1400, 900)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a method of the protocol."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            said = json.loads(self._line.recv(timeout=SECONDS))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            self._note(said["method"], said["params"])

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(json.dumps(params["entry"]))

    def eval(self, script: str) -> Any:
        """The value of an expression in the page."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        until = time.monotonic() + SECONDS
        while not self.eval(f"Boolean({condition})"):
            assert time.monotonic() < until, f"{condition} in {SECONDS} s\n{self.complaints}\n{self.eval('document.body.innerText')}"
            time.sleep(0.02)

    def open(self, address: str) -> None:
        """Open a page."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def resize(self, wide: int, high: int, dark: bool = False) -> None:
        """Give the window another size, in pixels, and the system's light or dark colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=wide < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.eval(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'nearest'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.press(x, y)
        self.release(x, y)

    def press(self, x: float, y: float) -> None:
        """Press the mouse's button at a place, in pixels."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)

    def move(self, x: float, y: float) -> None:
        """Move the mouse with its button pressed."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)

    def release(self, x: float, y: float) -> None:
        """Release the mouse's button."""
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def key(self, name: str, *held: str) -> None:
        """Press and release a key by its name, such as ``a`` or ``ArrowLeft``, with others held."""
        modifiers = sum(MODIFIERS[one] for one in held)
        text = {"text": name} if len(name) == 1 and not {"Ctrl", "Alt"} & set(held) else {}
        codes = {"windowsVirtualKeyCode": CODES[name]} if name in CODES else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, modifiers=modifiers, **text, **codes)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, modifiers=modifiers, **codes)

    def type(self, text: str) -> None:
        """Insert text where the focus is."""
        self.call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for one, as its dialog would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "PageUp": 33,
    "PageDown": 34,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
CODES |= {"Delete": 46, "Backspace": 8, "z": 90, "Z": 90, " ": 32}


@contextmanager
def browser() -> Iterator[Browser]:
    """A new browser with an empty page. The test is skipped where there is none."""
    if PROGRAM is None:
        pytest.skip("there is no Chromium here")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # its processes may still write there
        words = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            address = next((line.split()[-1] for line in process.stderr if line.startswith("DevTools listening on")), None)
            assert address, "Chromium did not start"
            try:
                with connect(_page(address), max_size=None) as line:
                    yield Browser(line)
            finally:
                process.kill()


def _page(address: str) -> str:
    """The address of the first page of the browser at an address."""
    with connect(address) as line:
        line.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        while "result" not in (said := json.loads(line.recv(timeout=SECONDS))):
            pass
    [page] = [one for one in said["result"]["targetInfos"] if one["type"] == "page"]
    return f"{address.rsplit('/devtools/', 1)[0]}/devtools/page/{page['targetId']}"

"""A Python module run as a process that is asked line by line: JSON on its standard streams, bytes behind an answer where it has some."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, BinaryIO

TAIL = 600  # characters of what it said last on standard error


def module_command(module: str, *arguments: str) -> list[str]:
    """What runs a module; -P keeps the current folder, where a stray bpy.py may lie, off its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


class Child:
    """A process, started at once. `EOFError` says that it has ended, `TimeoutError` that it hangs; it is stopped by none of them."""

    def __init__(self, command: Sequence[str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes to it
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._send, self._receive = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send it a line, and the bytes that this announces."""
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        try:
            self._send.write(line)
            self._send.write(payload)
            self._send.flush()
        except (OSError, ValueError):  # the latter where it was stopped meanwhile
            raise EOFError from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line, which must begin to come within so many seconds; what follows it comes at once."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._receive, selectors.EVENT_READ)
                if not selector.select(seconds):
                    raise TimeoutError
            line = self._receive.readline()
        except ValueError:  # it was stopped meanwhile
            raise EOFError from None
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)

    def read(self, size: int) -> bytes:
        """So many bytes behind a line."""
        data = self._receive.read(size)
        if len(data) != size:
            raise EOFError
        return data

    def status(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait()

    def tail(self) -> str:
        """What it said last on standard error; nothing once it was stopped."""
        try:
            self._log.seek(0)
            return self._log.read().decode(errors="replace").strip()[-TAIL:]
        except ValueError:  # it is closed
            return ""

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._send, self._receive):
            with contextlib.suppress(OSError):  # what was still buffered for a dead process is of no use
                pipe.close()
        self._log.close()


def send_answer(out: BinaryIO, header: Mapping[str, Any], payload: bytes = b"") -> None:
    """In that process, an answer: a line of JSON, and the bytes that it announces."""
    out.write(json.dumps(header).encode() + b"\n" + payload)
    out.flush()

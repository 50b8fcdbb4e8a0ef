"""A Python module run as a child process: requests and answers are lines of JSON on its standard streams, some followed by bytes.

An answer begins with `MARK`, as a JSON text sequence (RFC 7464): whatever else a library prints on that stream is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from io import BufferedReader
from typing import IO, Any, BinaryIO, cast

MARK = b"\x1e"
_CHUNK = 1 << 16
TAIL = 600  # characters from the end of standard error


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module; -P keeps the current folder, where a stray bpy.py may lie, off its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


class Child:
    """A child process, started at once. Methods raise `EOFError` if it has ended and `TimeoutError` if it hangs; neither stops it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """`environment` has variables that the process is given beside those of this one."""
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process that writes to it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._send, self._receive = self._process.stdin, cast(BufferedReader, self._process.stdout)
        self._unread = b""  # what has come behind the last answer
        self._reading = threading.Lock()  # whose holder waits for the stream, or has closed it: who waits for a closed one waits on and on

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send a request, a line of JSON, and the bytes that it announces."""
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        try:
            self._send.write(line)
            self._send.write(payload)
            self._send.flush()
        except (OSError, ValueError):  # ValueError if it was stopped meanwhile
            raise EOFError from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next answer, which must come within so many seconds."""
        until = time.monotonic() + seconds
        with self._reading:
            while True:
                _, mark, answer = self._line(until).rpartition(MARK)
                if mark:
                    return json.loads(answer)

    def _line(self, until: float) -> bytes:
        """The next line, which must come before this time of the monotonic clock."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._receive, selectors.EVENT_READ)
                while b"\n" not in self._unread:
                    if not selector.select(max(0.0, until - time.monotonic())):
                        raise TimeoutError
                    chunk = self._receive.read1(_CHUNK)
                    if not chunk:
                        raise EOFError
                    self._unread += chunk
        except ValueError:  # it was stopped meanwhile
            raise EOFError from None
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def read(self, size: int) -> bytes:
        """The `size` bytes that follow an answer."""
        data, self._unread = self._unread[:size], self._unread[size:]
        if len(data) < size:
            with self._reading:
                data += self._receive.read(size - len(data))
        if len(data) != size:
            raise EOFError
        return data

    def status(self) -> int:
        """The exit status, after waiting for the process to end."""
        return self._process.wait()

    def tail(self) -> str:
        """The end of what the process wrote on standard error; empty after `stop`."""
        try:
            self._log.seek(0)
            return self._log.read().decode(errors="replace").strip()[-TAIL:]
        except ValueError:  # the log is closed
            return ""

    def end(self, seconds: float) -> None:
        """End the process's input, at which it should end itself, and `stop` it after so many seconds."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._send.close()
            self._process.wait(seconds)
        self.stop()

    def stop(self) -> None:
        """Kill the process, and close its streams. A thread that waits for an answer gets `EOFError`."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what was still buffered for a dead process is of no use
            self._send.close()
        with self._reading:
            self._receive.close()
        self._log.close()


def send_answer(out: BinaryIO, header: Any, payload: bytes = b"") -> None:
    """In the child process, send an answer: a line of JSON, and the bytes that it announces."""
    out.write(MARK + json.dumps(header).encode() + b"\n" + payload)
    out.flush()


def last_answer(output: bytes) -> Any:
    """The last answer in all that a process has printed; None if there is none."""
    marked = [line.rpartition(MARK)[2] for line in output.splitlines() if MARK in line]
    return json.loads(marked[-1]) if marked else None

"""Signals that end a process: they raise KeyboardInterrupt, as Ctrl-C does, so that everything is cleaned up and one message printed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
SAME_REQUEST_SECONDS = 1.0
"""A signal that comes so soon after the first is the same request: `timeout` and torchrun send theirs to a process and to its group."""
LATE_SECONDS = 0.2
AGAIN_SECONDS = 0.05
"""The time after which a KeyboardInterrupt that Python has swallowed is raised again."""

_requests: list[LeaveRequest] = []  # of the `heeded` blocks that this process is in, the last one in effect; none in a forked child


class LeaveRequest:
    """The signal that asked this process to leave, if one has. The first signal raises KeyboardInterrupt; another one, more than
    `SAME_REQUEST_SECONDS` later, ends the process at once, which loses no more than a kill."""

    def __init__(self, name: str) -> None:
        """The message begins with ``name``."""
        self.name = name
        self.signal: int | None = None
        self._came = 0.0

    @property
    def message(self) -> str:
        """The message to print at the end of the process."""
        word = "interrupted" if self.signal is None else SIGNALS[signal.Signals(self.signal)]
        return f"{self.name}: {word}; call it again to go on"

    @property
    def status(self) -> int:
        """The exit status, as shells report the end by a signal: 128 and its number."""
        return 128 + (self.signal or signal.SIGINT)

    def wait(self) -> None:
        """Wait for a signal that was sent to a group of processes: it may have ended this one's children before it arrives here."""
        with suppress(KeyboardInterrupt):
            time.sleep(LATE_SECONDS)

    def come(self, number: int, _frame: FrameType | None) -> None:
        """The handler of the signals."""
        if self.signal is None:
            self.signal, self._came = number, time.monotonic()
            signal.signal(signal.SIGCHLD, lambda *_: None)  # torch's handler raises an error for each child that ends now, too
            raise KeyboardInterrupt
        if time.monotonic() - self._came > SAME_REQUEST_SECONDS:
            self.leave()

    def leave(self) -> NoReturn:
        """Write the message and end this process."""
        os.write(2, f"{self.message}\n".encode(errors="backslashreplace"))  # not by print, which may be what was interrupted
        os._exit(self.status)

    def swallow(self, unraisable: sys.UnraisableHookArgs) -> None:
        """The hook for errors that Python cannot raise, as in a destructor: raise this request's KeyboardInterrupt again after a moment."""
        if self.signal is None or not isinstance(unraisable.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        signal.signal(signal.SIGALRM, self._raise_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    def _raise_again(self, _number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt


def heed_while_loading(name: str) -> None:
    """Until `heeded` takes over, let `SIGNALS`, except ignored ones, end this process at once with a message that begins with ``name``:
    there is nothing to clean up yet."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, partial(_leave_at_once, name))


def _leave_at_once(name: str, number: int, _frame: FrameType | None) -> None:
    request = LeaveRequest(name)
    request.signal = number
    request.leave()


@contextmanager
def heeded(name: str) -> Iterator[LeaveRequest]:
    """Within the block, handle `SIGNALS`, except those that this process was started to ignore, as by nohup.

    Outside the main thread, which alone can handle signals, nothing changes.
    """
    request = LeaveRequest(name)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    hook, sys.unraisablehook = sys.unraisablehook, request.swallow
    try:
        _requests.append(request)
        heed_again()
        yield request
    finally:
        _requests.pop()
        sys.unraisablehook = hook
        if request.signal is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python, which cannot restore it
                signal.signal(number, handler)


def heed_again() -> None:
    """Put back the handlers that a library has replaced by its own."""
    for request in _requests[-1:]:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, request.come)


def _leave_to_parent() -> None:
    """In a forked child, such as a data loader: ignore Ctrl-C, which a terminal sends to the parent, too; let other signals end it."""
    if _requests:
        _requests.clear()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_to_parent)


def flush_output() -> None:
    """Flush the standard streams while an error can still be reported: an `OSError` names the stream, which then leads to the null device.

    Otherwise the interpreter would flush again at its end, and print a message of its own.
    """
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            error.filename = name
            raise

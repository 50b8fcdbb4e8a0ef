"""The judge of one input: it watches what reading the input does to this process, and how it ends.

Reading may succeed, or end with one message. Anything else is a `Fault`: an exception other than `UserError`, code or a program run, a
network connection, a forbidden file opened or changed, more than `SECONDS`, more than `MOST_BYTES` of memory, a message that is empty, too
long or holds control characters.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from datagen.errors import UserError
from datagen.io.bounds import peak_memory
from datagen.screen import in_bounds, plain_output

SECONDS = 10.0  # of processor time, which other programs do not lengthen
HANG_SECONDS = 120.0  # of wall-clock time
MOST_BYTES = 2**30  # that one input may add to this process's memory
ROOM = 8 * 2**30  # bytes of further address space, beyond which an allocation raises MemoryError
LONGEST_MESSAGE = 4_000  # characters of a refusal
CANARY = "igllm_canary"
"""The word in payloads by which the guard recognizes their code when it runs."""
OURS = ("model.tokens.chat_template", "model.trial", "blender_scenes.importer", "datagen.images.decoder")
"""The modules that the toolkit runs as processes of their own to open other people's files."""
PROBES = ("lscpu", "fc-list")
"""The commands that libraries run when they are first used."""

_RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "os.startfile")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "urllib.Request", "webbrowser.open")
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "shutil.rmtree": 1,
}
"""Audit events that change files, with the number of paths among their first arguments."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Fault(AssertionError):
    """Something that no input may do. ``sort`` is executed, traceback, slow, fat or message."""

    def __init__(self, sort: str, text: str) -> None:
        self.sort = sort
        super().__init__(f"{sort}: {text}")


class _Stopped(BaseException):
    """Ends the call that is judged. Readers that catch `Exception`, as damage of the input, do not catch it."""


@dataclass(frozen=True)
class Outcome:
    """How an input ended. ``said`` is the text on stderr, ``seconds`` processor time, ``bytes`` the growth of the peak memory, if any."""

    accepted: bool
    said: str
    seconds: float
    bytes: int


class Guard:
    """Watches one call at a time by an audit hook, which stays for the life of the process."""

    def __init__(self) -> None:
        self._watching = False
        self._found: str | None = None
        self._inside, self._writable = "", ()  # type: str, tuple[str, ...]
        sys.addaudithook(self._audit)

    def judge(self, read: Callable[[Path], int], folder: Path, outside: Path, *writable: Path) -> Outcome:
        """The outcome of ``read(folder)``, which returns an exit status or raises. `Fault` if it does what it may not.

        It may write to ``folder``, ``writable`` and the folder of temporary files, but neither read nor write in ``outside``.
        """
        self._inside, self._outside = os.path.realpath(folder), os.path.realpath(outside)
        self._writable = tuple(os.path.realpath(path) for path in (folder, *writable, Path(tempfile.gettempdir())))
        before, resident = sorted(os.listdir(outside)), _resident()
        errors, output = io.StringIO(), io.StringIO()
        start = time.process_time()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status, problem = self._ended(read, folder)
        seconds = time.process_time() - start
        grown = max(0, peak_memory() - resident)
        if self._found or sorted(os.listdir(outside)) != before:
            raise Fault("executed", self._found or f"something was written to {outside}")
        if problem is not None:
            raise problem
        if seconds > SECONDS:
            raise Fault("slow", f"{seconds:.1f} s")
        if grown > MOST_BYTES and grown > self._peak_before - resident:
            raise Fault("fat", f"{grown:,} bytes")
        _check_message(status, errors.getvalue(), output.getvalue())
        return Outcome(status == 0, errors.getvalue(), seconds, grown if grown > self._peak_before - resident else 0)

    def _ended(self, read: Callable[[Path], int], folder: Path) -> tuple[int, Fault | None]:
        """The exit status of ``read``, and the fault that ended it, if any."""
        self._found = None
        self._peak_before = peak_memory()
        try:
            with _bounded():
                self._watching = True
                return read(folder), None
        except UserError as error:
            self._watching = False
            with plain_output():  # as the command line does
                print(in_bounds(str(error)), file=sys.stderr)
            return 2, None
        except SystemExit as error:  # argparse's
            return error.code if isinstance(error.code, int) else 1, None
        except _Stopped as error:
            return 0, Fault("slow", f"{error}\n{_frames(error)}")
        except BaseException as error:
            self._watching = False
            return 0, Fault("traceback", f"{type(error).__name__}: {error}"[:500] + f"\n{_frames(error)}")
        finally:
            self._watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        wrong = None
        if event == "open":
            wrong = self._opened(*arguments)
        elif event == "exec":
            wrong = _executed(arguments[0], self._inside)
        elif event in _RUNS or event in _NETWORK:
            wrong = f"{event} {arguments!r:.200}"
        elif event == "subprocess.Popen":
            command = list(map(str, arguments[1]))
            wrong = None if set(OURS) & set(command) or command[0] in PROBES else f"the process {command!r:.200}"
        elif event == "pickle.find_class":
            wrong = f"a pickle names {arguments[1:]!r}"
        elif event in _CHANGES:
            named = arguments[: _CHANGES[event]]
            folders = [each for each in arguments[1:] if isinstance(each, int)] if event != "os.truncate" else []  # its integer is a length
            paths = [_at(path, folders[-1:]) for path in named if isinstance(path, str | bytes | os.PathLike)]
            wrong = next((f"{event} {path!r}" for path in paths if not self._may_write(path)), None)
        elif event == "ctypes.dlopen" and str(arguments[0]).startswith(self._inside):
            wrong = f"the library {arguments[0]}"
        if wrong:
            self._found = self._found or wrong
            raise _Stopped(wrong)

    def _opened(self, path: Any, mode: Any, flags: int) -> str | None:
        if not isinstance(path, str | bytes | os.PathLike):
            return None  # a descriptor
        if flags & _WRITING and not self._may_write(path):
            return f"opened {path!r} for writing"
        return f"opened {path!r}, outside of its folder" if _under(os.path.realpath(path), self._outside) else None

    def _may_write(self, path: Any) -> bool:
        place = os.path.realpath(os.fsdecode(path))
        return place == os.devnull or (place.startswith(self._writable) and not _under(place, self._outside))


def _at(path: Any, folder: list[int]) -> str:
    """The path of an event, joined to the open directory whose descriptor is in ``folder``; unchanged if that is empty or negative."""
    within = os.readlink(f"/proc/self/fd/{folder[0]}") if folder and folder[0] >= 0 else ""
    return os.path.join(within, os.fsdecode(path))


def _under(path: Any, folder: str) -> bool:
    return os.fsdecode(path).startswith(folder)


def _executed(code: Any, inside: str) -> str | None:
    """The problem with code that begins to run, if it comes from a file in ``inside`` or holds `CANARY`; else None."""
    if not isinstance(code, CodeType):
        return None
    held = (code.co_filename, *code.co_names, *(const for const in code.co_consts if isinstance(const, str)))
    return f"{code.co_filename} was run" if code.co_filename.startswith(inside) or any(CANARY in word for word in held) else None


def _check_message(status: int, errors: str, output: str) -> None:
    """`Fault` for a status but 0, 1 and 2, a printed traceback, control characters, and a refusal (status 2) that is empty or too long."""
    if status not in (0, 1, 2):
        raise Fault("traceback", f"status {status}: {errors[-500:]}")
    if "Traceback (most recent call last)" in errors + output:
        raise Fault("traceback", errors[-2000:])
    if status == 2 and not errors.strip():
        raise Fault("message", "refused without a word")
    if status == 2 and len(errors) > LONGEST_MESSAGE:
        raise Fault("message", f"{len(errors):,} characters of it: {errors[:300]!r}")
    hidden = next((character for character in errors + output if _moves_a_terminal(character)), None)
    if hidden is not None:
        where = (errors + output).index(hidden)
        raise Fault("message", f"holds {hidden!r}: {(errors + output)[max(0, where - 100) : where + 20]!r}")


def _moves_a_terminal(character: str) -> bool:
    return (character < " " and character not in "\n\t\r") or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, chain=False)[-12:])


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Limit processor time, wall-clock time and address space in the block."""

    def stop(number: int, _frame: Any) -> None:
        raise _Stopped(f"more than {SECONDS:g} s" if number == signal.SIGPROF else f"it hangs for {HANG_SECONDS:g} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, HANG_SECONDS)}
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])

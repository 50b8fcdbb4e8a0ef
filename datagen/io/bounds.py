"""Limits on memory and time that a process sets for itself before it opens somebody else's file."""

from __future__ import annotations

import contextlib
import math
import resource
from pathlib import Path


def taken_memory() -> int:
    """The bytes of data and stacks that this process has now; 0 if the system does not report them."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    return 0


def peak_memory(pid: int | None = None) -> int:
    """The greatest resident memory in bytes of a process, by default this one, since its program began; 0 if the system reports none.

    (`resource.getrusage` is no measure of that: on Linux, a program begins with the peak of the process that started it.)
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def bound_memory(most: int) -> None:
    """Limit the data and stacks of this process to `most` bytes in all, if the system reports and limits them."""
    if taken_memory():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def bound_time(seconds: float) -> None:
    """Limit this process to so many more seconds of processor time, after which SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds), hard))

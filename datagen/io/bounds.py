"""Bounds that a process sets for itself, before it opens what somebody else made."""

from __future__ import annotations

import contextlib
import math
import resource
from pathlib import Path


def taken_memory() -> int:
    """The bytes of data and stacks that this process has by now; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    return 0


def bound_memory(most: int) -> None:
    """From here on, this process may have so many bytes of data and stacks, where the system tells and bounds them."""
    if taken_memory():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def bound_time(seconds: float) -> None:
    """From here on, this process may compute for so many seconds more: then SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds), hard))

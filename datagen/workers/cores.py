"""Which processor cores workers are pinned to.

Blender's threads spin while they wait, so two workers on one core are slower than one. Pools that run side by side (the jobs of
an array, the tasks of a Ray node) therefore claim their cores through locks that end with the process that holds them.
"""

from __future__ import annotations

import fcntl
import os
from itertools import cycle, islice
from typing import IO

from datagen.io.cache import system_temporary


def available_cores() -> list[int]:
    """The cores this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


class CoreClaims:
    """The cores that one pool has taken."""

    def __init__(self) -> None:
        self._folder = system_temporary() / f"igllm-cores-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._locks: list[IO[bytes]] = []

    def claim(self, workers: int, threads: int) -> list[list[int]]:
        """`threads` cores for each worker: free ones while there are any, then cores that others use, too."""
        cores = available_cores()
        threads = min(threads, len(cores))
        taken: list[int] = []
        for core in cores:
            if len(taken) < workers * threads and self._lock(core):
                taken.append(core)
        shared = [core for core in cores if core not in taken] or cores
        dealt = [*taken, *islice(cycle(shared), workers * threads - len(taken))]
        return [dealt[i * threads : (i + 1) * threads] for i in range(workers)]

    def _lock(self, core: int) -> bool:
        lock = (self._folder / f"{core}.lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._locks.append(lock)
        return True

    def release(self) -> None:
        """Give all cores back."""
        while self._locks:
            self._locks.pop().close()

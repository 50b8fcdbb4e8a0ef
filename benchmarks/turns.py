"""Tasks timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median


def alternately(
    tasks: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median seconds of each task, taken in turn, so that a busy machine slows all alike. The first two rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats + 2):
        for name, task in tasks.items():
            begin = clock()
            task()
            times[name].append(clock() - begin)
    return {name: median(values[2:]) for name, values in times.items()}

"""Progress for people and for logs: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[T], total: int | None = None, desc: str = "") -> Iterator[T]:
    """Yield `items`, and print on stderr how many of `total` are done, at what rate, and the time left."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=desc, dynamic_ncols=True)
        return
    begin = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done == total:
            last = now
            print(progress_line(desc, done, total, now - begin), file=sys.stderr, flush=True)


def progress_line(desc: str, done: int, total: int | None, seconds: float) -> str:
    """One plain line: ``generate: 120/1000, 3.2/s, 275 s left``."""
    rate = done / seconds if seconds > 0 else 0.0
    left = f"{_duration((total - done) / rate)} left" if total and rate and done < total else _duration(seconds)
    return f"{desc}: {done}{f'/{total}' if total else ''}{_pace(rate)}, {left}"


def _pace(rate: float) -> str:
    """A rate per second as text; below 0.1, the time that one item takes."""
    if rate == 0:
        return ""
    if rate < 0.1:
        return f", {_duration(1 / rate)} each"
    return f", {rate:,.0f}/s" if rate >= 100 else f", {rate:.3g}/s"


def _duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 5 min``, ``4 d 7 h``."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"

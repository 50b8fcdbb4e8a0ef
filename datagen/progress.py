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
    """Pass `items` on while telling, on stderr, how many of `total` are done, at what rate, and the time left."""
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
    left = f", {(total - done) / rate:.0f} s left" if total and rate and done < total else f", {seconds:.0f} s"
    return f"{desc}: {done}{f'/{total}' if total else ''}, {rate:.3g}/s{left}"

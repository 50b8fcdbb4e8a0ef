"""Numbers as text, in command lines and messages: ``3``, ``12-40``, ``0-3,7``; ``1 sample``, ``2,000 samples``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from datagen.errors import UserError


def parse_shards(text: str, shards: int) -> list[int]:
    """The shards that a text like ``12-40`` or ``3,7-9`` names, both ends included; `UserError` if it is malformed or names one that is not
    among the first `shards`."""
    chosen: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", piece)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise UserError(f"shards {text!r}: a number, a range such as 12-40, or a list of them such as 3,7-9 is expected")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= shards:
            raise UserError(f"shards {text!r}: with this number of samples and shard size there are the shards 0-{shards - 1}")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The runs of consecutive numbers among these: the first number and the length of each."""
    start, length = 0, 0
    for number in sorted(set(numbers)):
        if length and number == start + length:
            length += 1
            continue
        if length:
            yield start, length
        start, length = number, 1
    if length:
        yield start, length


def counted(number: int, thing: str) -> str:
    """``1 sample``, ``2,000 samples``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(numbers: Iterable[int]) -> str:
    """Numbers as text: ``0-3, 7``."""
    return listed_runs(range(start, start + length) for start, length in runs(numbers))


def listed_runs(found: Iterable[range]) -> str:
    """Runs of numbers as text, as `listed`."""
    return ", ".join(f"{run.start}-{run.stop - 1}" if len(run) > 1 else str(run.start) for run in found)

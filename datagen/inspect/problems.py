"""Problems found in the counts of a data set, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datagen.inspect.tallies import HOLE, StatementTally, component_name

MOST_RANGES = 10  # in one sentence


def statement_problems(tally: StatementTally) -> list[str]:
    """The problems of one statement's words and numbers."""
    return [*_undeclared(tally), *_out_of_range(tally), *never_met(tally, excluded=False), *_excluded_but_there(tally)]


def _undeclared(tally: StatementTally) -> list[str]:
    found = []
    for name, counter in tally.undeclared.items():
        if counter:
            listed = ", ".join(f"{word} ({n:,})" for word, n in counter.items())
            found.append(f"{tally.statement.name}: {name} has words that the domain does not declare: {listed}")
    return found


def _out_of_range(tally: StatementTally) -> list[str]:
    return [
        f"{tally.statement.name}: {histogram.outside:,} of {histogram.n:,} values of {component_name(number, place)} lie outside "
        f"[{histogram.low:g}, {histogram.high:g}] {number.unit}"
        for number in tally.statement.numbers
        for place, histogram in enumerate(tally.numbers[number.name])
        if histogram.outside
    ]


def never_met(tally: StatementTally, excluded: bool) -> list[str]:
    """Sentences on words that never occur, and pairs that never occur together, though chance would give `HOLE` objects or more. With
    ``excluded``, those that the split excludes; else all others."""
    found = []
    for name, counter in tally.words.items():
        unused = [word for word, n in counter.items() if not n and tally.excluded({name: word}) == excluded]
        if unused and tally.objects >= HOLE * len(counter):
            found.append(f"{tally.statement.name}: {name} is never {', '.join(unused)}")
    for a, b in tally.pairs:
        if holes := [f"{w} {v}" for v, w in tally.holes(a, b) if tally.excluded({a: v, b: w}) == excluded]:
            found.append(f"{tally.statement.name}: {b} and {a} never together: {', '.join(holes)}")
    return found


def _excluded_but_there(tally: StatementTally) -> list[str]:
    """Sentences on pairs of words that the split excludes and that occur nevertheless."""
    found = []
    for (a, b), table in tally.pairs.items():
        rows, columns = list(tally.words[a]), list(tally.words[b])
        met = [(rows[i], columns[j]) for i, j in np.argwhere(table)]
        if against := [f"{w} {v}" for v, w in met if tally.excluded({a: v, b: w})]:
            found.append(f"{tally.statement.name}: the split excludes what is there: {b} and {a} {', '.join(against)}")
    return found


def index_gaps(held: Sequence[int]) -> tuple[list[tuple[int, int]], int]:
    """The gaps between index 0 and the greatest index, each as (first, last), and how many indices occur more than once."""
    indices, times = np.unique(np.asarray(held, np.int64), return_counts=True)
    before = np.concatenate([[-1], indices[:-1]])
    gaps = [(int(a) + 1, int(b) - 1) for a, b in zip(before, indices, strict=True) if b > a + 1]
    return gaps, int((times > 1).sum())


def ranges_text(ranges: Sequence[tuple[int, int]], most: int = MOST_RANGES) -> str:
    """The ranges (first, last) as a text like ``3, 7–9 (4 in all)``, cut short after `most` ranges."""
    listed = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in ranges[:most])
    return f"{listed}{', …' if len(ranges) > most else ''} ({sum(b - a + 1 for a, b in ranges):,} in all)"

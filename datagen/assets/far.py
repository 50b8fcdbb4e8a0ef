"""Coordinates that Blender would not read as they are written: it rounds to 32 bits, which leaves a model far from the origin, as
surveyors' coordinates put it, no shape; and of what is no number it makes zero."""

from __future__ import annotations

import numpy as np

from datagen.assets.folder import RefusedError
from datagen.screen import printable

FAR = 1000.0
"""Of points: whether they lie farther from the origin than so many times their own extent. Rounding then costs over 1/16,000 of it."""


def is_far(points: np.ndarray) -> bool:
    """Whether points (N, 3) float64 lie so far from the origin that they should be moved there before they are rounded."""
    low, high = points.min(0), points.max(0)
    with np.errstate(over="ignore"):  # what lies that far off is refused later
        return bool(np.abs(points).max() > FAR * (high - low).max() > 0)


def middle(points: np.ndarray) -> np.ndarray:
    """The middle (3,) of the box around points."""
    return (points.min(0) + points.max(0)) / 2


def near_lines(lines: list[bytes], at: list[int], first: int, columns: tuple[int, int, int]) -> list[bytes]:
    """Lines of text, of which those `at` these places hold points, moved to the origin if they are far away. ``columns`` are the words
    that are x, y and z, ``first`` is what messages call the first line. `RefusedError` for what is no finite number."""
    if not at:
        return lines
    words = [lines[number].split() for number in at]
    points = np.array([[_number(row, column, number + first) for column in columns] for row, number in zip(words, at, strict=True)])
    if not is_far(points):
        return lines
    moved = list(lines)
    for row, number, point in zip(words, at, (points - middle(points)).tolist(), strict=True):
        for column, value in zip(columns, point, strict=True):
            row[column] = repr(value).encode()
        moved[number] = b" ".join(row)
    return moved


def _number(row: list[bytes], column: int, line: int) -> float:
    if column >= len(row):
        raise RefusedError(f"line {line:,} has too few numbers for a vertex")
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        word = printable(row[column].decode(errors="replace"))
        raise RefusedError(f"line {line:,}: '{word[:40]}', in the place of a vertex's coordinate, is no finite number")
    return value

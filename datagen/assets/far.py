"""Coordinates that Blender would misread. It rounds them to 32 bits, so that a model far from the origin, as in surveyors' coordinates,
loses its shape; and it reads text that is no number as zero."""

from __future__ import annotations

import numpy as np

from datagen.assets.folder import RefusedError
from datagen.screen import printable

FAR = 1000.0
"""Points farther from the origin than this many times their own extent are far: rounding then moves them by 1/16,777 of it or more."""


def is_far(points: np.ndarray) -> bool:
    """Whether points (N, 3) float64 are so far from the origin that they must be moved there before they are rounded to 32 bits."""
    low, high = points.min(0), points.max(0)
    with np.errstate(over="ignore"):  # an extent beyond the range of float64 is refused later
        return bool(np.abs(points).max() > FAR * (high - low).max() > 0)


def middle(points: np.ndarray) -> np.ndarray:
    """The middle (3,) of the bounding box of points (N, 3)."""
    return (points.min(0) + points.max(0)) / 2


def near_lines(lines: list[bytes], at: list[int], first: int, columns: tuple[int, int, int]) -> list[bytes]:
    """The lines of a text, with the points in the lines with indices `at` moved to the origin if they are far away. ``columns`` are the
    indices of the words x, y and z; messages count lines from ``first``. `RefusedError` if a coordinate is missing or not finite."""
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

"""A disc on a frame: which pixels' centres it holds, and how much of each pixel's area it covers, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Window = tuple[slice, slice]
"""Rows and columns of a frame."""


@dataclass(frozen=True)
class Disc:
    """A disc in pixels: its centre from the frame's top left corner, and its radius. The centre need not be on the frame."""

    x: float
    y: float
    radius: float

    def window(self, width: int, height: int) -> Window:
        """The part of a frame that the disc can touch; empty if the disc is off the frame."""
        return self._span(self.y, height), self._span(self.x, width)

    def inside(self, window: Window) -> np.ndarray:
        """Whether the disc holds each pixel's centre: (rows, columns) bool."""
        y, x = (np.arange(span.start, span.stop) + 0.5 for span in window)
        return (x - self.x) ** 2 + ((y - self.y) ** 2)[:, None] <= self.radius**2

    def coverage(self, window: Window) -> np.ndarray:
        """The share of each pixel's area that the disc covers: (rows, columns) in [0, 1]."""
        rows, columns = window
        y = np.clip((np.arange(rows.start, rows.stop + 1) - self.y) / self.radius, -1, 1)
        x = np.clip((np.arange(columns.start, columns.stop + 1) - self.x) / self.radius, -1, 1)
        areas = np.diff(np.diff(_corner_area(x, y[:, None]), axis=0), axis=1) * self.radius**2
        return np.clip(areas, 0, 1)

    def _span(self, centre: float, size: int) -> slice:
        start, stop = np.clip((np.floor(centre - self.radius), np.ceil(centre + self.radius)), 0, size)
        return slice(int(start), int(stop))


def _corner_area(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The area of the unit disc left of `x` and below `y`, both in [-1, 1]: that of the lower half, plus or minus a strip's."""
    return _half(x) + np.copysign(_strip(x, np.abs(y)), y)


def _half(x: np.ndarray) -> np.ndarray:
    """The area of the upper half of the unit disc to the left of `x`."""
    return (x * np.sqrt(1 - x * x) + np.arcsin(x) + np.pi / 2) / 2


def _strip(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The area left of `x` of the upper half below `y` >= 0: its upper edge is straight from -w to w, and the circle on either side."""
    w = np.sqrt(1 - y * y)
    return _half(np.minimum(x, -w)) + y * (np.clip(x, -w, w) + w) + _half(np.maximum(x, w)) - _half(w)

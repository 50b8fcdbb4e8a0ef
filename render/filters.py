"""Filters along the lines of images as products with banded matrices: the fastest that numpy has, by many times for some twenty weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

_AT_ONCE = 2**16  # pixels that are worked on together, so that what is made of them stays in the cache
_BLOCK = 32  # pixels that one product filters: with fewer it is slow, with more it multiplies by more zeros
_LEAST_WEIGHT = 1e-9  # of a filter's greatest; less is lost in float32


class LineFilter:
    """A filter of an odd number of weights for one axis; ``radius`` is what it reaches to either side."""

    def __init__(self, weights: np.ndarray) -> None:
        cut = int(np.argmax(np.abs(weights) >= _LEAST_WEIGHT * np.abs(weights).max()))
        weights = weights[cut : len(weights) - cut]
        self.radius = len(weights) // 2
        self._banded = np.zeros((_BLOCK, _BLOCK + 2 * self.radius), np.float32)
        for row in range(_BLOCK):
            self._banded[row, row : row + len(weights)] = weights

    def along(self, axis: int, planes: np.ndarray, margin: int | None = None) -> np.ndarray:
        """Planes (..., height, width) float32 filtered along -1, the rows, or -2, the columns. Both ends are left away: as many pixels as
        the filter reaches, or a `margin` that is wider."""
        margin = self.radius if margin is None else margin
        shape = list(planes.shape)
        shape[axis] -= 2 * margin
        out = np.empty(shape, np.float32)
        for first in range(0, shape[axis], _BLOCK):
            size = min(_BLOCK, shape[axis] - first)
            rows, begin = self._banded[:size, : size + 2 * self.radius], first + margin - self.radius
            reach = slice(begin, begin + size + 2 * self.radius)
            if axis == -1:
                np.matmul(planes[..., reach], rows.T, out=out[..., first : first + size])
            else:
                np.matmul(rows, planes[..., reach, :], out=out[..., first : first + size, :])
        return out


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of an image (height, width), as many at a time as are worked on together."""
    rows = math.ceil(height / math.ceil(height * width / _AT_ONCE))
    return (slice(first, min(first + rows, height)) for first in range(0, height, rows))

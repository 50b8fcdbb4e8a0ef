"""Counters whose memory does not grow with the number of values."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np


class Histogram:
    """Values counted in `bins` bins of [`low`, `high`], with their exact mean, spread and extremes.

    Bins are equally wide, or with `log` each wider than the last by the same factor. Values outside are counted as ``below``
    or ``above``; mean, spread and extremes include them.
    """

    def __init__(self, low: float, high: float, bins: int, log: bool = False) -> None:
        self.low, self.high, self.bins, self.log = low, high, bins, log
        self.counts = [0] * bins
        self.n = self.below = self.above = 0
        self.least, self.most = math.inf, -math.inf
        self._mean = self._squares = 0.0  # the running mean and sum of squares of Welford's method
        self._start = self._scaled(low)
        span = self._scaled(high) - self._start
        self._per_unit = bins / span if span > 0 else 0.0

    def add(self, value: float) -> None:
        """Count a value; ValueError if it is not finite, TypeError if it is no number."""
        if not math.isfinite(value):
            raise ValueError(f"{value} where a finite number is expected")
        self.n += 1
        step = value - self._mean
        self._mean += step / self.n
        self._squares += step * (value - self._mean)
        self.least, self.most = min(self.least, value), max(self.most, value)
        if value < self.low:
            self.below += 1
        elif value > self.high:
            self.above += 1
        else:
            self.counts[min(int((self._scaled(value) - self._start) * self._per_unit), self.bins - 1)] += 1

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value

    @property
    def outside(self) -> int:
        return self.below + self.above

    @property
    def mean(self) -> float | None:
        return self._mean if self.n else None

    @property
    def std(self) -> float | None:
        """The standard deviation of the values (divided by n); None without values."""
        return math.sqrt(self._squares / self.n) if self.n else None

    @property
    def edges(self) -> np.ndarray:
        """The (bins + 1) edges of the bins."""
        return np.geomspace(self.low, self.high, self.bins + 1) if self.log else np.linspace(self.low, self.high, self.bins + 1)

    def quantile(self, share: float) -> float | None:
        """The quantile of `share` (0 to 1) of the values, exact to a bin's width; None without values."""
        if not self.n:
            return None
        rank = share * self.n
        totals = list(accumulate([self.below, *self.counts]))
        if rank <= totals[0]:
            return self.least if self.below else float(max(self.low, self.least))
        for i, count in enumerate(self.counts):
            if count and rank <= totals[i + 1]:
                left, right = self.edges[i], self.edges[i + 1]
                return float(min(max(left + (right - left) * (rank - totals[i]) / count, self.least), self.most))
        return self.most

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; mean, std, min and max are null without values."""
        extremes = {"min": self.least, "max": self.most} if self.n else {"min": None, "max": None}
        moments = {"n": self.n, "mean": self.mean, "std": self.std, **extremes}
        bins = {"low": self.low, "high": self.high, "log": self.log, "counts": self.counts, "below": self.below, "above": self.above}
        return moments | bins


class Plane:
    """Points of the plane, counted on a square grid around the origin. Its sides double whenever a point falls outside.

    ``counts`` (cells, cells) int64, rows along y, cover [-half, half] in x and y, in the points' own unit. ``outside`` is the number of
    points beyond `FARTHEST` or not finite.
    """

    FARTHEST = 4096.0

    def __init__(self, cells: int = 256) -> None:
        self.half = 1.0
        self.counts = np.zeros((cells, cells), np.int64)
        self.outside = 0

    def add(self, x: float, y: float) -> None:
        """Count a point."""
        if not (abs(x) <= self.FARTHEST and abs(y) <= self.FARTHEST):
            self.outside += 1
            return
        while max(abs(x), abs(y)) > self.half:
            self._double()
        cells = len(self.counts)
        row, column = (min(int((v + self.half) / (2 * self.half) * cells), cells - 1) for v in (y, x))
        self.counts[row, column] += 1

    def _double(self) -> None:
        cells = len(self.counts)
        halved = self.counts.reshape(cells // 2, 2, cells // 2, 2).sum((1, 3))
        self.counts = np.pad(halved, cells // 4)
        self.half *= 2

    def occupied(self, cells: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """The counts of the square that holds all points, on about `cells` x `cells` cells, and its extent: left, right, bottom, top.

        At least one point must have been counted.
        """
        size = len(self.counts)
        rows, columns = np.nonzero(self.counts)
        reach = max(rows.max() - rows.min(), columns.max() - columns.min()) + 1
        factor = max(1, -(-int(reach) // cells))
        wide = min(-(-int(reach) // factor) * factor, size // factor * factor)
        top, left = (int(min(index.min(), size - wide)) for index in (rows, columns))
        part = self.counts[top : top + wide, left : left + wide].reshape(wide // factor, factor, wide // factor, factor).sum((1, 3))
        cell = 2 * self.half / size
        x, y = left * cell - self.half, top * cell - self.half
        return part, (x, x + wide * cell, y, y + wide * cell)

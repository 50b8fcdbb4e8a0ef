"""Reliability plots: of what was said with so much confidence, how much was right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from datagen.metrics.certainty import Judged, SceneCertainty, reliability

SHOWN = 10  # bins of a plot
SUREST = 0.9999
LEAST_GAP = 0.22  # of an axis, between its first name and the next
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Point:
    """A bin: the number of its cases, their mean confidence, the share of right ones, and the ends of its 95 % interval (Wilson's)."""

    cases: int
    confidence: float
    right: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A reliability plot of what is ``named`` so. Both axes go from ``low`` to `SUREST`, each step nearer to 1 as long as the one before:
    most of what is said is said with a confidence of nearly 1."""

    named: str
    low: float
    points: tuple[Point, ...]

    def at(self, share: float) -> float:
        """Where a share is on an axis, from 0 to 1."""
        begin, end = math.log10(1 - self.low), math.log10(1 - SUREST)
        return min(1.0, max(0.0, (begin - math.log10(1 - min(share, SUREST))) / (begin - end)))

    @property
    def marks(self) -> list[float]:
        """The shares that an axis names, far enough from each other to be read."""
        return [self.low, *(share for share in (0.9, 0.99, 0.999, SUREST) if self.at(share) > LEAST_GAP)]


def curves(scores: Sequence[SceneCertainty]) -> list[Curve]:
    """The plots of objects, and of each argument's words; empty where nothing was said."""
    judged = {"objects": [case for one in scores for case in one.objects]}
    for one in scores:
        for name, cases in one.words.items():
            judged.setdefault(name, []).extend(cases)
    return [_curve(name, cases) for name, cases in judged.items() if cases]


def _curve(name: str, cases: Sequence[Judged]) -> Curve:
    points = tuple(Point(*one, _wilson(one.right, one.cases)) for one in reliability(cases, SHOWN))
    least = min(min(point.confidence, point.ends[0]) for point in points)
    return Curve(name, min(0.9, math.floor(10 * least) / 10), points)


def _wilson(share: float, cases: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a share."""
    middle, widened = (share + Z * Z / (2 * cases)) / (1 + Z * Z / cases), Z / (1 + Z * Z / cases)
    half = widened * math.sqrt(share * (1 - share) / cases + (Z / (2 * cases)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)

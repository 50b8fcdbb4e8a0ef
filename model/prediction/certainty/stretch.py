"""Intervals from spreads: by which factor the spread of a number is to be stretched so that the interval holds nine in ten true numbers.

The factor is the 90 % quantile, over held-out objects, of how many times the spread the true number is away (split conformal prediction
with normalised scores: Lei et al. 2018). Objects that the model is less sure of are off by more than their spread says, so that the factor
is one for each of a few groups of objects of like sureness: as many as give the best intervals (the least interval score: Gneiting and
Raftery 2007) on scenes that it was not found on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from datagen.code.predictions import Bounds
from datagen.metrics.certainty import LEVEL
from model.declared import StatedStretch

LEAST_SHARE = 1e-3  # of a number's range: its least half-width before it is stretched
GROUPS = (1, 2, 4, 8, 16)
LEAST_CASES = 100  # of a group
FOLDS = 5


class Cases:
    """Numbers of one component: ``offs`` (N,), how far the true number is above what was said; ``spans`` (N, 2), the positive distances
    from what was said to both ends of its span; ``sure`` (N,), the log-probabilities of their objects; ``scenes`` (N,)."""

    def __init__(self, offs: Sequence[float], spans: Sequence[Bounds], sure: Sequence[float], scenes: Sequence[int]) -> None:
        self.offs, self.sure, self.scenes = np.array(offs, float), np.array(sure, float), np.array(scenes, int)
        self.spans = np.array(spans, float).reshape(-1, 2)

    def select(self, which: np.ndarray) -> Cases:
        """Some of the cases."""
        return Cases(self.offs[which].tolist(), self.spans[which].tolist(), self.sure[which].tolist(), self.scenes[which].tolist())


def fit_stretch(cases: Cases, value_range: float) -> StatedStretch:
    """The stretch of a number whose declared range is so wide."""
    least = LEAST_SHARE * value_range
    possible = [groups for groups in GROUPS if groups == 1 or len(cases.offs) >= groups * LEAST_CASES]
    scores = {groups: _held_out_score(cases, groups, least) for groups in possible}
    return _fitted(cases, min(scores, key=lambda groups: scores[groups]), least)


def half_widths(stretch: StatedStretch, below: float, above: float, sure: float) -> Bounds:
    """How far an interval reaches below and above a number whose span reaches so far; ``sure`` is its object's log-probability."""
    factor = stretch.factors[int(np.searchsorted(stretch.edges, sure, side="right"))]
    return factor * max(below, stretch.least), factor * max(above, stretch.least)


def _fitted(cases: Cases, groups: int, least: float) -> StatedStretch:
    edges = np.unique(np.quantile(cases.sure, np.arange(1, groups) / groups)) if len(cases.offs) else np.empty(0)
    group = np.searchsorted(edges, cases.sure, side="right")
    times = _times(cases, least)
    overall = _quantile(times)
    factors = [_quantile(times[group == one]) if (group == one).any() else overall for one in range(len(edges) + 1)]
    return StatedStretch([round(edge, 6) for edge in edges.tolist()], [round(factor, 6) for factor in factors], least)


def _times(cases: Cases, least: float) -> np.ndarray:
    """How many times the span's length, on its side, the true numbers are away."""
    span = np.where(cases.offs < 0, cases.spans[:, 0], cases.spans[:, 1])
    return np.asarray(np.abs(cases.offs) / np.maximum(span, least))


def _quantile(times: np.ndarray) -> float:
    """The quantile that holds for a further case with probability `LEVEL`."""
    if not len(times):
        return 1.0
    rank = min(len(times), math.ceil((len(times) + 1) * LEVEL))
    return float(np.sort(times)[rank - 1])


def _held_out_score(cases: Cases, groups: int, least: float) -> float:
    """The sum of interval scores: the width, and what a missed number is off by times 2 / (1 - `LEVEL`)."""
    total, fold = 0.0, cases.scenes % FOLDS
    for one in range(FOLDS):
        inside = fold == one
        if not inside.any() or inside.all():
            continue
        stretch, others = _fitted(cases.select(~inside), groups, least), cases.select(inside)
        factors = np.array(stretch.factors)[np.searchsorted(stretch.edges, others.sure, side="right")]
        reach = factors[:, None] * np.maximum(others.spans, least)
        missed = np.maximum(0, -others.offs - reach[:, 0]) + np.maximum(0, others.offs - reach[:, 1])
        total += float((reach.sum(1) + 2 / (1 - LEVEL) * missed).sum())
    return total

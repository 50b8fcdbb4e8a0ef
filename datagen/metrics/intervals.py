"""Bootstrap confidence intervals of all metrics of `datagen.metrics.summary` except the counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from datagen.metrics.scores import SceneScores
from datagen.metrics.summary import Count, MetricTable, Rate, Statistic, metrics

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
_MOST_COUNTS = 2**22  # array elements in memory at once

Interval = list[float] | None
"""The lower and the upper end; None where the metric has no case in any resample."""


def intervals(scores: Sequence[SceneScores], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED) -> dict[str, Any]:
    """The interval of each metric of ``summarize(scores)``, under the same keys; counts have none.

    The percentile bootstrap (Efron and Tibshirani 1993, chapter 13): ``len(scores)`` scenes are drawn with replacement, `resamples` times,
    and the metric of each resample is computed as by `summarize`; the ends are its quantiles at (1 ∓ level) / 2. Whole scenes are drawn,
    because the objects of a scene are not independent. `seed` makes the draws reproducible.
    """
    statistics: dict[Rate, Statistic] = {}
    drawn: dict[Rate, list[np.ndarray]] = {}

    def prepare(table: MetricTable) -> None:
        for entry in table.values():
            if isinstance(entry, Mapping):
                prepare(entry)
            elif not isinstance(entry, Count):
                statistics[entry], drawn[entry] = entry.statistic(scores), []

    def ends(table: MetricTable) -> dict[str, Any]:
        kept = {name: entry for name, entry in table.items() if not isinstance(entry, Count)}
        return {name: ends(entry) if isinstance(entry, Mapping) else _ends(drawn[entry], level) for name, entry in kept.items()}

    table = metrics(scores)
    prepare(table)
    for counts in _draws(scores, resamples, seed):
        for rate, statistic in statistics.items():
            drawn[rate].append(statistic(counts))
    return ends(table)


def _draws(scores: Sequence[SceneScores], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each resample contains each scene: arrays (resamples, scenes), some of the resamples at a time to bound memory."""
    if not scores:
        return
    rng = np.random.default_rng(seed)
    widest = max(len(scores), sum(len(s.rotation_errors) for s in scores))
    part = max(1, _MOST_COUNTS // widest)
    for begin in range(0, resamples, part):
        yield rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=min(part, resamples - begin))


def _ends(drawn: Sequence[np.ndarray], level: float) -> Interval:
    values = np.concatenate([np.empty(0), *drawn])
    known = values[~np.isnan(values)]
    return None if not len(known) else [float(end) for end in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]

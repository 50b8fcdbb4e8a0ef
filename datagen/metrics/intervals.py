"""Bootstrap confidence intervals of all metrics of `datagen.metrics.summary` except the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from datagen.metrics.scores import SceneScores
from datagen.metrics.summary import Count, MetricTable, Rate, Statistic, metrics

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
_MOST_COUNTS = 2**22  # array elements in memory at once

Name = TypeVar("Name")
Interval = list[float] | None
"""The lower and the upper end; None where the metric has no case in any resample."""


def intervals(scores: Sequence[SceneScores], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED) -> dict[str, Any]:
    """The interval of each metric of ``summarize(scores)``, under the same keys; counts have none.

    The percentile bootstrap (Efron and Tibshirani 1993, chapter 13): ``len(scores)`` scenes are drawn with replacement, `resamples` times,
    and the metric of each resample is computed as by `summarize`; the ends are its quantiles at (1 ∓ level) / 2. Whole scenes are drawn,
    because the objects of a scene are not independent. `seed` makes the draws reproducible.
    """
    table = metrics(scores)
    statistics = {rate: rate.statistic(scores) for rate in _rates(table)}
    drawn = _drawn(statistics, [scores], resamples, seed)
    return _like(table, lambda rate: _ends(drawn[rate], level))


def differences(
    one: Sequence[SceneScores],
    other: Sequence[SceneScores],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> dict[str, Any]:
    """How much each metric of ``summarize(other)`` is above that of ``summarize(one)``, under the same keys: ``difference`` and its
    ``interval``; counts are left out.

    Both are scores of the same scenes in the same order, and each resample draws the same scenes for both: the paired bootstrap, in which
    what makes a scene hard for both cancels out. The rest is as in `intervals`. A difference is None where either metric is.
    """
    table = metrics(one)
    first, second = ({rate: rate.statistic(scores) for rate in _rates(table)} for scores in (one, other))
    apart = {rate: _apart(first[rate], second[rate]) for rate in first}
    drawn = _drawn(apart, [one, other], resamples, seed)

    def row(rate: Rate) -> dict[str, Any]:
        before, after = rate.value(one), rate.value(other)
        if before is None or after is None:
            return {"difference": None, "interval": None}
        return {"difference": after - before, "interval": _ends(drawn[rate], level)}

    return _like(table, row)


def bootstrap(
    statistics: Mapping[Name, Statistic], scenes: int, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED
) -> dict[Name, Interval]:
    """The interval of each statistic of so many scenes, as in `intervals`."""
    drawn: dict[Name, list[np.ndarray]] = {name: [] for name in statistics}
    for counts in _draws(scenes, scenes, resamples, seed):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(counts))
    return {name: _ends(values, level) for name, values in drawn.items()}


def mean_difference(steps: Sequence[float], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED) -> dict[str, Any]:
    """The mean of differences, one of each scene, as ``difference``, and its ``interval`` as in `differences`; both None without any."""
    if not steps:
        return {"difference": None, "interval": None}
    values = np.array(steps, float)
    drawn = [counts @ values / len(values) for counts in _draws(len(values), len(values), resamples, seed)]
    return {"difference": float(values.mean()), "interval": _ends(drawn, level)}


def _apart(one: Statistic, other: Statistic) -> Statistic:
    return lambda counts: other(counts) - one(counts)


def _rates(table: MetricTable) -> Iterator[Rate]:
    for entry in table.values():
        if isinstance(entry, Mapping):
            yield from _rates(entry)
        elif not isinstance(entry, Count):
            yield entry


def _like(table: MetricTable, row: Callable[[Rate], Any]) -> dict[str, Any]:
    """What `row` makes of every rate of a table, under the same keys."""
    kept = {name: entry for name, entry in table.items() if not isinstance(entry, Count)}
    return {name: _like(entry, row) if isinstance(entry, Mapping) else row(entry) for name, entry in kept.items()}


def _drawn(
    statistics: Mapping[Rate, Statistic], scored: Sequence[Sequence[SceneScores]], resamples: int, seed: int
) -> dict[Rate, list[np.ndarray]]:
    """The resamples' values of each statistic of the same scenes."""
    drawn: dict[Rate, list[np.ndarray]] = {rate: [] for rate in statistics}
    widest = max(max(len(scores), sum(max(s.guesses, len(s.rotation_errors)) for s in scores)) for scores in scored)
    for counts in _draws(len(scored[0]), widest, resamples, seed):
        for rate, statistic in statistics.items():
            drawn[rate].append(statistic(counts))
    return drawn


def _draws(scenes: int, widest: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each resample contains each scene: arrays (resamples, scenes), some of the resamples at a time to bound memory, of which
    the statistics need that of ``widest`` numbers for each resample."""
    if not scenes:
        return
    rng = np.random.default_rng(seed)
    part = max(1, _MOST_COUNTS // widest)
    for begin in range(0, resamples, part):
        yield rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=min(part, resamples - begin))


def _ends(drawn: Sequence[np.ndarray], level: float) -> Interval:
    values = np.concatenate([np.empty(0), *drawn])
    known = values[~np.isnan(values)]
    return None if not len(known) else [float(end) for end in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]

"""How far the scores of many scenes can be trusted: bootstrap intervals of every rate that `datagen.metrics.scores.summarize` forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datagen.metrics.scores import SceneScores, rotation_thresholds, thresholds

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
_MOST_COUNTS = 2**22  # numbers held at once

Interval = list[float] | None
"""The lower and the upper end; None where the rate has no case in any resample."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""From how often each scene was drawn, (resamples, scenes), to a value a resample; NaN where there is no case."""


def intervals(scores: Sequence[SceneScores], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED) -> dict[str, Any]:
    """The interval of each rate of ``summarize(scores)``, under the same keys; the numbers of objects have none.

    The percentile bootstrap (Efron and Tibshirani 1993, chapter 13): as many scenes as there are, drawn with replacement, `resamples`
    times; each time the rate is formed as `summarize` does, and its quantiles at (1 ∓ level) / 2 are the ends. Whole scenes are drawn,
    because the objects of one are not independent. `seed` makes the draws reproducible.
    """
    found = dict(_statistics(scores))
    drawn: dict[tuple[str, ...], list[np.ndarray]] = {name: [] for name in found}
    for counts in _draws(scores, resamples, seed):
        for name, statistic in found.items():
            drawn[name].append(statistic(counts))
    result: dict[str, Any] = {}
    for name, values in drawn.items():
        table = result
        for part in name[:-1]:
            table = table.setdefault(part, {})
        table[name[-1]] = _ends(np.concatenate(values) if values else np.empty(0), level)
    result["rotation_error"].setdefault("within", {})
    # Without any scene, neither words nor thresholds are known.
    return {"accuracy_matched": {}, "accuracy_all": {}, "ap": {}, "size_error": {}} | result


def _draws(scores: Sequence[SceneScores], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each scene is drawn, (resamples, scenes), a part of the resamples at a time."""
    if not scores:
        return
    rng = np.random.default_rng(seed)
    widest = max(len(scores), sum(len(s.rotation_errors) for s in scores))
    part = max(1, _MOST_COUNTS // widest)
    for begin in range(0, resamples, part):
        yield rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=min(part, resamples - begin))


def _statistics(scores: Sequence[SceneScores]) -> Iterator[tuple[tuple[str, ...], Statistic]]:
    """Every rate of `summarize` by its path in it."""

    def each(value: Callable[[SceneScores], float]) -> np.ndarray:
        return np.array([value(s) for s in scores], float)

    ones = each(lambda s: 1)
    truths, guesses, matched = each(lambda s: s.truths), each(lambda s: s.guesses), each(lambda s: len(s.pairs))
    yield ("count_accuracy",), _ratio(each(lambda s: s.count_right), ones)
    yield ("recall",), _ratio(matched, truths)
    yield ("precision",), _ratio(matched, guesses)
    yield ("location_l2",), _ratio(each(lambda s: sum(p.distance for p in s.pairs)), matched)
    for name in dict.fromkeys(name for s in scores for name in s.choices):
        tallies = [s.choices.get(name) for s in scores]
        right, of, of_all = (np.array([getattr(t, part, 0) for t in tallies], float) for part in ("right", "matched", "all"))
        yield ("accuracy_matched", name), _ratio(right, of)
        yield ("accuracy_all", name), _ratio(right, of_all)
    for threshold in thresholds(scores):
        yield ("ap", f"{threshold:g}"), _ratio(np.array([s.average_precision[threshold] for s in scores]), ones)
    turns = each(lambda s: len(s.rotation_errors))
    yield ("rotation_error", "mean"), _ratio(each(lambda s: sum(s.rotation_errors)), turns)
    yield ("rotation_error", "median"), _median([s.rotation_errors for s in scores])
    for angle in rotation_thresholds(scores):
        yield ("rotation_error", "within", f"{angle:g}"), _ratio(np.array([s.rotations_within[angle] for s in scores], float), turns)
    for name in dict.fromkeys(name for s in scores for name in s.size_errors):
        errors = [s.size_errors[name] for s in scores]
        yield ("size_error", name), _ratio(np.array([sum(own) for own in errors], float), np.array([len(own) for own in errors], float))
    yield ("relations",), _ratio(each(lambda s: s.relations_right), each(lambda s: s.relations))


def _ratio(parts: np.ndarray, of: np.ndarray) -> Statistic:
    """The sum of one number a scene over the sum of another."""

    def statistic(counts: np.ndarray) -> np.ndarray:
        whole = counts @ of
        return np.divide(counts @ parts, whole, out=np.full(len(counts), np.nan), where=whole > 0)

    return statistic


def _median(values: Sequence[Sequence[float]]) -> Statistic:
    """The median of all values of the drawn scenes, each as often as its scene was drawn."""
    flat = np.array([v for own in values for v in own], float)
    order = np.argsort(flat, kind="stable")
    scene = np.repeat(np.arange(len(values)), [len(own) for own in values])[order]
    ordered = flat[order]

    def statistic(counts: np.ndarray) -> np.ndarray:
        medians = np.full(len(counts), np.nan)
        if not len(ordered):
            return medians
        reached = np.cumsum(counts[:, scene], axis=1)  # how many drawn values are no larger
        total = reached[:, -1]
        some = total > 0
        lower, upper = ((reached[some] > at[some, None]).argmax(axis=1) for at in ((total - 1) // 2, total // 2))
        medians[some] = (ordered[lower] + ordered[upper]) / 2
        return medians

    return statistic


def _ends(values: np.ndarray, level: float) -> Interval:
    known = values[~np.isnan(values)]
    return None if not len(known) else [float(end) for end in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]

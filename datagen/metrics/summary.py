"""The metrics of many scenes together, declared once: `summarize` and the bootstrap intervals are both made from this table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, TypeAlias

import numpy as np

from datagen.code.grammar import MAX_STATEMENTS
from datagen.metrics.scores import SceneScores, Tally
from datagen.metrics.shots import CameraErrors, LampErrors

MOST_ERROR = 1e12  # in any domain's unit, far beyond the ranges that a trained model's numbers stay in
MOST_DEGREES = 180.0

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps how often each resample contains each scene, (resamples, scenes), to the resamples' metrics, (resamples,); NaN without a case."""


@dataclass(frozen=True)
class Count:
    """The sum of a count over all scenes, each at most ``most``; None if any scene's count is None. Counts have no interval."""

    of: Callable[[SceneScores], int | None]
    most: int = MAX_STATEMENTS

    def value(self, scores: Sequence[SceneScores]) -> int | None:
        counts = [self.of(s) for s in scores]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class Share:
    """The share of right cases among the cases of all scenes together; None without a case."""

    right: Callable[[SceneScores], int]
    cases: Callable[[SceneScores], int]
    most: float = 1.0

    def value(self, scores: Sequence[SceneScores]) -> float | None:
        cases = sum(map(self.cases, scores))
        return sum(map(self.right, scores)) / cases if cases else None

    def statistic(self, scores: Sequence[SceneScores]) -> Statistic:
        return _ratio([self.right(s) for s in scores], [self.cases(s) for s in scores])


@dataclass(frozen=True)
class Mean:
    """The mean of all values of all scenes, each at least 0; None without a value."""

    values: Callable[[SceneScores], Sequence[float]]
    most: float = MOST_ERROR

    def value(self, scores: Sequence[SceneScores]) -> float | None:
        values = [value for s in scores for value in self.values(s)]
        return fmean(values) if values else None

    def statistic(self, scores: Sequence[SceneScores]) -> Statistic:
        return _ratio([sum(self.values(s)) for s in scores], [len(self.values(s)) for s in scores])


@dataclass(frozen=True)
class Median:
    """The median of all values of all scenes, each at least 0; None without a value."""

    values: Callable[[SceneScores], Sequence[float]]
    most: float = MOST_ERROR

    def value(self, scores: Sequence[SceneScores]) -> float | None:
        values = [value for s in scores for value in self.values(s)]
        return median(values) if values else None

    def statistic(self, scores: Sequence[SceneScores]) -> Statistic:
        return _median([self.values(s) for s in scores])


@dataclass(frozen=True)
class PooledPrecision:
    """The average precision of the guesses of all scenes in one ranking, at a distance, as in Slot Attention's code (Locatello et al.
    2020); None without an object. Of equally confident guesses the wrong ones come first, so that the order of scenes does not matter."""

    distance: float
    most: float = 1.0

    def value(self, scores: Sequence[SceneScores]) -> float | None:
        value = float(self.statistic(scores)(np.ones((1, len(scores))))[0]) if scores else np.nan
        return None if np.isnan(value) else value

    def statistic(self, scores: Sequence[SceneScores]) -> Statistic:
        guesses = [(confidence, hit, i) for i, s in enumerate(scores) for confidence, hit in s.ranked[self.distance]]
        guesses.sort(key=lambda guess: (-guess[0], guess[1]))
        hits, scenes = np.array([hit for _, hit, _ in guesses], bool), np.array([i for *_, i in guesses], int)
        truths = np.array([s.truths for s in scores], float)

        def precision(counts: np.ndarray) -> np.ndarray:
            """In a resample, a scene's guesses stand as often in the ranking as the scene was drawn."""
            times = counts[:, scenes]
            right = times * hits
            ranked = np.cumsum(times, axis=1)
            reached = np.divide(np.cumsum(right, axis=1), ranked, out=np.zeros_like(ranked, float), where=ranked > 0)
            envelope = np.maximum.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
            every = counts @ truths
            return np.divide((envelope * right).sum(1), every, out=np.full(len(counts), np.nan), where=every > 0)

        return precision


Rate: TypeAlias = Share | Mean | Median | PooledPrecision
MetricTable: TypeAlias = Mapping[str, "Count | Rate | MetricTable"]


def metrics(scores: Sequence[SceneScores]) -> MetricTable:
    """Every metric, under the key of its value in `summarize`. `scores`, of one domain, determine the words, thresholds and sizes."""
    words = dict.fromkeys(word for s in scores for word in s.choices)
    sizes = dict.fromkeys(name for s in scores for name in s.size_errors)
    distances = scores[0].average_precision if scores else ()
    angles = scores[0].rotations_within if scores else ()
    table: dict[str, Count | Rate | MetricTable] = {
        # Numbers of objects: true, guessed, matched, true without a match, guessed without a match.
        "objects": Count(lambda s: s.truths),
        "guessed": Count(lambda s: s.guesses),
        "matched": Count(_matched),
        "missed": Count(lambda s: s.truths - _matched(s)),
        "extra": Count(lambda s: s.guesses - _matched(s)),
        # Pairs of guessed objects of one scene that are nearer than `Domain.spacing` permits; None if the domain has no spacing.
        "too_near": Count(lambda s: s.too_near, most=MAX_STATEMENTS**2),
        # The share of scenes with the true number of objects.
        "count_accuracy": Share(lambda s: s.count_right, lambda s: 1),
        "recall": Share(_matched, lambda s: s.truths),
        "precision": Share(_matched, lambda s: s.guesses),
        # The mean distance of matched pairs, in the domain's unit (Kulits et al. 2024); to be read beside recall.
        "location_l2": Mean(lambda s: [pair.distance for pair in s.pairs]),
        # By choice argument and name of `Domain.groups`: the share of right words, of matched pairs and of all true objects.
        "accuracy_matched": {word: _accuracy(word, lambda tally: tally.matched) for word in words},
        "accuracy_all": {word: _accuracy(word, lambda tally: tally.all) for word in words},
        # By threshold in the domain's unit: the mean of the scenes' average precision.
        "ap": {f"{distance:g}": _mean_precision(distance) for distance in distances},
        # The same of the guesses of all scenes in one ranking.
        "ap_pooled": {f"{distance:g}": PooledPrecision(distance) for distance in distances},
        # Of matched pairs with a rotation error: mean and median in degrees, the share below each of the domain's thresholds, their number.
        "rotation_error": {
            "mean": Mean(lambda s: s.rotation_errors, MOST_DEGREES),
            "median": Median(lambda s: s.rotation_errors, MOST_DEGREES),
            "within": {f"{angle:g}": _within(angle) for angle in angles},
            "pairs": Count(lambda s: len(s.rotation_errors)),
        },
        # By argument of `Domain.sizes`: the mean over matched pairs, in its unit.
        "size_error": {name: _mean_size_error(name) for name in sizes},
        # The share of relations between matched objects that agree.
        "relations": Share(lambda s: s.relations_right, lambda s: s.relations),
    }
    return {**table, "shot": _of_shots(scores)} if any(s.shot for s in scores) else table


def _of_shots(scores: Sequence[SceneScores]) -> MetricTable:
    """The metrics of what codes state of their shots; they are there only if some code, true or guessed, states something."""
    lamps = dict.fromkeys(name for s in scores if s.shot for name in s.shot.lamps)
    return {
        "camera": {
            # True cameras, and those of them that the guess states as well; the errors are of the latter.
            "cameras": Count(lambda s: s.shot.cameras if s.shot else 0),
            "stated": Count(lambda s: len(_camera(s))),
            # The distance in metres.
            "location": _both(lambda s: [c.location for c in _camera(s)], MOST_ERROR),
            # Degrees between the lines of sight, of turn about them, and of the angle across the frame's longer side.
            "direction": _both(lambda s: [c.direction for c in _camera(s)], MOST_DEGREES),
            "roll": _both(lambda s: [c.roll for c in _camera(s)], MOST_DEGREES),
            "field_of_view": _both(lambda s: [c.field_of_view for c in _camera(s)], 2 * MOST_DEGREES),
        },
        # Numbers of lamps: true, said, and those that have a true one's name; by name, degrees seen from the origin, and the error of the
        # power as a share of the true one.
        "lamps": Count(lambda s: s.shot.lamps_true if s.shot else 0),
        "lamps_said": Count(lambda s: s.shot.lamps_said if s.shot else 0),
        "lamps_matched": Count(lambda s: len(s.shot.lamps) if s.shot else 0),
        "lamp_direction": {name: _both(_of_lamp(name, lambda lamp: lamp.direction), MOST_DEGREES) for name in lamps},
        "lamp_power": {name: _both(_of_lamp(name, lambda lamp: lamp.power), MOST_ERROR) for name in lamps},
    }


def _camera(scores: SceneScores) -> list[CameraErrors]:
    return [scores.shot.camera] if scores.shot and scores.shot.camera else []


def _of_lamp(name: str, error: Callable[[LampErrors], float | None]) -> Callable[[SceneScores], Sequence[float]]:
    def values(scores: SceneScores) -> Sequence[float]:
        lamp = scores.shot.lamps.get(name) if scores.shot else None
        value = None if lamp is None else error(lamp)
        return [] if value is None else [value]

    return values


def _both(values: Callable[[SceneScores], Sequence[float]], most: float) -> MetricTable:
    return {"mean": Mean(values, most), "median": Median(values, most)}


def summarize(scores: Sequence[SceneScores]) -> dict[str, Any]:
    """The values of all `metrics` of many scenes' scores as plain JSON; None where a metric has no case."""

    def values(table: MetricTable) -> dict[str, Any]:
        return {name: values(entry) if isinstance(entry, Mapping) else entry.value(scores) for name, entry in table.items()}

    return values(metrics(scores))


def _matched(scores: SceneScores) -> int:
    return len(scores.pairs)


def _accuracy(word: str, cases: Callable[[Tally], int]) -> Share:
    none = Tally(0, 0, 0)
    return Share(lambda s: s.choices.get(word, none).right, lambda s: cases(s.choices.get(word, none)))


def _mean_precision(distance: float) -> Mean:
    return Mean(lambda s: [s.average_precision[distance]], most=1.0)


def _within(angle: float) -> Share:
    return Share(lambda s: s.rotations_within[angle], lambda s: len(s.rotation_errors))


def _mean_size_error(name: str) -> Mean:
    return Mean(lambda s: s.size_errors[name])


def _ratio(parts: Iterable[float], wholes: Iterable[float]) -> Statistic:
    """The statistic: the sum over scenes of one number, divided by the sum of another."""
    of_scenes, whole_of_scenes = np.array([*parts], float), np.array([*wholes], float)

    def statistic(counts: np.ndarray) -> np.ndarray:
        whole = counts @ whole_of_scenes
        return np.divide(counts @ of_scenes, whole, out=np.full(len(counts), np.nan), where=whole > 0)

    return statistic


def _median(values: Sequence[Sequence[float]]) -> Statistic:
    """The statistic: the median of the drawn scenes' values, each counted as often as its scene was drawn."""
    flat = np.array([value for of_scene in values for value in of_scene], float)
    order = np.argsort(flat, kind="stable")
    scene = np.repeat(np.arange(len(values)), [len(of_scene) for of_scene in values])[order]
    ordered = flat[order]

    def statistic(counts: np.ndarray) -> np.ndarray:
        medians = np.full(len(counts), np.nan)
        if not len(ordered):
            return medians
        reached = np.cumsum(counts[:, scene], axis=1)  # how many drawn values come up to this one in order
        total = reached[:, -1]
        some = total > 0
        lower, upper = ((reached[some] > at[some, None]).argmax(axis=1) for at in ((total - 1) // 2, total // 2))
        medians[some] = (ordered[lower] + ordered[upper]) / 2
        return medians

    return statistic

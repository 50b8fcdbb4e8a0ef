"""Whether a model knows how much it knows: of what it says with so much confidence, as large a share should be right, and of its 90 %
intervals nine in ten should hold the true number.

An object is right if the true object that it is matched to (`datagen.metrics.matching`) has the same statement and the same words, and is
nearer than `right_within`; one without a match is wrong. A word is right if the matched object has it; words of objects without a match are
not counted. A number counts if the matched object has it and it can be told from the image: a sphere's rotation cannot.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from datagen.code.statements import Number
from datagen.domains.base import Domain
from datagen.metrics.intervals import Interval, bootstrap
from datagen.metrics.matching import Pair
from datagen.metrics.summary import Statistic
from datagen.scene import Object, Scene

BINS = 15
"""Bins of the expected calibration error, each of about as many cases (equal mass: Nixon et al. 2019)."""
LEVEL = 0.9
"""The share of true numbers that intervals are to hold."""
HIDDEN = 0.5
"""An object of which a smaller share than this is visible counts as hidden."""

Bounds = tuple[float, float]


class Certainty(NamedTuple):
    """What a prediction says of its own certainty, statement by statement; None where it says nothing.

    ``words`` has the confidence of each word, by argument; ``intervals`` the interval of each component of each number, by argument.
    """

    confidence: Sequence[float] | None = None
    words: Sequence[Mapping[str, float]] | None = None
    intervals: Sequence[Mapping[str, Sequence[Bounds]]] | None = None


NOTHING_SAID = Certainty()


class Judged(NamedTuple):
    """A confidence, and whether what was said with it is right."""

    confidence: float
    right: bool


class Held(NamedTuple):
    """An interval: the component that it is of (``loc.x``), whether it holds the true number, its width, and if the object is hidden."""

    component: str
    inside: bool
    width: float
    hidden: bool


@dataclass(frozen=True)
class SceneCertainty:
    """What one prediction says of its certainty, judged: its objects, its words by argument, the intervals of its numbers."""

    objects: tuple[Judged, ...]
    words: Mapping[str, tuple[Judged, ...]]
    numbers: tuple[Held, ...]


NOTHING_JUDGED = SceneCertainty((), {}, ())


def right_within(domain: Domain) -> float:
    """The distance, in the domain's unit, below which an object is in its right place: the second narrowest of its thresholds of average
    precision; infinite where it has none."""
    return (*domain.ap_thresholds[-2:], math.inf)[0]


def judge(
    truth: Scene, guess: Scene, pairs: Sequence[Pair], said: Certainty, domain: Domain, *, hidden: Collection[int] = ()
) -> SceneCertainty:
    """The certainty of a guess, whose objects are matched to true ones by ``pairs``; ``hidden`` has the indices of true objects."""
    right = right_objects(truth, guess, pairs, domain)
    words: dict[str, list[Judged]] = {}
    numbers: list[Held] = []
    for pair in pairs:
        true, guessed = truth.objects[pair.truth], guess.objects[pair.guess]
        if said.words is not None:
            for name, confidence in said.words[pair.guess].items():
                if name in true.values and name in guessed.values:
                    words.setdefault(name, []).append(Judged(confidence, true[name] == guessed[name]))
        if said.intervals is not None and true.statement == guessed.statement:
            numbers += _held(true, guessed, said.intervals[pair.guess], domain, pair.truth in hidden)
    objects = () if said.confidence is None else tuple(map(Judged, said.confidence, right))
    return SceneCertainty(objects, {name: tuple(found) for name, found in words.items()}, tuple(numbers))


def right_objects(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> list[bool]:
    """For each guessed object, whether it is right."""
    within, right = right_within(domain), [False] * len(guess)
    for pair in pairs:
        one, other = truth.objects[pair.truth], guess.objects[pair.guess]
        same = one.statement == other.statement
        same = same and all(one[choice.name] == other[choice.name] for choice in domain.statement(one.statement).choices)
        right[pair.guess] = same and pair.distance < within
    return right


def component_names(number: Number) -> list[str]:
    """The names of a number's components: ``loc.x``, or the argument's own where there is one alone."""
    if number.components == 1:
        return [number.name]
    return [f"{number.name}.{'xyz'[i] if number.components <= 3 else i + 1}" for i in range(number.components)]


def told_numbers(obj: Object, domain: Domain) -> list[Number]:
    """The numbers of an object that its image tells: those that are not the same whatever is written, as a sphere's rotation."""
    found = []
    for number in domain.statement(obj.statement).numbers:
        values = number.as_tuple(obj[number.name])
        moved = number.as_value([value + 0.37 * (high - low) for value, low, high in zip(values, number.low, number.high, strict=True)])
        if domain.canonical_object(obj.replaced(**{number.name: moved}))[number.name] != obj[number.name]:
            found.append(number)
    return found


def off_centre(value: float, centre: float, period: float | None) -> float:
    """How far a value is above a centre, by the shorter way where it has a period."""
    off = value - centre
    return off if period is None else (off + period / 2) % period - period / 2


def _held(true: Object, guessed: Object, intervals: Mapping[str, Sequence[Bounds]], domain: Domain, hidden: bool) -> Iterator[Held]:
    told = {number.name for number in told_numbers(true, domain)}
    for number in told_numbers(guessed, domain):
        if number.name not in told or number.name not in intervals:
            continue
        values = number.as_tuple(true[number.name])
        for name, value, (low, high) in zip(component_names(number), values, intervals[number.name], strict=True):
            middle = (low + high) / 2
            yield Held(name, abs(off_centre(value, middle, number.period)) <= (high - low) / 2, high - low, hidden)


class Bin(NamedTuple):
    """A bin of a reliability plot: the number of cases, their mean confidence, and the share that is right."""

    cases: int
    confidence: float
    right: float


def reliability(judged: Sequence[Judged], bins: int = BINS) -> list[Bin]:
    """Bins of about as many cases each, by rising confidence."""
    parts = np.array_split(np.array(sorted(judged), float).reshape(-1, 2), bins)
    return [Bin(len(part), float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts if len(part)]


def calibration_error(judged: Sequence[Judged]) -> float | None:
    """The expected calibration error (Naeini et al. 2015), a share: the mean over cases of how far their bin's share of right ones is from
    its mean confidence; None without a case."""
    bins = reliability(judged)
    return sum(b.cases * abs(b.confidence - b.right) for b in bins) / len(judged) if bins else None


def _error_statistic(of_scenes: Sequence[Sequence[Judged]]) -> Statistic:
    """`calibration_error` of resampled scenes, in the bins of all scenes."""
    cases = [(one.confidence, one.right, scene) for scene, found in enumerate(of_scenes) for one in found]
    excess = np.zeros((len(of_scenes), BINS))
    for place, part in enumerate(np.array_split(np.array(sorted(cases), float).reshape(-1, 3), BINS)):
        np.add.at(excess[:, place], part[:, 2].astype(int), part[:, 0] - part[:, 1])
    number = np.array([len(found) for found in of_scenes], float)

    def statistic(counts: np.ndarray) -> np.ndarray:
        total = counts @ number
        return np.divide(np.abs(counts @ excess).sum(1), total, out=np.full(len(counts), np.nan), where=total > 0)

    return statistic


def _share_statistic(parts: Sequence[float], wholes: Sequence[float]) -> Statistic:
    def statistic(counts: np.ndarray) -> np.ndarray:
        whole = counts @ np.array(wholes, float)
        return np.divide(counts @ np.array(parts, float), whole, out=np.full(len(counts), np.nan), where=whole > 0)

    return statistic


def summarize_certainty(scores: Sequence[SceneCertainty]) -> dict[str, Any] | None:
    """The figures of many scenes as plain JSON, with their 95 % bootstrap intervals under ``ends``; None if no confidence was stated.

    ``calibration_error`` is by ``object`` and by argument of words; ``inside`` (the share of true numbers that their intervals hold) and
    ``width`` (the mean width, in the number's unit) are by component, and once more for hidden objects; ``numbers`` counts them.
    """
    judged = {"object": [one.objects for one in scores]}
    for name in dict.fromkeys(name for one in scores for name in one.words):
        judged[name] = [one.words.get(name, ()) for one in scores]
    errors = {name: calibration_error([case for found in of for case in found]) for name, of in judged.items()}
    if errors["object"] is None:
        return None
    statistics = {("calibration_error", name): _error_statistic(of) for name, of in judged.items()}
    found: dict[str, Any] = {"calibration_error": errors, "mean_confidence": {}, "right": {}, "numbers": {}, "numbers_hidden": {}}
    for name, of in judged.items():
        flat = np.array([case for one in of for case in one], float).reshape(-1, 2)
        found["mean_confidence"][name], found["right"][name] = map(float, flat.mean(0))
    for suffix, wanted in (("", (True, False)), ("_hidden", (True,))):
        inside, width = found.setdefault(f"inside{suffix}", {}), found.setdefault(f"width{suffix}", {})
        for component in dict.fromkeys(held.component for one in scores for held in one.numbers):
            of_scenes = [[held for held in one.numbers if held.component == component and held.hidden in wanted] for one in scores]
            count = sum(map(len, of_scenes))
            found[f"numbers{suffix}"][component] = count
            for table, name, value in ((inside, "inside", _is_inside), (width, "width", _width)):
                parts, wholes = [sum(map(value, of)) for of in of_scenes], [len(of) for of in of_scenes]
                table[component] = sum(parts) / count if count else None
                statistics[f"{name}{suffix}", component] = _share_statistic(parts, wholes)
    ends: dict[str, dict[str, Interval]] = {}
    for (table, name), interval in bootstrap(statistics, len(scores)).items():
        ends.setdefault(table, {})[name] = interval
    return {"bins": BINS, "level": LEVEL, **found, "ends": ends}


def _is_inside(held: Held) -> float:
    return float(held.inside)


def _width(held: Held) -> float:
    return held.width

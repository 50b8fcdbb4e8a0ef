"""How well one scene describes another.

Everything is read from the domain's declaration: the choices of its statements, `Domain.groups`, `Domain.location` and its `unit`,
`Domain.rotation_error`, `Domain.directions` and `Domain.ap_thresholds`. Where a domain has no words, no rotations or no directions,
there is nothing to count. Objects are matched on location alone (`datagen.metrics.matching`). Only average precision pairs objects
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.domains.base import Domain
from datagen.metrics.matching import Pair, distances, locations, match
from datagen.scene import Object, Scene


@dataclass(frozen=True)
class Tally:
    """How often something was right: over matched pairs, and over all true objects, where the unmatched are wrong."""

    right: int
    matched: int
    all: int


@dataclass(frozen=True)
class SceneScores:
    """One scene's counts and errors, from which `datagen.metrics.summary` forms the metrics of many.

    ``too_near`` counts the pairs of guesses that are nearer than `Domain.spacing` lets any be, None where it lets them be anywhere;
    ``rotation_errors`` in degrees, and how many of them are below each of the domain's thresholds; ``size_errors`` by argument, absolute,
    in its unit, one a matched pair; ``relations`` are counted over ordered pairs of matched objects and the domain's directions;
    ``average_precision`` in [0, 1] by threshold in the domain's unit.
    """

    truths: int
    guesses: int
    too_near: int | None
    count_right: bool
    pairs: tuple[Pair, ...]
    choices: Mapping[str, Tally]
    rotation_errors: tuple[float, ...]
    rotations_within: Mapping[float, int]
    size_errors: Mapping[str, tuple[float, ...]]
    relations_right: int
    relations: int
    average_precision: Mapping[float, float]


def score_scene(truth: Scene, guess: Scene | None, domain: Domain, confidence: Sequence[float] | None = None) -> SceneScores:
    """Score a guess, given in the order of its `confidence` (one number an object; None: all alike).

    A guess of None says that there is none, or none that parses: every true object is missed, the count is wrong and average
    precision is 0, even where the true scene is empty.
    """
    answer = guess if guess is not None else Scene(truth.domain, ())
    pairs = match(truth, answer, domain)
    rotations = rotation_errors(truth, answer, pairs, domain)
    right, relations = count_relations(truth, answer, pairs, domain)
    return SceneScores(
        truths=len(truth),
        guesses=len(answer),
        too_near=None if domain.spacing is None else domain.spacing.too_near(answer),
        count_right=guess is not None and len(truth) == len(guess),
        pairs=pairs,
        choices=count_choices(truth, answer, pairs, domain),
        rotation_errors=rotations,
        rotations_within={t: sum(error < t for error in rotations) for t in domain.rotation_thresholds},
        size_errors={name: size_errors(truth, answer, pairs, name) for name in domain.sizes},
        relations_right=right,
        relations=relations,
        average_precision={t: average_precision(truth, guess, domain, t, confidence) for t in domain.ap_thresholds},
    )


def count_choices(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> dict[str, Tally]:
    """For every choice argument, how many matched objects have the true word; for the domain's groups, how many one of the true group.

    Over matched pairs as IG-LLM reports it (Kulits et al. 2024); over all true objects a missed one counts as wrong.
    """
    words: dict[str, tuple[str, Mapping[str, str] | None]] = {
        name: (name, None) for name in dict.fromkeys(c.name for s in domain.statements for c in s.choices)
    }
    groups = {name: (group.argument, group.of) for name, group in domain.groups.items()}
    tallies = {}
    for name, (argument, of) in {**words, **groups}.items():
        true, guessed = ([_word(obj, argument, of) for obj in scene.objects] for scene in (truth, guess))
        matched = [p for p in pairs if true[p.truth] is not None]
        right = sum(true[p.truth] == guessed[p.guess] for p in matched)
        tallies[name] = Tally(right, len(matched), len(true) - true.count(None))
    return tallies


def _word(obj: Object, argument: str, of: Mapping[str, str] | None) -> str | None:
    """An object's word for an argument, or the group that it is in; None where it has none."""
    word = obj.values.get(argument)
    if word is None:
        return None
    return str(word) if of is None else of[str(word)]


def rotation_errors(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> tuple[float, ...]:
    """The geodesic angle in degrees modulo the true shape's symmetry, of every matched pair that has one.

    Pairs of different statements are left out, and so are pairs in which the rotation of either object cannot be seen. In CLEVR's domain
    only cubes that were guessed as cubes remain: a wrong shape is counted by the accuracy of shapes.
    """
    errors = []
    for pair in pairs:
        one, other = truth.objects[pair.truth], guess.objects[pair.guess]
        if one.statement != other.statement or domain.rotation_error(other, other) is None:
            continue
        error = domain.rotation_error(one, other)
        if error is not None:
            errors.append(error)
    return tuple(errors)


def size_errors(truth: Scene, guess: Scene, pairs: Sequence[Pair], name: str) -> tuple[float, ...]:
    """The absolute error of a number with one component, for every matched pair in which both objects have it."""
    both = ((truth.objects[p.truth].values.get(name), guess.objects[p.guess].values.get(name)) for p in pairs)
    return tuple(abs(one - other) for one, other in both if isinstance(one, float) and isinstance(other, float))


def count_relations(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> tuple[int, int]:
    """How many relations between matched objects agree, and how many there are.

    One object stands in a relation to another when the step from the other has a positive component along the direction
    (CLEVR's `compute_all_relationships`, Johnson et al. 2017, without its margin of 0.2).
    """
    if not domain.directions:
        return 0, 0
    axes = np.array(list(domain.directions.values()))
    true = _relations(locations(truth, domain)[[p.truth for p in pairs]], axes)
    guessed = _relations(locations(guess, domain)[[p.guess for p in pairs]], axes)
    others = ~np.eye(len(pairs), dtype=bool)
    agree = (true == guessed)[others]
    return int(agree.sum()), int(agree.size)


def _relations(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(N, N, directions) bool: whether the first point lies in that direction from the second."""
    return (points[:, None] - points[None]) @ axes.T > 0


def average_precision(
    truth: Scene, guess: Scene | None, domain: Domain, threshold: float, confidence: Sequence[float] | None = None
) -> float:
    """Average precision of one scene at a distance in the domain's unit: in [0, 1].

    Guesses are taken by falling `confidence` (equal ones in the order given). Each takes the nearest unused true object with the
    same statement and the same words for all choices, and is right if that is nearer than `threshold`; only then is it used.
    The result is the area under the precision-recall curve with precision made monotone from the right, as in Deep Set
    Prediction Networks (Zhang et al. 2019) and Slot Attention (Locatello et al. 2020). Those pool the guesses of all scenes into
    one ranking, and look for the nearest object among the used ones as well; here each scene has its own ranking, so that no
    scene's score depends on which others are evaluated with it.

    Two empty scenes agree: 1. An empty true scene with guesses, an empty guess for a scene with objects, or no guess: 0.
    """
    if guess is None:
        return 0.0
    if not truth.objects or not guess.objects:
        return float(len(truth) == len(guess))
    weights = [0.0] * len(guess) if confidence is None else confidence
    ranking = [j for _, j in sorted(zip(weights, range(len(guess)), strict=True), key=lambda item: -item[0])]
    apart = np.where(_same_words(truth, guess, domain), distances(truth, guess, domain), np.inf)
    hits = []
    for j in ranking:
        nearest = int(apart[:, j].argmin())
        hits.append(bool(apart[nearest, j] < threshold))
        if hits[-1]:
            apart[nearest] = np.inf  # the true object is used
    return _area(hits, len(truth))


def _same_words(truth: Scene, guess: Scene, domain: Domain) -> np.ndarray:
    """Whether a true and a guessed object have the same statement and the same words for all choices: (truths, guesses) bool."""
    numbers: dict[tuple[Any, ...], int] = {}

    def numbered(scene: Scene) -> np.ndarray:
        words_of_objects = ((o.statement, *(o[c.name] for c in domain.statement(o.statement).choices)) for o in scene.objects)
        return np.array([numbers.setdefault(words, len(numbers)) for words in words_of_objects])

    return np.equal.outer(numbered(truth), numbered(guess))


def _area(hits: Sequence[bool], truths: int) -> float:
    """The area under the interpolated precision-recall curve of a ranking: each hit adds 1 / truths of recall."""
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[np.asarray(hits)].sum() / truths)

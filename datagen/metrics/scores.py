"""The scores of one predicted scene against the true one.

What is scored follows from the domain's declaration: the choices of its statements, `Domain.groups`, `Domain.location` and its `unit`,
`Domain.rotation_error`, `Domain.directions`, `Domain.spacing`, `Domain.sizes` and the thresholds. Scores of words, rotations or relations
that a domain does not have are empty. Objects are matched by location alone (`datagen.metrics.matching`), except in average precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.domains.base import Domain
from datagen.metrics.matching import Pair, distances, locations, match
from datagen.metrics.shots import ShotScores, score_shot
from datagen.scene import Object, Scene, Shot


@dataclass(frozen=True)
class Tally:
    """The number of right words (or groups), of matched objects and of all true objects; unmatched objects count as wrong among all."""

    right: int
    matched: int
    all: int


@dataclass(frozen=True)
class SceneScores:
    """One scene's counts and errors, from which `datagen.metrics.summary` computes the metrics of many.

    ``too_near`` counts the pairs of guesses nearer than `Domain.spacing` permits, None if the domain has no spacing; ``rotation_errors``
    are in degrees, and ``rotations_within`` counts those below each of the domain's thresholds; ``size_errors`` are absolute, by argument,
    in its unit, one a matched pair; ``relations`` is the number of ordered pairs of matched objects times the domain's directions;
    ``average_precision`` is in [0, 1], by threshold in the domain's unit, and so is ``ranked``: the confidence of every guess, and whether
    it is right at that threshold, the most confident first. ``shot`` has what is stated of camera and lamps, None if nothing is.
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
    ranked: Mapping[float, tuple[tuple[float, bool], ...]]
    shot: ShotScores | None = None


def score_scene(
    truth: Scene, guess: Scene | None, domain: Domain, confidence: Sequence[float] | None = None, shot: Shot | None = None
) -> SceneScores:
    """The scores of a guess. `confidence` has one number for each guessed object, in the guess's order; None: all equal. `shot` is the true
    scene's where it is recorded, for a guess that states its camera or lamps while the true code does not.

    `guess` is None if there is no prediction or it does not parse: every true object is missed, the count is wrong and average precision
    is 0, even if the true scene is empty.
    """
    answer = guess if guess is not None else Scene(truth.domain, ())
    pairs = match(truth, answer, domain)
    ranked = {t: rank(truth, answer, domain, t, confidence) for t in domain.ap_thresholds}
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
        average_precision={t: average_precision(len(truth), hits) if guess is not None else 0.0 for t, hits in ranked.items()},
        ranked=ranked,
        shot=score_shot(truth, guess, shot),
    )


def count_choices(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> dict[str, Tally]:
    """By choice argument, how many matched objects have the true word; by name of `Domain.groups`, how many have a word of the true group.

    IG-LLM reports the share of matched pairs (Kulits et al. 2024); in the share of all true objects, a missed object counts as wrong.
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
    """An object's word for an argument, or with `of` the word's group; None if the object does not have the argument."""
    word = obj.values.get(argument)
    if word is None:
        return None
    return str(word) if of is None else of[str(word)]


def rotation_errors(truth: Scene, guess: Scene, pairs: Sequence[Pair], domain: Domain) -> tuple[float, ...]:
    """The rotation error (`Domain.rotation_error`) in degrees of every matched pair that has one.

    Pairs of different statements are left out, and so are pairs in which the rotation of either object cannot be seen. In the domain clevr
    only cubes that were guessed as cubes remain: a wrong shape lowers the accuracy of shapes instead.
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

    One object is in a relation to another if the vector from the other to it has a positive component along the relation's direction
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
    """(N, N, directions) bool: whether the first point lies in each direction from the second."""
    return (points[:, None] - points[None]) @ axes.T > 0


def rank(
    truth: Scene, guess: Scene, domain: Domain, threshold: float, confidence: Sequence[float] | None = None
) -> tuple[tuple[float, bool], ...]:
    """The confidence of each guess, and whether it is right at a distance in the domain's unit, by decreasing `confidence` (0 without
    one), equal ones in the given order.

    Each is compared with the nearest unused true object that has the same statement and the same words for all choices; if that is nearer
    than `threshold`, the guess is right and the object used.
    """
    weights = [0.0] * len(guess) if confidence is None else confidence
    order = [j for _, j in sorted(zip(weights, range(len(guess)), strict=True), key=lambda item: -item[0])]
    if not truth.objects or not order:
        return tuple((weights[j], False) for j in order)
    apart = np.where(_same_words(truth, guess, domain), distances(truth, guess, domain), np.inf)
    ranked = []
    for j in order:
        nearest = int(apart[:, j].argmin())
        ranked.append((weights[j], bool(apart[nearest, j] < threshold)))
        if ranked[-1][1]:
            apart[nearest] = np.inf  # the true object is used
    return tuple(ranked)


def average_precision(truths: int, ranked: Sequence[tuple[float, bool]]) -> float:
    """Average precision, in [0, 1], of guesses as `rank` gives them, where there are so many true objects.

    It is the area under the precision-recall curve with precision made monotone from the right, as in Deep Set Prediction Networks (Zhang
    et al. 2019) and Slot Attention (Locatello et al. 2020): each right guess adds 1 / truths of recall. Of one scene, it does not depend on
    other scenes; `datagen.metrics.summary` has the mean over scenes and, as Slot Attention's code computes it, that of the guesses of all
    scenes in one ranking. The result is 1 if there are neither true objects nor guesses, and 0 if only one of both.
    """
    if not truths or not ranked:
        return float(not truths and not ranked)
    hits = np.array([hit for _, hit in ranked])
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / truths)


def _same_words(truth: Scene, guess: Scene, domain: Domain) -> np.ndarray:
    """Whether a true and a guessed object have the same statement and the same words for all choices: (truths, guesses) bool."""
    numbers: dict[tuple[Any, ...], int] = {}

    def numbered(scene: Scene) -> np.ndarray:
        words_of_objects = ((o.statement, *(o[c.name] for c in domain.statement(o.statement).choices)) for o in scene.objects)
        return np.array([numbers.setdefault(words, len(numbers)) for words in words_of_objects])

    return np.equal.outer(numbered(truth), numbered(guess))

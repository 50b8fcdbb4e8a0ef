"""Matching: least total distance, one to one, whatever the order and the attributes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from datagen.domains.registry import get_domain
from datagen.metrics.matching import match
from datagen.scene import Object, Scene

DOMAIN = get_domain("clevr")


def scene(*places: tuple[float, float], **words: str) -> Scene:
    values = {"shape": "sphere", "size": "small", "material": "metal", "color": "red", "rotation": 0.0, **words}
    return Scene("clevr", tuple(Object("add", {**values, "loc": (x, y, 0.35)}) for x, y in places))


def test_nearest_objects_are_paired_whatever_they_are() -> None:
    pairs = match(scene((0, 0), (2, 0)), scene((2, 0.5), (0, 0), color="blue"), DOMAIN)
    assert [(p.truth, p.guess) for p in pairs] == [(0, 1), (1, 0)]
    assert [p.distance for p in pairs] == pytest.approx([0.0, 0.5])


def test_the_sum_of_distances_is_least_not_each_distance() -> None:
    # Matched in order, the first object would take the guess 0.6 away, and leave the second one the guess 3 away.
    pairs = match(scene((0, 0), (1, 0)), scene((0.6, 0), (-2, 0)), DOMAIN)
    assert [(p.truth, p.guess) for p in pairs] == [(0, 1), (1, 0)]


@pytest.mark.parametrize(("truths", "guesses"), [(0, 0), (0, 3), (3, 0), (2, 4), (4, 2)])
def test_as_many_pairs_as_the_smaller_scene_has_objects(truths: int, guesses: int) -> None:
    pairs = match(scene(*[(i, 0) for i in range(truths)]), scene(*[(i, 1) for i in range(guesses)]), DOMAIN)
    assert len(pairs) == min(truths, guesses)
    assert len({p.truth for p in pairs}) == len({p.guess for p in pairs}) == len(pairs)


def test_no_permutation_is_better() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.uniform(-3, 3, (2, 5, 2))
        best = min(sum(np.linalg.norm(one[i] - other[j]) for i, j in enumerate(order)) for order in permutations(range(5)))
        pairs = match(scene(*one.tolist()), scene(*other.tolist()), DOMAIN)
        assert sum(p.distance for p in pairs) == pytest.approx(best)

"""Matching the objects of two scenes: the Hungarian method on the distances between their locations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from datagen.domains.base import Domain
from datagen.scene import Scene


@dataclass(frozen=True)
class Pair:
    """Two matched objects by their index in their scenes, and the distance between their locations in the domain's unit."""

    truth: int
    guess: int
    distance: float


def distances(truth: Scene, guess: Scene, domain: Domain) -> np.ndarray:
    """The Euclidean distances between all true and guessed locations, in the domain's unit: (true objects, guessed objects)."""
    return np.asarray(cdist(locations(truth, domain), locations(guess, domain)))


def locations(scene: Scene, domain: Domain) -> np.ndarray:
    """The objects' locations (N, 3) in the domain's unit, world frame."""
    return np.array([domain.location(o) for o in scene.objects], float).reshape(-1, 3)


def match(truth: Scene, guess: Scene, domain: Domain) -> tuple[Pair, ...]:
    """The one-to-one matching with the least sum of distances, in the order of the true objects.

    As many pairs as the smaller scene has objects; attributes play no part, and no distance is too far.
    """
    apart = distances(truth, guess, domain)
    rows, columns = linear_sum_assignment(apart)
    return tuple(Pair(int(i), int(j), float(apart[i, j])) for i, j in zip(rows, columns, strict=True))

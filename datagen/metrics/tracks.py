"""Objects followed through a sequence of scenes: which of one scene is which of the next."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from datagen.domains.base import Domain
from datagen.scene import Object, Scene


def tracks(scenes: Sequence[Scene], domain: Domain) -> list[list[int]]:
    """For each scene, the number of each of its objects' track, in the order of its objects; numbers begin at 0, in order of appearance.

    Each scene's objects are matched to the tracks there are by the Hungarian method, on the distances to where a track was seen last, among
    objects with the same words: what vanishes and comes back is the same. Objects without a match begin tracks of their own.
    """
    found: list[list[int]] = []
    last: list[Object] = []
    for scene in scenes:
        numbers = [-1] * len(scene)
        for words in dict.fromkeys(words_of(obj, domain) for obj in scene):
            mine = [number for number, obj in enumerate(scene) if words_of(obj, domain) == words]
            theirs = [number for number, obj in enumerate(last) if words_of(obj, domain) == words]
            if theirs:
                apart = cdist(_places([scene.objects[number] for number in mine], domain), _places([last[n] for n in theirs], domain))
                for row, column in zip(*linear_sum_assignment(apart), strict=True):
                    numbers[mine[row]] = theirs[column]
        for number, obj in enumerate(scene):
            if numbers[number] < 0:
                numbers[number] = len(last)
                last.append(obj)
            last[numbers[number]] = obj
        found.append(numbers)
    return found


def words_of(obj: Object, domain: Domain) -> Hashable:
    """The name of an object's statement, and its words."""
    return obj.statement, tuple(obj[choice.name] for choice in domain.statement(obj.statement).choices)


def _places(objects: Sequence[Object], domain: Domain) -> np.ndarray:
    return np.array([domain.location(obj) for obj in objects], float).reshape(-1, 3)

"""Augmentation: mirror a sample (where the mirrored scene is one of the domain), jitter its image, reorder its objects."""

from __future__ import annotations

import numpy as np

from datagen.domains.dialects import Dialect
from datagen.scene import Scene
from model.data.frames import jitter


def augmented(scene: Scene, fitted: np.ndarray, written: Dialect, rng: np.random.Generator) -> tuple[Scene, np.ndarray, bool]:
    """A scene of a dialect, its objects in their order, and its fitted image (height, width, 3), jittered; both mirrored with chance 1/2,
    if possible. The third value is whether they are mirrored."""
    flipped = written.mirrored(scene) if rng.random() < 0.5 else None
    if flipped is not None:
        fitted = fitted[:, ::-1]
    return flipped or scene, jitter(fitted, rng), flipped is not None


def ordered(scene: Scene, written: Dialect, rng: np.random.Generator | None, noise: float) -> tuple[Scene, list[int]]:
    """A scene of a dialect with its objects sorted by `Dialect.order`, and the indices that they had.

    With ``rng``, normal noise of standard deviation ``noise`` is added to the first sort key: objects whose order is hardly visible thus
    come in either order.
    """
    keys = [written.order(obj) for obj in scene.objects]
    if rng is not None and noise:
        keys = [(first + noise * rng.standard_normal(), *rest) for first, *rest in keys]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return scene.with_objects(scene.objects[i] for i in order), order

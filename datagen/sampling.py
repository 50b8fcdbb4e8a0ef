"""Samples drawn from (seed, index) and nothing else: scene, shot and labels, before any pixel is rendered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datagen.domain import Domain, SceneLimits
from datagen.errors import UserError
from datagen.labels import View, cast, min_visible_pixels
from datagen.scene import Scene, Shot

MAX_ATTEMPTS = 1000
MAX_SEED = 2**32  # SeedSequence splits larger numbers into words, where neighbouring streams could meet


@dataclass(frozen=True)
class Drawn:
    """A scene that was accepted on its ``attempt``-th try (from 0), the shot to take of it, and what the camera will see."""

    scene: Scene
    shot: Shot
    view: View
    attempt: int


def draw(domain: Domain, limits: SceneLimits, template: Shot, seed: int, index: int) -> Drawn:
    """Draw the sample (seed, index): the first try whose every object shows enough pixels.

    The number of objects is drawn once, so that refused tries do not thin out the crowded scenes. Raises `UserError` after
    `MAX_ATTEMPTS` tries.
    """
    least = min_visible_pixels(template.width, template.height)
    count = int(_stream(seed, index, 0).integers(limits.min_objects, limits.max_objects, endpoint=True))
    for attempt in range(MAX_ATTEMPTS):
        rng = _stream(seed, index, attempt + 1)
        scene = domain.sample_scene(rng, count, limits.split)
        if scene is None:
            continue
        shot = domain.sample_shot(rng, template)
        view = cast(scene, domain, shot.camera, shot.width, shot.height)
        if (view.visible_pixels(count) >= least).all():
            return Drawn(scene, shot, view, attempt)
    raise UserError(
        f"seed {seed}, index {index}: no scene of {count} objects that can all be seen in {MAX_ATTEMPTS} tries; ask for fewer objects"
    )


def _stream(seed: int, index: int, attempt: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, index, attempt)))

"""Samples varied in training: mirrored where the mirrored scene is one of the domain, and jittered."""

from __future__ import annotations

import numpy as np

from datagen.domain import Domain
from datagen.scene import Object, Scene
from model.images import jitter


def varied(scene: Scene, fitted: np.ndarray, domain: Domain, rng: np.random.Generator) -> tuple[tuple[Object, ...], np.ndarray, bool]:
    """A scene's objects, in their order, and its fitted image (height, width, 3), mirrored by half and jittered; and whether mirrored."""
    objects = mirrored_objects(scene, domain) if rng.random() < 0.5 else None
    if objects is not None:
        fitted = fitted[:, ::-1]
    return objects or scene.objects, jitter(fitted, rng), objects is not None


def mirrored_objects(scene: Scene, domain: Domain) -> tuple[Object, ...] | None:
    """Each object as the scene's mirror image shows it, in the scene's order; None if the mirrored scene is none of the domain."""
    scenes = [domain.mirrored(Scene(scene.domain, (obj,))) for obj in scene.objects]
    objects = tuple(obj for alone in scenes if alone is not None for obj in alone.objects)
    return None if len(objects) < len(scene) or domain.violations(Scene(scene.domain, objects)) else objects

"""Augmentation: mirror a sample (where the mirrored scene is one of the domain), jitter its image, reorder its objects."""

from __future__ import annotations

import numpy as np

from datagen.domains.base import Domain
from datagen.scene import Object, Scene
from model.data.frames import jitter


def augmented(scene: Scene, fitted: np.ndarray, domain: Domain, rng: np.random.Generator) -> tuple[tuple[Object, ...], np.ndarray, bool]:
    """A scene's objects, in their order, and its fitted image (height, width, 3), jittered; both mirrored with chance 1/2, if possible.

    The third value is whether they are mirrored.
    """
    objects = mirrored_objects(scene, domain) if rng.random() < 0.5 else None
    if objects is not None:
        fitted = fitted[:, ::-1]
    return objects or scene.objects, jitter(fitted, rng), objects is not None


def mirrored_objects(scene: Scene, domain: Domain) -> tuple[Object, ...] | None:
    """The objects of the mirrored scene, in the scene's order; None if the domain has no such scene."""
    scenes = [domain.mirrored(Scene(scene.domain, (obj,))) for obj in scene.objects]
    objects = tuple(obj for alone in scenes if alone is not None for obj in alone.objects)
    return None if len(objects) < len(scene) or domain.violations(Scene(scene.domain, objects)) else objects


def reordered(scene: Scene, domain: Domain, rng: np.random.Generator, noise: float) -> Scene:
    """A scene with its objects sorted by `Domain.order`, with normal noise of standard deviation ``noise`` added to the first sort key.

    Objects whose order is hardly visible thus come in either order.
    """
    keys = [domain.order(obj) for obj in scene.objects]
    moved = [(first + noise * rng.standard_normal(), *rest) for first, *rest in keys]
    return scene.with_objects(scene.objects[i] for i in sorted(range(len(moved)), key=moved.__getitem__))

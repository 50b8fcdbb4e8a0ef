"""A scene drawn over an image: the outlines of its objects, as the domain sees them in that shot."""

from __future__ import annotations

import numpy as np

from datagen.domain import Domain
from datagen.labels import look
from datagen.scene import Scene, Shot

SIDE = 192  # pixels: smaller images are enlarged by a whole factor to at least so many each way
INK = (255, 0, 160)


def overlay(image: np.ndarray, scene: Scene, shot: Shot, domain: Domain) -> np.ndarray:
    """The image (height, width, 3) uint8, enlarged if it is small, with the outlines of a scene's objects. The scene need not be the
    image's: a predicted one shows how well it fits."""
    factor = max(1, -(-SIDE // min(image.shape[:2])))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    owner = look(scene, domain, shot).owner.repeat(factor, axis=0).repeat(factor, axis=1)
    edge = np.zeros(owner.shape, bool)
    edge[1:] |= owner[1:] != owner[:-1]
    edge[:-1] |= owner[1:] != owner[:-1]
    edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    edge[:, :-1] |= owner[:, 1:] != owner[:, :-1]
    large[edge] = INK
    return large

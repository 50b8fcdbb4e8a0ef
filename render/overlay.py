"""A scene drawn over an image: the outlines of its objects by the domain's exact labels and, where objects have poses, their axes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from datagen.domains.base import Domain
from datagen.domains.posed import PosedDomain
from datagen.geometry.camera import project
from datagen.samples.labels import view_of
from datagen.scene import Object, Scene, Shot

SIDE = 192  # pixels: smaller images are enlarged by a whole factor to at least this height and width
INK = (255, 0, 160)
AXES = ((230, 30, 30), (20, 150, 40), (30, 70, 240))
"""Red, green and blue: an object's own x, y and z."""


def overlay(image: np.ndarray, scene: Scene, shot: Shot, domain: Domain) -> np.ndarray:
    """The image (height, width, 3) uint8, enlarged if it is small, with the outlines of a scene's objects and, where the domain has poses,
    their axes, as long as the object's radius. The scene need not be the image's own: a predicted scene drawn over it shows the errors."""
    factor = max(1, -(-SIDE // min(image.shape[:2])))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    owner = view_of(scene, domain, shot).owner.repeat(factor, axis=0).repeat(factor, axis=1)
    edge = np.zeros(owner.shape, bool)
    edge[1:] |= owner[1:] != owner[:-1]
    edge[:-1] |= owner[1:] != owner[:-1]
    edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    edge[:, :-1] |= owner[:, 1:] != owner[:, :-1]
    large[edge] = INK
    if not isinstance(domain, PosedDomain):
        return large
    canvas = Image.fromarray(large)
    for obj in scene.objects:
        _draw_axes(ImageDraw.Draw(canvas), obj, shot, domain, factor)
    return np.array(canvas)


def _draw_axes(draw: ImageDraw.ImageDraw, obj: Object, shot: Shot, domain: PosedDomain, factor: int) -> None:
    """Draw an object's axes, the farthest end first; none of an object that reaches behind the camera."""
    origin = np.array(domain.location(obj))
    ends = origin + domain.scale(obj) * domain.rotation(obj).T
    points = project(shot.viewpoint, shot.width, shot.height, np.vstack([origin, ends]))
    if (points[:, 2] <= 0).any():
        return
    centre, *tips = (points[:, :2] * factor).tolist()
    for axis in np.argsort(-points[1:, 2]):
        draw.line([tuple(centre), tuple(tips[axis])], fill=AXES[axis], width=3)

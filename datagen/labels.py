"""Exact labels of a scene under a camera: who is seen at which pixel, how deep, in what box.

Everything is a ray cast against `datagen.solids` through the pixels' centres, so equal scenes give equal labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.camera import project, rays
from datagen.domain import Domain
from datagen.scene import Camera, Scene

NOBODY = -1
MIN_VISIBLE_PIXELS = 200  # of every object at 320x240 (CLEVR); scaled with the frame's area


def min_visible_pixels(width: int, height: int) -> float:
    """How many pixels of every object must be seen in a frame of this size."""
    return MIN_VISIBLE_PIXELS * width * height / (320 * 240)


@dataclass(frozen=True)
class View:
    """What the camera sees: ``owner`` (height, width) int16, the object's index or -1; ``depth`` (height, width) metres, inf for none."""

    owner: np.ndarray
    depth: np.ndarray

    def visible_pixels(self, count: int) -> np.ndarray:
        """How many pixels each of `count` objects owns."""
        return np.bincount(self.owner[self.owner != NOBODY], minlength=count)


def cast(scene: Scene, domain: Domain, camera: Camera, width: int, height: int) -> View:
    """Cast a ray through the centre of every pixel."""
    owner = np.full((height, width), NOBODY, np.int16)
    depth = np.full((height, width), np.inf)
    directions = rays(camera, width, height)
    for index, obj in enumerate(scene.objects):
        solid = domain.solid(obj)
        corners = project(camera, width, height, solid.corners())
        window = _window(corners, width, height)
        hit = solid.depth(camera.location, directions[window])
        nearer = hit < depth[window]
        depth[window][nearer] = hit[nearer]
        owner[window][nearer] = index
    return View(owner, depth)


def _window(corners: np.ndarray, width: int, height: int) -> tuple[slice, slice]:
    """The part of the frame that a convex solid with these projected corners can touch."""
    if (corners[:, 2] <= 0).any():
        return slice(0, height), slice(0, width)
    (left, top), (right, bottom) = np.floor(corners[:, :2].min(0)).astype(int), np.ceil(corners[:, :2].max(0)).astype(int)
    return slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))


def label_objects(scene: Scene, domain: Domain, camera: Camera, view: View) -> list[dict[str, Any]]:
    """Per object: ``pixel_coords`` [x, y, depth], ``visible_pixels``, ``bbox`` [x, y, width, height], ``mask``.

    Pixels from the top left corner, depth in metres, the mask in COCO's uncompressed run-length code.
    """
    height, width = view.owner.shape
    centres = project(camera, width, height, np.array([domain.location(o) for o in scene.objects]).reshape(-1, 3))
    labels = []
    for index, centre in enumerate(centres):
        mask = view.owner == index
        labels.append(
            {
                "pixel_coords": [round(float(v), 6) for v in centre],
                "visible_pixels": int(mask.sum()),
                "bbox": bounding_box(mask),
                "mask": encode_rle(mask),
            }
        )
    return labels


def bounding_box(mask: np.ndarray) -> list[int]:
    """[x, y, width, height] of the set pixels; all zero for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def encode_rle(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's uncompressed run-length code: run lengths down the columns, beginning with zeros."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    counts = [int(r) for r in runs]
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": [0, *counts] if flat.size and flat[0] else counts}


def decode_rle(rle: dict[str, list[int]]) -> np.ndarray:
    """The (height, width) boolean mask of `encode_rle`'s result."""
    height, width = rle["size"]
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(width, height).T

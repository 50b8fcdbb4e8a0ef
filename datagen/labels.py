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
from datagen.solids import Solid

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
        return np.bincount(self.owner.reshape(-1) + 1, minlength=count + 1)[1:]


def cast(scene: Scene, domain: Domain, camera: Camera, width: int, height: int) -> View:
    """Cast a ray through the centre of every pixel."""
    view = cast_visible(scene, domain, camera, width, height, least=0.0)
    assert view is not None
    return view


def cast_visible(scene: Scene, domain: Domain, camera: Camera, width: int, height: int, *, least: float) -> View | None:
    """As `cast`; None as soon as an object turns out to show fewer than `least` pixels."""
    owner = np.full((height, width), NOBODY, np.int16)
    depth = np.full((height, width), np.inf)
    grid = rays(camera, width, height)
    solids = [domain.solid(obj) for obj in scene.objects]
    windows = _windows(solids, camera, width, height)
    for index, (solid, window) in enumerate(zip(solids, windows, strict=True)):
        hit = solid.depth(grid.window(*window))
        nearer = hit < depth[window]
        if np.count_nonzero(nearer) < least:  # those to come can only hide more of it
            return None
        np.copyto(depth[window], hit, where=nearer)
        np.copyto(owner[window], index, where=nearer)
    shown = (np.count_nonzero(owner[window] == index) for index, window in enumerate(windows))
    return View(owner, depth) if all(count >= least for count in shown) else None


def _windows(solids: list[Solid], camera: Camera, width: int, height: int) -> list[tuple[slice, slice]]:
    """The parts of the frame that each of the solids, all convex, can touch."""
    if not solids:
        return []
    hulls = [solid.hull() for solid in solids]
    points = project(camera, width, height, np.concatenate(hulls))
    starts = np.cumsum([0, *map(len, hulls[:-1])])
    behind = np.minimum.reduceat(points[:, 2], starts) <= 0  # the camera, at least in part: the hull does not tell where it is seen
    edges = np.clip(points[:, :2], 0, (width, height))
    first = np.where(behind[:, None], (0, 0), np.floor(np.minimum.reduceat(edges, starts))).astype(int).tolist()
    last = np.where(behind[:, None], (width, height), np.ceil(np.maximum.reduceat(edges, starts))).astype(int).tolist()
    return [(slice(top, bottom), slice(left, right)) for (left, top), (right, bottom) in zip(first, last, strict=True)]


def label_objects(scene: Scene, domain: Domain, camera: Camera, view: View) -> list[dict[str, Any]]:
    """Per object: ``pixel_coords`` [x, y, depth], ``visible_pixels``, ``bbox`` [x, y, width, height], ``mask``.

    Pixels from the top left corner, depth in metres, the mask in COCO's uncompressed run-length code.
    """
    height, width = view.owner.shape
    centres = project(camera, width, height, np.array([domain.location(o) for o in scene.objects]).reshape(-1, 3))
    runs = _Runs(view.owner)
    return [
        {"pixel_coords": [round(v, 6) for v in centre], **runs.pixels_and_box(index), "mask": runs.rle(index)}
        for index, centre in enumerate(centres.tolist())
    ]


class _Runs:
    """A view's owners as runs of pixels down the columns, one column after the other: all objects' masks at once."""

    def __init__(self, owner: np.ndarray) -> None:
        self._height, self._width = owner.shape
        columns = np.ascontiguousarray(owner.T).reshape(-1)
        changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
        starts, ends = np.concatenate([[0], changes]), np.concatenate([changes, [columns.size]])
        self._of: dict[int, list[tuple[int, int]]] = {}
        for who, start, end in zip(columns[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
            self._of.setdefault(who, []).append((start, end))

    def pixels_and_box(self, index: int) -> dict[str, Any]:
        """``visible_pixels``, and ``bbox`` [x, y, width, height] of those; all zero if the object has none."""
        runs = self._of.get(index)
        if not runs:
            return {"visible_pixels": 0, "bbox": [0, 0, 0, 0]}
        left, right = runs[0][0] // self._height, (runs[-1][1] - 1) // self._height
        top = min(start % self._height for start, _ in runs)
        bottom = max((end - 1) % self._height for _, end in runs)
        if any(start // self._height != (end - 1) // self._height for start, end in runs):  # it goes on at the top of the next column
            top, bottom = 0, self._height - 1
        return {"visible_pixels": sum(end - start for start, end in runs), "bbox": [left, top, right - left + 1, bottom - top + 1]}

    def rle(self, index: int) -> dict[str, Any]:
        """COCO's uncompressed run-length code: run lengths down the columns, beginning with zeros."""
        counts: list[int] = []
        at = 0
        for start, end in self._of.get(index, ()):
            counts += (start - at, end - start)
            at = end
        rest = self._height * self._width - at
        return {"size": [self._height, self._width], "counts": [*counts, rest] if rest else counts}


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run-length code of a (height, width) boolean mask: run lengths down the columns, beginning with zeros."""
    return _Runs(np.where(mask, 0, NOBODY)).rle(0)


def decode_rle(rle: dict[str, list[int]]) -> np.ndarray:
    """The (height, width) boolean mask of `encode_rle`'s result."""
    height, width = rle["size"]
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(width, height).T

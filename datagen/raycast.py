"""What a camera sees of exact solids: a ray through the centre of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from datagen.camera import Rays, project, rays
from datagen.labels import NOBODY, View
from datagen.scene import Camera


class Solid(Protocol):
    """What can be cast: `datagen.solids.Solid` in closed form, a mesh as `datagen.assets.solid.MeshSolid`."""

    def hull(self) -> np.ndarray:
        """Points (N, 3) in the world frame whose convex hull holds the solid."""

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays first meet it: (rows, columns) in multiples of their direction; infinity where they miss."""


def cast(solids: Sequence[Solid], camera: Camera, width: int, height: int, *, least: float = 0.0) -> View | None:
    """The view of a frame in pixels; None as soon as a solid turns out to show fewer than `least` of them."""
    owner = np.full((height, width), NOBODY, np.int16)
    depth = np.full((height, width), np.inf)
    grid = rays(camera, width, height)
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


def _windows(solids: Sequence[Solid], camera: Camera, width: int, height: int) -> list[tuple[slice, slice]]:
    """The parts of the frame that each of the solids can touch."""
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

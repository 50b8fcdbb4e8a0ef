"""What a camera sees of exact solids: a ray through the centre of every pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from datagen.geometry.camera import Rays, project, rays
from datagen.geometry.view import NOBODY, View
from datagen.scene import Camera

_AT_ONCE = 2**20  # rays cast together


class Castable(Protocol):
    """The interface of solids to `cast`: `datagen.geometry.solids.Solid` in closed form, `datagen.assets.solid.MeshSolid` for meshes."""

    def hull(self) -> np.ndarray:
        """Points (N, 3) in the world frame whose convex hull holds the solid."""

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays first meet the solid: (rows, columns) in multiples of their direction; infinity where they miss."""

    def normals(self, rays: Rays) -> np.ndarray:
        """Unit normals (rows, columns, 3), in the world frame, of the surface where rays first meet the solid, to either side of it; of no
        meaning where they miss."""


def cast(solids: Sequence[Castable], camera: Camera, width: int, height: int, *, least: float = 0.0) -> View | None:
    """The view of a frame of `width` by `height` pixels; None if any solid shows fewer than `least` pixels."""
    owner = np.full((height, width), NOBODY, np.int16)
    depth = np.full((height, width), np.inf)
    grid = rays(camera, width, height)
    windows = _windows(solids, camera, width, height)
    for index, (solid, window) in enumerate(zip(solids, windows, strict=True)):
        pixels = 0
        for part in _parts(window):
            hit = solid.depth(grid.window(*part))
            nearer = hit < depth[part]
            pixels += np.count_nonzero(nearer)
            np.copyto(depth[part], hit, where=nearer)
            np.copyto(owner[part], index, where=nearer)
        if pixels < least:  # later solids can only hide more of this one
            return None
    shown = (np.count_nonzero(owner[window] == index) for index, window in enumerate(windows))
    return View(owner, depth) if all(count >= least for count in shown) else None


def pixels_to_cast(solids: Sequence[Castable], camera: Camera, width: int, height: int) -> int:
    """The number of rays that `cast` tests, summed over the solids: the pixels of each solid's window."""
    return sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in _windows(solids, camera, width, height))


def _parts(window: tuple[slice, slice]) -> Iterator[tuple[slice, slice]]:
    """Split a window of the frame into groups of rows, to bound memory: a ray takes some hundred bytes."""
    rows, columns = window
    at_once = max(1, _AT_ONCE // max(1, columns.stop - columns.start))
    for first in range(rows.start, rows.stop, at_once):
        yield slice(first, min(first + at_once, rows.stop)), columns


def _windows(solids: Sequence[Castable], camera: Camera, width: int, height: int) -> list[tuple[slice, slice]]:
    """The parts of the frame that each of the solids can touch."""
    if not solids:
        return []
    hulls = [solid.hull() for solid in solids]
    points = project(camera, width, height, np.concatenate(hulls))
    starts = np.cumsum([0, *map(len, hulls[:-1])])
    behind = np.minimum.reduceat(points[:, 2], starts) <= 0  # the camera, at least in part: the projected hull does not bound the solid
    edges = np.clip(points[:, :2], 0, (width, height))
    first = np.where(behind[:, None], (0, 0), np.floor(np.minimum.reduceat(edges, starts))).astype(int).tolist()
    last = np.where(behind[:, None], (width, height), np.ceil(np.maximum.reduceat(edges, starts))).astype(int).tolist()
    return [(slice(top, bottom), slice(left, right)) for (left, top), (right, bottom) in zip(first, last, strict=True)]

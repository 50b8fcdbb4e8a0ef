"""Solids with closed-form ray intersection. Labels (masks, boxes, visible pixels, depth) come from exact solids, never from a renderer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from datagen.geometry.camera import Rays
from datagen.scene import Vec3


def _around(radius: float, height: float, sides: int = 12) -> np.ndarray:
    """The corners (sides, 3) of a regular polygon around a circle about the Z axis, of this radius and height."""
    angles = np.arange(sides) * (2 * np.pi / sides)
    reach = radius / np.cos(np.pi / sides)
    return np.stack([reach * np.cos(angles), reach * np.sin(angles), np.full(sides, height)], axis=1)


_OCTAGON = float(np.tan(np.pi / 8))  # half a side of the octagon around a circle of radius 1
_HULLS = {
    "cube": np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float),
    "cylinder": np.concatenate([_around(1.0, -1.0), _around(1.0, 1.0)]),
    "sphere": np.concatenate([_around(r, z) for r, z in ((_OCTAGON, -1.0), (1.0, -_OCTAGON), (1.0, _OCTAGON), (_OCTAGON, 1.0))]),
}


@dataclass(frozen=True)
class Solid:
    """An upright solid: half-extents of 1 along each axis, scaled by ``scale``, turned about Z, moved to ``location``."""

    kind: Literal["sphere", "cube", "cylinder"]
    location: Vec3
    scale: float
    degrees: float = 0.0

    def hull(self) -> np.ndarray:
        """Points (N, 3) in the world frame whose convex hull holds the solid, and little else."""
        return _HULLS[self.kind] * self.scale @ _about_z(self.degrees).T + self.location

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays first meet the solid: (rows, columns) in multiples of their direction; infinity where they miss.

        Rays from outside meet the solid where they enter it, rays from inside where they leave it.
        """
        local = rays.turned(_about_z(self.degrees).T / self.scale, np.asarray(self.location, float))
        with np.errstate(divide="ignore", invalid="ignore"):
            enter, leave = _INTERVAL[self.kind](local)
            first = np.where(enter > 0, enter, leave)
            return np.where((enter <= leave) & (first > 0), first, np.inf)

    def normals(self, rays: Rays) -> np.ndarray:
        """Outward unit normals (rows, columns, 3), in the world frame, where rays first meet the solid; of no meaning where they miss."""
        local = rays.turned(_about_z(self.degrees).T / self.scale, np.asarray(self.location, float))
        met = self.depth(rays)
        points = local.origin + np.moveaxis(np.where(np.isfinite(met), met, 0.0) * local.along(_AXES), 0, -1)
        return _OUTWARD[self.kind](points) @ _about_z(self.degrees).T


@lru_cache(maxsize=1024)
def _about_z(degrees: float) -> np.ndarray:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    turn.setflags(write=False)
    return turn


Interval = tuple[np.ndarray, np.ndarray]
"""Where rays enter and leave a solid, each (rows, columns); NaN or in reverse order where they miss it."""


def _quadratic(a: np.ndarray, b: np.ndarray, c: float) -> Interval:
    """Both roots of a t² + 2 b t + c; NaN where there are none."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (root - b) / a


def _slabs(start: np.ndarray, steps: np.ndarray) -> Interval:
    """Where each of N coordinates of a ray enters and leaves [-1, 1], both (N, rows, columns)."""
    one, two = (-1.0 - start)[:, None, None] / steps, (1.0 - start)[:, None, None] / steps
    return np.minimum(one, two), np.maximum(one, two)


def _sphere(rays: Rays) -> Interval:
    return _quadratic(rays.squares(), rays.along(rays.origin[None])[0], float(rays.origin @ rays.origin) - 1.0)


def _cube(rays: Rays) -> Interval:
    near, far = _slabs(rays.origin, rays.along(_AXES))
    return near.max(0), far.min(0)


def _cylinder(rays: Rays) -> Interval:
    steps, (x, y, _) = rays.along(_AXES), rays.origin.tolist()
    side = _quadratic(steps[0] * steps[0] + steps[1] * steps[1], x * steps[0] + y * steps[1], x * x + y * y - 1.0)
    near, far = _slabs(rays.origin[2:], steps[2:])
    return np.maximum(side[0], near[0]), np.minimum(side[1], far[0])


def _out_of_sphere(points: np.ndarray) -> np.ndarray:
    """Outward unit normals of the unit sphere at points (..., 3) of it, as for the other solids below."""
    return points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-300)


def _out_of_cube(points: np.ndarray) -> np.ndarray:
    farthest = np.abs(points).argmax(-1)
    return _AXES[farthest] * np.sign(np.take_along_axis(points, farthest[..., None], -1))


def _out_of_cylinder(points: np.ndarray) -> np.ndarray:
    side = _out_of_sphere(points * (1.0, 1.0, 0.0))
    on_cap = np.abs(points[..., 2:]) >= np.hypot(points[..., :1], points[..., 1:2])
    return np.where(on_cap, np.sign(points) * (0.0, 0.0, 1.0), side)


_AXES = np.eye(3)
_INTERVAL: dict[str, Callable[[Rays], Interval]] = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder}
_OUTWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {"sphere": _out_of_sphere, "cube": _out_of_cube, "cylinder": _out_of_cylinder}

"""Solids that rays meet in closed form. Labels (masks, boxes, visible pixels, depth) come from these, never from a renderer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datagen.camera import Rays
from datagen.scene import Vec3

Start = list[float]
"""Where rays start in the solid's own frame: x, y, z."""
Steps = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The components of their directions there, each (rows, columns)."""
_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


@dataclass(frozen=True)
class Solid:
    """An upright solid: half-extents of 1 along each axis, scaled by ``scale``, turned about Z, moved to ``location``."""

    kind: Literal["sphere", "cube", "cylinder"]
    location: Vec3
    scale: float
    degrees: float = 0.0

    def corners(self) -> np.ndarray:
        """The (8, 3) corners of a box around the solid, in the world frame."""
        return _CORNERS * self.scale @ _about_z(self.degrees).T + self.location

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays enter the solid: (rows, columns) in multiples of their direction; infinity where they miss."""
        local = rays.turned(_about_z(self.degrees).T / self.scale, np.asarray(self.location, float))
        enter = _ENTER[self.kind](local.origin.tolist(), local.directions())
        return np.where(enter > 0, enter, np.inf)


def _about_z(degrees: float) -> np.ndarray:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _quadratic(a: np.ndarray, b: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t² + 2 b t + c; the empty interval (inf, -inf) where there are none."""
    under = b * b - a * c
    hit = under >= 0
    root = np.sqrt(np.where(hit, under, 0.0))
    return np.where(hit, (-b - root) / a, np.inf), np.where(hit, (-b + root) / a, -np.inf)


def _sphere(start: Start, steps: Steps) -> np.ndarray:
    x, y, z = steps
    along = x * start[0] + y * start[1] + z * start[2]
    return _quadratic(x * x + y * y + z * z, along, start[0] ** 2 + start[1] ** 2 + start[2] ** 2 - 1.0)[0]


def _slab(start: float, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave |coordinate| <= 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-1.0 - start) / step, (1.0 - start) / step
    return np.minimum(one, two), np.maximum(one, two)


def _cube(start: Start, steps: Steps) -> np.ndarray:
    (near_x, far_x), (near_y, far_y), (near_z, far_z) = map(_slab, start, steps)
    enter = np.maximum(np.maximum(near_x, near_y), near_z)
    leave = np.minimum(np.minimum(far_x, far_y), far_z)
    return np.where(enter <= leave, enter, np.inf)


def _cylinder(start: Start, steps: Steps) -> np.ndarray:
    x, y, z = steps
    side = _quadratic(x * x + y * y, x * start[0] + y * start[1], start[0] ** 2 + start[1] ** 2 - 1.0)
    near, far = _slab(start[2], z)
    enter, leave = np.maximum(side[0], near), np.minimum(side[1], far)
    return np.where(enter <= leave, enter, np.inf)


_ENTER: dict[str, Callable[[Start, Steps], np.ndarray]] = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder}

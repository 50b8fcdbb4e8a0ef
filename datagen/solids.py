"""Solids that rays meet in closed form. Labels (masks, boxes, visible pixels, depth) come from these, never from a renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from datagen.scene import Vec3


@dataclass(frozen=True)
class Solid:
    """An upright solid: half-extents of 1 along each axis, scaled by ``scale``, turned about Z, moved to ``location``."""

    kind: Literal["sphere", "cube", "cylinder"]
    location: Vec3
    scale: float
    degrees: float = 0.0

    def corners(self) -> np.ndarray:
        """The (8, 3) corners of a box around the solid, in the world frame."""
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        return signs * self.scale @ _about_z(self.degrees).T + self.location

    def depth(self, origin: Vec3, directions: np.ndarray) -> np.ndarray:
        """Where rays (..., 3) from `origin` enter the solid, in multiples of their direction; infinity where they miss."""
        turn = _about_z(self.degrees)  # world to local is the transpose, hence the right-hand products below
        start = (np.asarray(origin, float) - self.location) @ turn / self.scale
        steps = directions @ turn / self.scale
        enter = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder}[self.kind](start, steps)
        return np.where(enter > 0, enter, np.inf)


def _about_z(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _quadratic(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t² + 2 b t + c; the empty interval (inf, -inf) where there are none."""
    under = b * b - a * c
    hit = under >= 0
    root = np.sqrt(np.where(hit, under, 0.0))
    return np.where(hit, (-b - root) / a, np.inf), np.where(hit, (-b + root) / a, -np.inf)


def _sphere(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return _quadratic((steps * steps).sum(-1), steps @ start, np.asarray(start @ start - 1.0))[0]


def _slab(start: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave |coordinate| <= 1, per axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-1.0 - start) / steps, (1.0 - start) / steps
    return np.minimum(one, two), np.maximum(one, two)


def _cube(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    near, far = _slab(start, steps)
    enter, leave = near.max(-1), far.min(-1)
    return np.where(enter <= leave, enter, np.inf)


def _cylinder(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    flat, flat_start = steps[..., :2], start[:2]
    side = _quadratic((flat * flat).sum(-1), flat @ flat_start, np.asarray(flat_start @ flat_start - 1.0))
    near, far = _slab(start[2:], steps[..., 2:])
    enter, leave = np.maximum(side[0], near[..., 0]), np.minimum(side[1], far[..., 0])
    return np.where(enter <= leave, enter, np.inf)

"""The sweep that objects stand on, declared once: Blender's mesh is made of it, and depth is cast against it. Lengths in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datagen.camera import Rays
from datagen.scene import Camera, Vec3


@dataclass(frozen=True)
class Sweep:
    """Flat ground through the origin, a quarter circle behind it, then straight up.

    Its profile lies in the plane of Y and Z, is drawn out along X by ``half_width`` to either side, and is then turned about Z by
    ``turn`` radians. The ground runs ``near`` towards -Y and stays flat up to ``flat`` along +Y; the curve has ``radius`` and
    ``facets`` flat pieces; the backdrop ends at ``height``.
    """

    turn: float
    near: float = 30.0
    flat: float = 10.6
    radius: float = 9.4
    height: float = 23.0
    half_width: float = 40.0
    facets: int = 32

    def profile(self) -> tuple[np.ndarray, np.ndarray]:
        """The points (N, 2) of (along Y, along Z) from near to high, and the smooth surface's unit normals (N, 2) there."""
        angles = np.linspace(0.0, np.pi / 2, self.facets + 1)
        curve = np.stack([self.flat + self.radius * np.sin(angles), self.radius * (1.0 - np.cos(angles))], axis=1)
        normals = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
        points = np.concatenate([[(-self.near, 0.0)], curve, [(self.flat + self.radius, self.height)]])
        return points, np.concatenate([normals[:1], normals, normals[-1:]])

    def room(self, point: Vec3) -> float:
        """How far a point is in front of the sweep's surface, which is taken without its ends; negative behind it."""
        _, y, z = self._local() @ np.asarray(point, float)
        ends, _ = self.profile()
        return float(min(across[0] * (y - start[0]) + across[1] * (z - start[1]) for start, across in _facets(ends)))

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays from in front of the sweep meet its facets: (height, width) in multiples of their direction, inf where they miss.

        The space in front is convex, so a ray leaves it once, through the first facet's plane that it crosses.
        """
        local = rays.turned(self._local(), np.zeros(3))
        x, y, z = local.along(np.eye(3))
        start = local.origin
        ends, _ = self.profile()
        leave = np.full(y.shape, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            for point, across in _facets(ends):
                gap = across[0] * (start[1] - point[0]) + across[1] * (start[2] - point[1])
                closing = -(across[0] * y + across[1] * z)
                leave = np.minimum(leave, np.where(closing > 0, gap / closing, np.inf))
            held = (np.abs(start[0] + leave * x) <= self.half_width) & (start[1] + leave * y >= -self.near)
            held &= start[2] + leave * z <= self.height
        return np.where(held, leave, np.inf)

    def _local(self) -> np.ndarray:
        """World to the sweep's own frame."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _facets(ends: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every facet a point and the unit normal towards the front, both (along Y, along Z)."""
    along = np.diff(ends, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    return list(zip(ends[:-1], across, strict=True))


def sweep_behind(camera: Camera) -> Sweep:
    """The sweep behind what `camera` looks at, turned 0.4 radians away from facing it squarely."""
    ahead = np.subtract(camera.target, camera.location)
    return Sweep(float(np.arctan2(-ahead[0], ahead[1])) + 0.4)

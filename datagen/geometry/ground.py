"""The sweep that objects stand on (ground and backdrop): Blender's mesh and the depth labels are both made from it. Lengths in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from datagen.geometry.camera import Rays, focal_pixels, look_at, rays
from datagen.scene import Camera, Vec3

ASIDE = 0.4  # radians that a sweep is turned away from facing a camera squarely
FARTHEST = 600.0  # metres that a sweep reaches at most, in front, aloft and to either side; Blender's cameras see 1000 m far
EDGE_RAYS = 129  # along each edge of a frame, to test whether a sweep fills it
BARE_PIXELS = 320  # longer side of the reduced frame on which bare pixels are counted


@dataclass(frozen=True)
class Sweep:
    """Flat ground through the origin, a quarter circle behind it, then straight up.

    Its profile lies in the plane of Y and Z, is extended along X by ``half_width`` to either side, and is then turned about Z by
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

    def room(self, point: Vec3 | np.ndarray) -> float:
        """The distance of a point in front of the sweep's surface, extended without ends; negative behind it."""
        _, y, z = self._local() @ np.asarray(point, float)
        ends, _ = self.profile()
        return float(min(across[0] * (y - start[0]) + across[1] * (z - start[1]) for start, across in _facets(ends)))

    def room_at_any_turn(self, point: Vec3) -> float:
        """The least `room` that a point has, however the sweep is turned about Z."""
        return replace(self, turn=0.0).room((0.0, float(np.hypot(point[0], point[1])), point[2]))

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays from in front of the sweep meet its facets: (rows, columns) in multiples of their direction, inf where they miss.

        The space in front is convex, so a ray leaves it once, through the first facet plane that it crosses.
        """
        leave, (x, y, z) = self._leave(rays)
        held = (np.abs(x) <= self.half_width) & (y >= -self.near) & (z <= self.height)
        return np.where(held, leave, np.inf)

    def normals(self, rays: Rays) -> np.ndarray:
        """Unit normals (rows, columns, 3), in the world frame and towards the front, of the facets that rays from in front of the sweep
        meet; of no meaning where they miss."""
        _, (_, y, z) = self._leave(rays)
        ends, _ = self.profile()
        facets = np.array([(0.0, *across) for _, across in _facets(ends)])
        along = ends[1:-1].sum(1)  # y + z grows along the profile
        return facets[np.searchsorted(along, y + z)] @ self._local()

    def grown(self, rays: Rays) -> Sweep:
        """The sweep enlarged, up to `FARTHEST`, so that these rays meet it wherever they would meet a sweep without ends."""
        leave, (x, y, z) = self._leave(rays)
        met = np.isfinite(leave)

        def reach(least: float, wanted: np.ndarray) -> float:
            return max(least, min(FARTHEST, 1.0 + 1.05 * float(wanted[met].max(initial=0.0))))

        return replace(self, near=reach(self.near, -y), height=reach(self.height, z), half_width=reach(self.half_width, np.abs(x)))

    def _leave(self, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
        """Where rays leave the space in front of the sweep, extended without ends: (rows, columns) in multiples of their direction, inf
        for never; and the points there in the sweep's own frame, (3, rows, columns)."""
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
            return leave, np.stack([start[0] + leave * x, start[1] + leave * y, start[2] + leave * z])

    def _local(self) -> np.ndarray:
        """The rotation (3, 3) from the world to the sweep's own frame."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _facets(ends: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every facet a point and the unit normal towards the front, both (along Y, along Z)."""
    along = np.diff(ends, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    return list(zip(ends[:-1], across, strict=True))


def sweep_behind(camera: Camera) -> Sweep:
    """The sweep behind what `camera` looks at, turned `ASIDE` away from facing it squarely."""
    return Sweep(_facing(camera) + ASIDE)


def _facing(camera: Camera) -> float:
    """The turn of a sweep that faces a camera squarely."""
    ahead = np.subtract(camera.target, camera.location)
    return float(np.arctan2(-ahead[0], ahead[1]))


@lru_cache(maxsize=1024)
def sweep_for(ground: Sweep, camera: Camera, width: int, height: int) -> Sweep:
    """The sweep behind the scene in a frame of `width` by `height` pixels under `camera`.

    It is the domain's own `ground` if that fills the frame. Otherwise it is turned behind what the camera sees and extended as far as
    the frame shows, facing the camera squarely where a wide lens would look past its side. If every such sweep leaves part of the frame
    bare, it is the one that fewest rays along the frame's edges miss (see `bare_share`). It depends on the recorded shot alone.
    """
    edges = _edges(camera, width, height)
    if _bare(ground, edges) == 0:
        return ground
    behind = (replace(ground, turn=_facing(camera) + aside) for aside in (ASIDE, 0.0))
    drawn_out = [sweep if sweep.room(camera.location) <= 0 else _drawn_out(sweep, edges) for sweep in behind]
    return min((ground, *drawn_out), key=lambda sweep: _bare(sweep, edges))


def bare_share(ground: Sweep, camera: Camera, width: int, height: int) -> float:
    """The share of an empty frame's pixels that show neither ground nor backdrop and are black."""
    sweep, edges = sweep_for(ground, camera, width, height), _edges(camera, width, height)
    if sweep.room(camera.location) <= 0:
        return 1.0
    if _bare(sweep, edges) == 0:
        return 0.0
    shrink = min(1.0, BARE_PIXELS / max(width, height))
    grid = rays(camera, max(1, round(width * shrink)), max(1, round(height * shrink)))
    return float(np.isinf(sweep.depth(grid)).mean())


def _edges(camera: Camera, width: int, height: int) -> tuple[Rays, Rays]:
    """Rays one pixel outside the frame: along its left and right edges, and along its top and bottom edges."""
    focal = focal_pixels(camera, width, height)
    right, up = (width / 2 + 1) / focal, (height / 2 + 1) / focal
    origin, axes = np.array(camera.location, float), look_at(camera.location, camera.target)
    along, ends = np.linspace(-1.0, 1.0, EDGE_RAYS), np.array([-1.0, 1.0])
    return Rays(origin, axes, ends * right, along * up), Rays(origin, axes, along * right, ends * up)


def _bare(sweep: Sweep, edges: tuple[Rays, Rays]) -> float:
    """The share of the rays along a frame's edges that miss the sweep. If it is 0, the sweep fills the frame, as it has no holes."""
    if sweep.room(edges[0].origin) <= 0:
        return 1.0
    return float(np.mean([np.isinf(sweep.depth(side)).mean() for side in edges]))


def _drawn_out(sweep: Sweep, edges: tuple[Rays, Rays]) -> Sweep:
    """The sweep enlarged (`Sweep.grown`) for the rays along a frame's edges."""
    for side in edges:
        sweep = sweep.grown(side)
    return sweep

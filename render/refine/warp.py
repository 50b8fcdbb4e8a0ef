"""How a frame changes when an object is turned, from the frame itself: the object's surface carries its colours along.

Two frames of a path tracer differ by the turn and by their noise. Two warped frames differ by the turn alone, and cost ray casts instead of
renders. Shading and reflections go along with the surface, and shadows stay on the ground: that is near enough for the direction of a step,
and the frame after the step shows what it was worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, map_coordinates

from datagen.domains.base import Domain
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import Rays, project, rays
from datagen.geometry.raycast import Castable
from render.refine.frames import Window
from render.refine.state import Handle, State, outline

RAYS = 2  # a pixel, along each axis
RIM = 3  # pixels around an object: those that its turn uncovers, and those whose colours lie behind it
RIGID = 1e-6  # metres that the hull of a body may be off after its motion


@dataclass(frozen=True)
class Warp:
    """One object in the ``frame`` (height, width, 3) of a ``window``, to be turned. ``state`` is that of the frame, in its size."""

    frame: np.ndarray
    window: Window
    state: State
    domain: StagedDomain
    index: int

    @staticmethod
    def of(frame: np.ndarray, window: Window, state: State, domain: Domain, index: int) -> Warp | None:
        """An object to be turned; None if none of it is in the window, or if the domain has no solids."""
        if not isinstance(domain, StagedDomain):
            return None
        points = outline(state.scene.objects[index], domain, state.shot)
        low, high = points.min(0) - RIM, points.max(0) + RIM
        left, top = (max(math.floor(at), edge) for at, edge in zip(low.tolist(), window[:2], strict=True))
        right, bottom = (min(math.ceil(at), edge) for at, edge in zip(high.tolist(), window[2:], strict=True))
        if right - left < 2 or bottom - top < 2:
            return None
        part = frame[top - window[1] : bottom - window[1], left - window[0] : right - window[0]]
        return Warp(part, (left, top, right, bottom), state, domain, index)

    def difference(self, handle: Handle) -> np.ndarray | None:
        """The difference that a step of one of the object's handles makes in this window; None where the object does not move as a body."""
        half = handle.step / 2
        after, before = (self._turned(handle.turn(self.state, amount)) for amount in (half, -half))
        return None if after is None or before is None else np.asarray(after - before, np.float32)

    def _turned(self, turned: State) -> np.ndarray | None:
        before, after = (self.domain.solid(state.scene.objects[self.index]) for state in (self.state, turned))
        motion = _motion(after, before)
        if motion is None:
            return None
        depth = after.depth(self._rays)
        seen = depth < self._nearest_other
        points = self._rays.origin + (depth[None] * self._directions)[:, seen].T
        shot, (left, top, _, _) = self.state.shot, self.window
        spots = project(shot.viewpoint, shot.width, shot.height, points @ motion[:3] + motion[3])
        at = (spots[:, 1] - top - 0.5, spots[:, 0] - left - 0.5)
        fine = np.zeros((*seen.shape, 3), np.float32)
        fine[seen] = np.stack([map_coordinates(self._surface[..., c], at, order=1, mode="nearest") for c in range(3)], axis=1)
        return _pooled(fine) + (1 - _pooled(seen[..., None])) * self._behind

    @cached_property
    def _rays(self) -> Rays:
        (left, top, right, bottom), shot = self.window, self.state.shot
        grid = rays(shot.viewpoint, RAYS * shot.width, RAYS * shot.height)
        return grid.window(slice(RAYS * top, RAYS * bottom), slice(RAYS * left, RAYS * right))

    @cached_property
    def _directions(self) -> np.ndarray:
        return self._rays.along(np.eye(3))

    @cached_property
    def _nearest_other(self) -> np.ndarray:
        """The depth of what else is there, (RAYS x height, RAYS x width); very far where nothing is."""
        nearest = np.full((len(self._rays.y), len(self._rays.x)), np.finfo(float).max)
        left, top, right, bottom = self.window
        for index, obj in enumerate(self.state.scene.objects):
            points = outline(obj, self.domain, self.state.shot)
            (west, north), (east, south) = points.min(0), points.max(0)
            if index != self.index and west < right and left < east and north < bottom and top < south:
                np.minimum(nearest, self.domain.solid(obj).depth(self._rays), out=nearest)
        return nearest

    @cached_property
    def _cover(self) -> np.ndarray:
        """The share of each pixel in which the object is seen, (height, width)."""
        return _pooled((self.domain.solid(self.state.scene.objects[self.index]).depth(self._rays) < self._nearest_other)[..., None])[..., 0]

    @cached_property
    def _surface(self) -> np.ndarray:
        """The colours of the object, and around it those of its edge."""
        return _spread(self.frame, self._cover)

    @cached_property
    def _behind(self) -> np.ndarray:
        """The colours around the object, and behind it those next to it."""
        return _spread(self.frame, 1 - self._cover)


def _motion(first: Castable, second: Castable) -> np.ndarray | None:
    """The affine motion (4, 3) that takes the points of one solid to those of another of its kind; None if there is none."""
    start, end = first.hull(), second.hull()
    if start.shape != end.shape:
        return None
    start = np.concatenate([start, np.ones((len(start), 1))], axis=1)
    motion = np.linalg.lstsq(start, end, rcond=None)[0]
    return motion if np.abs(start @ motion - end).max() < RIGID else None


def _spread(frame: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """The frame with the colours of what covers its pixels wholly, without its rim, spread to the pixels nearest to it."""
    core = binary_erosion(cover >= 1, np.ones((3, 3)), border_value=1)
    if not core.any():
        core = cover >= cover.max()
    rows, columns = distance_transform_edt(~core, return_distances=False, return_indices=True)
    return np.asarray(frame[rows, columns])


def _pooled(fine: np.ndarray) -> np.ndarray:
    """The means over the rays of each pixel."""
    high, wide, channels = fine.shape
    return np.asarray(fine.reshape(high // RAYS, RAYS, wide // RAYS, RAYS, channels).mean((1, 3), dtype=np.float32))

"""The pinhole camera in numpy: where a world point lands on the frame, and the ray through a pixel.

Blender gets the matrix computed here, so labels and pixels share one camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datagen.scene import Camera, Vec3

IN_FRONT = 1e-6  # metres along a camera's axis
NOWHERE, FAR_OFF = -1.0, 1e9  # pixels


def look_at(location: Vec3, target: Vec3) -> np.ndarray:
    """The (3, 3) rotation whose columns are right, up and back of a camera at `location` facing `target`, upright."""
    back = np.asarray(location, float) - np.asarray(target, float)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    length = np.linalg.norm(right)
    right = right / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
    return np.stack([right, np.cross(back, right), back], axis=1)


def ground_directions(camera: Camera) -> dict[str, Vec3]:
    """Unit vectors of right, left, behind and front on the ground as `camera` sees it; for a vertical one, behind is its up."""
    axes = look_at(camera.location, camera.target)
    ahead = -axes[:, 2] * (1, 1, 0)
    if np.linalg.norm(ahead) < 1e-9:
        ahead = axes[:, 1]
    right, behind = axes[:, 0], ahead / np.linalg.norm(ahead)
    pairs = {"right": right, "left": -right, "behind": behind, "front": -behind}
    return {name: (float(v[0]), float(v[1]), float(v[2])) for name, v in pairs.items()}


def focal_pixels(camera: Camera, width: int, height: int) -> float:
    """Focal length in pixels; the sensor's width fits the frame's longer side."""
    return camera.lens_mm / camera.sensor_mm * max(width, height)


def intrinsics(camera: Camera, width: int, height: int) -> np.ndarray:
    """The (3, 3) matrix K of a camera: ``K @ p``, divided by its third component, is where a point p lands, in pixels.

    The point is in the camera's frame (`world_to_camera`). Pixels count from the frame's top left corner, as in the labels, so that the
    first one's centre is at (0.5, 0.5).
    """
    focal = focal_pixels(camera, width, height)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def world_to_camera(camera: Camera) -> np.ndarray:
    """The (4, 4) pose that takes world points to the camera's frame, in metres, in OpenCV's convention: X right, Y down, Z ahead."""
    pose = np.eye(4)
    pose[:3, :3] = (_axes(camera) * (1.0, -1.0, -1.0)).T
    pose[:3, 3] = -pose[:3, :3] @ np.array(camera.location, float)
    return pose


@lru_cache(maxsize=64)
def _axes(camera: Camera) -> np.ndarray:
    axes = look_at(camera.location, camera.target)
    axes.setflags(write=False)
    return axes


def project(camera: Camera, width: int, height: int, points: np.ndarray) -> np.ndarray:
    """World points (N, 3) in metres to (N, 3): x and y in pixels from the top left corner, depth in metres along the axis.

    A point less than `IN_FRONT` in front of the camera has x = y = `NOWHERE`, outside the frame. Other coordinates are clipped to
    ±`FAR_OFF`.
    """
    local = (np.asarray(points, float) - camera.location) @ _axes(camera)
    depth = 0.0 - local[:, 2]
    ahead = depth >= IN_FRONT
    scale = focal_pixels(camera, width, height) / np.where(ahead, depth, 1.0)
    on_frame = (width / 2 + local[:, 0] * scale, height / 2 - local[:, 1] * scale)
    return np.stack([*(np.where(ahead, np.clip(place, -FAR_OFF, FAR_OFF), NOWHERE) for place in on_frame), depth], axis=1)


@dataclass(frozen=True)
class Rays:
    """A grid of rays from ``origin`` (3,), in metres: the ray in row i and column j has the direction ``axes @ (x[j], y[i], -1)``.

    The columns of ``axes`` (3, 3) are the camera's right, up and back, at right angles. Directions are not normalised: a step of
    1 is 1 m of depth.
    """

    origin: np.ndarray
    axes: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def window(self, rows: slice, columns: slice) -> Rays:
        """The rays of a part of the grid."""
        return Rays(self.origin, self.axes, self.x[columns], self.y[rows])

    def turned(self, matrix: np.ndarray, around: np.ndarray) -> Rays:
        """The same rays in the frame that has its origin at `around` (3,) and is reached by `matrix` (3, 3)."""
        return Rays(matrix @ (self.origin - around), matrix @ self.axes, self.x, self.y)

    def along(self, vectors: np.ndarray) -> np.ndarray:
        """The directions' dot products with each of `vectors` (N, 3): (N, rows, columns)."""
        right, up, back = (vectors @ self.axes).T[..., None, None]
        return self.x * right + (self.y[:, None] * up - back)

    def squares(self) -> np.ndarray:
        """The directions' squared lengths, (rows, columns)."""
        right, up, back = (self.axes * self.axes).sum(0).tolist()
        return self.x**2 * right + (self.y**2 * up + back)[:, None]


@lru_cache(maxsize=64)
def rays(camera: Camera, width: int, height: int) -> Rays:
    """The rays through the centres of a frame's pixels, one a pixel."""
    focal = focal_pixels(camera, width, height)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (height / 2 - np.arange(height) - 0.5) / focal
    return Rays(np.array(camera.location, float), _axes(camera), x, y)

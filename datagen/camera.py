"""The pinhole camera in numpy: where a world point lands on the frame, and the ray through a pixel.

Blender is given the very matrix computed here, so labels and pixels share one camera.
"""

from __future__ import annotations

import numpy as np

from datagen.scene import Camera, Vec3


def look_at(location: Vec3, target: Vec3) -> np.ndarray:
    """The (3, 3) rotation whose columns are right, up and back of a camera at `location` facing `target`, upright."""
    back = np.asarray(location, float) - np.asarray(target, float)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    length = np.linalg.norm(right)
    right = right / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
    return np.stack([right, np.cross(back, right), back], axis=1)


def focal_pixels(camera: Camera, width: int, height: int) -> float:
    """Focal length in pixels; the sensor's width fits the frame's longer side."""
    return camera.lens_mm / camera.sensor_mm * max(width, height)


def project(camera: Camera, width: int, height: int, points: np.ndarray) -> np.ndarray:
    """World points (N, 3) in metres to (N, 3): x and y in pixels from the top left corner, depth in metres along the axis."""
    local = (np.asarray(points, float) - camera.location) @ look_at(camera.location, camera.target)
    depth = -local[:, 2]
    scale = focal_pixels(camera, width, height) / depth
    return np.stack([width / 2 + local[:, 0] * scale, height / 2 - local[:, 1] * scale, depth], axis=1)


def rays(camera: Camera, width: int, height: int) -> np.ndarray:
    """Directions (height, width, 3) of the rays through the pixels' centres; not normalised: a step of 1 is 1 m of depth."""
    focal = focal_pixels(camera, width, height)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (height / 2 - np.arange(height) - 0.5) / focal
    local = np.stack([*np.broadcast_arrays(x[None, :], y[:, None]), np.full((height, width), -1.0)], axis=-1)
    return local @ look_at(camera.location, camera.target).T

"""The camera of a published scene, recovered from where its objects are in the world and on the frame.

CLEVR (Johnson et al. 2017) moves the camera by up to 0.5 m along each axis, keeps it facing one spot, and records neither. Lens and
sensor are known, so that two pixel coordinates an object are left to explain by three coordinates of the camera's place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from datagen.camera import project
from datagen.scene import Camera, Vec3

PIXELS_PER_METRE = 1.0
"""Weight of the expectation that the camera is at its usual place: the error of a coordinate rounded to whole pixels (0.29 px, one standard
deviation) over a jitter uniform in ±0.5 m (0.29 m). With it, even a single object gives a definite answer."""
ROUNDING = 0.5 + 1e-6  # pixels between a coordinate and the nearest whole one
GOOD_PIXELS = 2.0  # residuals beyond make it worth asking whether the camera faces another spot
ENOUGH = 1e-6  # relative change of error or place at which the search ends: micrometres, where rounded pixels tell centimetres
MIN_POINTS_FOR_TARGET = 3  # six equations for the six numbers of place and target


@dataclass(frozen=True)
class CameraFit:
    """A camera, and how far from the given pixels (N,) it shows each point."""

    camera: Camera
    residuals: np.ndarray

    @property
    def worst(self) -> float:
        """The largest residual in pixels; 0 without points."""
        return float(self.residuals.max(initial=0.0))


def fit_camera(usual: Camera, width: int, height: int, points: np.ndarray, pixels: np.ndarray) -> CameraFit:
    """The camera that shows world `points` (N, 3), in metres, at `pixels` (N, 2) of a frame of that size.

    Where `usual` itself explains every coordinate to within its rounding, it is the answer. Else lens and sensor are `usual`'s, the place
    is sought, and the target as well where `usual`'s leaves more than `GOOD_PIXELS`. The least squares are robust (soft L1), so that one
    bad coordinate does not move the camera.
    """
    off = project(usual, width, height, points)[:, :2] - pixels
    if (np.abs(off) <= ROUNDING).all():
        return CameraFit(usual, np.linalg.norm(off, axis=1))

    def placed(numbers: np.ndarray) -> Camera:
        return replace(usual, location=_vector(numbers))

    def aimed(numbers: np.ndarray) -> Camera:
        return replace(usual, location=_vector(numbers[:3]), target=_vector(numbers[3:]))

    def solve(start: np.ndarray, camera_of: Callable[[np.ndarray], Camera]) -> CameraFit:
        def errors(numbers: np.ndarray) -> np.ndarray:
            off = project(camera_of(numbers), width, height, points)[:, :2] - pixels
            return np.concatenate([off.reshape(-1), (numbers - start) * PIXELS_PER_METRE])

        camera = camera_of(least_squares(errors, start, loss="soft_l1", ftol=ENOUGH, xtol=ENOUGH).x.round(6))
        return CameraFit(camera, np.linalg.norm(project(camera, width, height, points)[:, :2] - pixels, axis=1))

    place = np.array(usual.location)
    fit = solve(place, placed)
    if fit.worst <= GOOD_PIXELS or len(points) < MIN_POINTS_FOR_TARGET:
        return fit
    return min(fit, solve(np.concatenate([place, usual.target]), aimed), key=lambda f: float(np.square(f.residuals).mean()))


def _vector(numbers: np.ndarray) -> Vec3:
    x, y, z = (float(v) for v in numbers)
    return x, y, z

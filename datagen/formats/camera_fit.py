"""Recovery of a published scene's camera from its objects' positions in the world and on the frame.

CLEVR (Johnson et al. 2017) moves the camera by up to 0.5 m along each axis, keeps it facing one spot, and does not record it. Lens and
sensor are known, so the three coordinates of the camera's location must explain two pixel coordinates and a depth of each object. If they
cannot, an arbitrary camera is sought. The result includes the reason to doubt the camera, if there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from datagen.geometry.camera import project
from datagen.scene import Camera, Vec3

JITTER = 0.5  # metres along each axis from CLEVR's usual place, at most
SLACK = 0.1  # metres by which a location fitted to rounded coordinates may exceed the jitter
PIXELS_PER_METRE = 1.0
"""Weight of the prior that the camera is at its usual place: the error of a coordinate rounded to whole pixels (0.29 px, one standard
deviation) over a jitter uniform in ±0.5 m (0.29 m). With it, even a single object gives a definite answer."""
PIXELS_PER_DEPTH = 500.0
"""Weight of a depth: CLEVR records them to micrometres, but here 2 mm count as much as a pixel."""
ROUNDING = 0.5 + 1e-6  # pixels between a coordinate and the nearest whole one
GOOD_PIXELS, GOOD_DEPTH = 1.0, 0.02  # pixels along either side, and metres, within which a coordinate counts as explained
ENOUGH = 1e-6  # relative change of error or place at which the search ends: micrometres, where rounded pixels give centimetres
LEAST_HEIGHT = 0.101  # metres above the floor: the lowest camera that is sought, just above the lowest allowed one
STARTS = 8, (5.0, 25.0, 50.0, 80.0)
"""The starts of the search for an arbitrary camera: the number of directions around the objects, and their elevations in degrees."""
SEARCHED = 8  # starts that are tried: those that show the objects nearest to their given pixels
WIDEST = 3.0  # natural logarithm of the largest factor between a lens and the usual one
EVALUATIONS = 60  # of the error function, at most, in one search


@dataclass(frozen=True)
class CameraFit:
    """A camera, the distance (N,) in pixels between each point's projection and its given pixel, and the reason to doubt it, if any.

    ``explains`` is False if no camera was found that explains the pixels of all points in front of the camera.
    """

    camera: Camera
    residuals: np.ndarray
    doubt: str | None = None
    explains: bool = True

    @property
    def worst(self) -> float:
        """The largest residual in pixels; 0 without points."""
        return float(self.residuals.max(initial=0.0))


@dataclass(frozen=True)
class Sightings:
    """World ``points`` (N, 3) in metres, seen at ``pixels`` (N, 2) of a frame of that size, and if known ``depths`` (N,) in metres."""

    width: int
    height: int
    points: np.ndarray
    pixels: np.ndarray
    depths: np.ndarray | None = None

    def off(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """A camera's errors: projected minus given pixels (N, 2), and the same for depths (N,), which are 0 if no depths are given."""
        seen = project(camera, self.width, self.height, self.points)
        return seen[:, :2] - self.pixels, np.zeros(len(seen)) if self.depths is None else seen[:, 2] - self.depths

    def explained_by(self, camera: Camera, pixels: float = GOOD_PIXELS) -> bool:
        """Whether a camera's errors are at most `pixels` in each coordinate and `GOOD_DEPTH` in each depth."""
        off, deep = self.off(camera)
        return bool((np.abs(off) <= pixels).all() and (np.abs(deep) <= GOOD_DEPTH).all())

    def fit(self, camera: Camera, doubt: str | None = None) -> CameraFit:
        """A camera's `CameraFit`, with the given doubt."""
        return CameraFit(camera, np.linalg.norm(self.off(camera)[0], axis=1), doubt)

    def enough(self, numbers: int) -> bool:
        """Whether there are more coordinates than `numbers`, the camera's free numbers: with fewer, a camera fits almost anything."""
        return len(self.points) * (2 if self.depths is None else 3) > numbers

    def search(self, start: np.ndarray, camera_of: Callable[[np.ndarray], Camera], weights: np.ndarray) -> Camera:
        """The camera, `camera_of` some numbers, with the least error, searched from the numbers `start`, the first three a location.

        Least squares are robust (soft L1): one bad coordinate does not move the camera. `weights` penalise leaving `start`, in pixels per
        unit.
        """

        def errors(numbers: np.ndarray) -> np.ndarray:
            off, deep = self.off(camera_of(numbers))
            return np.concatenate([off.reshape(-1), deep * PIXELS_PER_DEPTH, (numbers - start) * weights])

        least = np.full(len(start), -np.inf)
        least[2] = LEAST_HEIGHT
        start = np.maximum(start, least + ENOUGH)
        bounds = (least, np.full(len(start), np.inf))
        found = least_squares(errors, start, bounds=bounds, loss="soft_l1", ftol=ENOUGH, xtol=ENOUGH, max_nfev=EVALUATIONS)
        return camera_of(found.x.round(6))


def fit_camera(usual: Camera, seen: Sightings, everywhere: bool = True) -> CameraFit:
    """The camera that explains the sightings.

    If `usual` explains everything, pixels to within their rounding, the result is `usual`. Otherwise its location is fitted, the rest kept.
    If that does not explain everything within CLEVR's jitter, and `everywhere` is set, any upright camera above the floor is sought, which
    takes half a second. A result without doubt is within CLEVR's jitter of `usual`, and explains more coordinates than it has numbers.
    """
    depths = seen.depths
    if depths is not None and (depths <= 0).any():
        ahead = depths > 0  # the camera cannot see the other points
        found = fit_camera(usual, replace(seen, points=seen.points[ahead], pixels=seen.pixels[ahead], depths=depths[ahead]), everywhere)
        return replace(seen.fit(found.camera, found.doubt or "an object is not in front of it"), explains=found.explains)
    if seen.explained_by(usual, ROUNDING):
        return seen.fit(usual, None if seen.enough(2) else "too few objects tell of it")
    near = near_usual(usual, seen)
    if seen.explained_by(near) and within_jitter(usual, near):
        return seen.fit(near, None if seen.enough(3) else "too few objects tell of it")
    other = _anywhere(usual, seen) if everywhere else None
    if other is not None:
        away = math.dist(other.location, usual.location)
        return seen.fit(other, f"it is none of CLEVR's: {away:.2f} m from the usual place, lens {other.lens_mm:.1f} mm")
    if depths is not None:
        flat = replace(seen, depths=None)
        blind = fit_camera(usual, flat, everywhere).camera
        if flat.explained_by(blind):
            return seen.fit(blind, "the depths in pixel_coords tell of another, or are none along its axis")
    off, deep = seen.off(near)
    worst = f"{np.linalg.norm(off, axis=1).max():.1f} px" + (f" and {np.abs(deep).max():.2f} m of depth" if depths is not None else "")
    doubt = f"none explains where the objects are seen; the nearest is up to {worst} off"
    if not everywhere:
        doubt = f"it is up to {worst} off, and none but CLEVR's was sought, as none was found for others"
    return replace(seen.fit(near, doubt), explains=False)


def within_jitter(usual: Camera, camera: Camera) -> bool:
    """Whether CLEVR's jitter could have moved `usual` to `camera`, to within `SLACK`."""
    return float(np.abs(np.subtract(camera.location, usual.location)).max()) <= JITTER + SLACK


def near_usual(usual: Camera, seen: Sightings) -> Camera:
    """The camera like `usual` whose location, with a prior for the usual one, explains the sightings best."""
    return seen.search(np.array(usual.location), lambda place: replace(usual, location=_vector(place)), np.full(3, PIXELS_PER_METRE))


def _anywhere(usual: Camera, seen: Sightings) -> Camera | None:
    """A camera at any location that explains everything; None if none is found, or if there are too few coordinates to determine it.

    The fitted numbers are the location, the direction as two angles, and, if depths are known, the logarithm of the lens over the usual.
    """
    free = 5 if seen.depths is None else 6
    if not seen.enough(free):
        return None

    def camera_of(numbers: np.ndarray) -> Camera:
        place, ahead = numbers[:3], _ahead(numbers[3], numbers[4])
        lens = usual.lens_mm * math.exp(min(WIDEST, max(-WIDEST, numbers[5]))) if free == 6 else usual.lens_mm
        nearest = max(1.0, float(-place @ ahead))  # metres along the axis to its point nearest to the origin
        return replace(usual, location=_vector(place), target=_vector(place + nearest * ahead), lens_mm=lens)

    starts = [np.array([*start, 0.0][:free]) for start in _starts(usual, seen)]
    nearest_first = sorted(starts, key=lambda numbers: float(np.abs(seen.off(camera_of(numbers))[0]).sum()))
    for start in nearest_first[:SEARCHED]:
        camera = seen.search(start, camera_of, np.zeros(free))
        if seen.explained_by(camera):
            return camera
    return None


def _starts(usual: Camera, seen: Sightings) -> Iterator[list[float]]:
    """Starts of the search, each a location and the two angles of the direction to the objects' middle: `usual`'s location, then others
    all around the objects, at their median depth (without depths, at the distance of `usual` from its target)."""
    middle = seen.points.mean(axis=0)
    away = math.dist(usual.location, usual.target) if seen.depths is None else float(np.median(seen.depths))
    around, elevations = STARTS
    steps = [np.subtract(usual.location, middle)]
    steps += [away * _ahead(turn, rise) for rise in np.radians(elevations) for turn in np.arange(around) * (2 * math.pi / around)]
    for step in steps:
        x, y, z = (-step / np.linalg.norm(step)).tolist()
        yield [*(middle + step).tolist(), math.atan2(y, x), math.asin(max(-1.0, min(1.0, z)))]


def _ahead(turn: float, rise: float) -> np.ndarray:
    """The unit vector (3,) of two angles in radians: azimuth about Z and elevation above the ground plane."""
    return np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise), math.sin(rise)])


def _vector(numbers: np.ndarray) -> Vec3:
    x, y, z = (float(v) for v in numbers)
    return x, y, z

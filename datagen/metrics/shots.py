"""How well the camera and the lamps that a code states agree with the true ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from datagen.geometry.camera import look_at
from datagen.geometry.rotations import to_quaternion
from datagen.scene import Camera, Scene, Shot, Vec3

NOWHERE = 1e-6  # metres: a camera so near to its target, or a lamp to the origin, which it faces, has no direction


@dataclass(frozen=True)
class CameraErrors:
    """``location`` in metres; ``direction``, between both lines of sight, ``roll`` about them and ``field_of_view``, across the frame's
    longer side, in degrees. All at least 0."""

    location: float
    direction: float
    roll: float
    field_of_view: float


@dataclass(frozen=True)
class LampErrors:
    """``direction`` in degrees, as seen from the origin; ``power`` as a share of the true one, None if that is 0."""

    direction: float
    power: float | None


@dataclass(frozen=True)
class ShotScores:
    """What a code states of its shot against the truth. ``cameras`` is the number of true cameras, 0 or 1; ``camera`` is None if one of
    both codes states none, or one without a direction. ``lamps`` has the errors by the names that both codes have, of ``lamps_true`` and
    ``lamps_said``."""

    cameras: int
    camera: CameraErrors | None
    lamps_true: int
    lamps_said: int
    lamps: Mapping[str, LampErrors]


def score_shot(truth: Scene, guess: Scene | None, recorded: Shot | None = None) -> ShotScores | None:
    """The scores of what ``guess`` states of its camera and lamps; None if there is nothing to compare.

    The truth is what the true code states; if that states nothing, it is the shot that is ``recorded`` for it, which only counts against a
    guess that states something.
    """
    said = guess.header if guess is not None else ()
    if not truth.header and (recorded is None or recorded.camera is None or not said):
        return None
    true_camera, true_lamps = _stated(truth) if truth.header or recorded is None else _recorded(recorded)
    camera, lamps = (None, {}) if guess is None else _stated(guess)
    both = {name: lamp_errors(*true_lamps[name], *lamps[name]) for name in true_lamps if name in lamps}
    known = {name: lamp for name, lamp in both.items() if lamp is not None}
    errors = None if true_camera is None or camera is None else camera_errors(true_camera, camera)
    return ShotScores(int(true_camera is not None), errors, len(true_lamps), len(lamps), known)


def camera_errors(truth: Camera, guess: Camera) -> CameraErrors | None:
    """The errors of a camera; None if one of them looks at where it stands.

    The turn from one to the other is divided into a swing, which brings one line of sight to the other, and a twist about it, the roll.
    """
    if min(math.dist(camera.location, camera.target) for camera in (truth, guess)) < NOWHERE:
        return None
    turn = look_at(truth.location, truth.target).T @ look_at(guess.location, guess.target)
    w, x, y, z = to_quaternion(turn).tolist()
    return CameraErrors(
        location=math.dist(truth.location, guess.location),
        direction=math.degrees(2 * math.atan2(math.hypot(x, y), math.hypot(w, z))),
        roll=math.degrees(2 * math.atan2(abs(z), abs(w))),
        field_of_view=abs(_field_of_view(truth) - _field_of_view(guess)),
    )


def lamp_errors(place: Vec3, power: float, guess_place: Vec3, guess_power: float) -> LampErrors | None:
    """The errors of a lamp; None if one of both stands in the origin."""
    one, other = np.array(place, float), np.array(guess_place, float)
    if min(np.linalg.norm(one), np.linalg.norm(other)) < NOWHERE:
        return None
    between = math.degrees(math.atan2(float(np.linalg.norm(np.cross(one, other))), float(one @ other)))
    return LampErrors(between, abs(guess_power - power) / power if power else None)


def _field_of_view(camera: Camera) -> float:
    """The angle across a frame's longer side in degrees."""
    return math.degrees(2 * math.atan2(camera.sensor_mm / 2, camera.lens_mm))


_Lamps = dict[str, tuple[Vec3, float]]


def _stated(scene: Scene) -> tuple[Camera | None, _Lamps]:
    """The camera and, by name, the lamps of a header: their locations and powers."""
    camera, lamps = None, {}
    for obj in scene.header:
        if obj.statement == "camera":
            camera = Camera(obj["loc"], obj["target"], float(obj["lens"]))
        else:
            lamps[str(obj["name"])] = (obj["loc"], float(obj["power"]))
    return camera, lamps


def _recorded(shot: Shot) -> tuple[Camera | None, _Lamps]:
    return shot.camera, {lamp.name: (lamp.location, lamp.power) for lamp in shot.lamps}

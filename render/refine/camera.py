"""The handles of a camera. Objects that stand on a ground go with it, so that they are seen at the same place of the frame.

Without that, a step of the camera and the steps of all objects that make up for it would have to be found together, which noise prevents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datagen.domains.base import Domain
from datagen.domains.posed import PosedDomain
from datagen.geometry.camera import focal_pixels, look_at
from datagen.geometry.rotations import from_axis_angle, to_euler
from datagen.scene import Camera, Object, Scene, Shot, Vec3
from render.refine.state import Handle, State

PLACE_SPREAD, TARGET_SPREAD, LENS_SPREAD = 0.4, 0.005, 0.003  # metres along each axis; natural logarithm of the focal length
PLACE_STEP = 0.4  # metres: what stands on the ground follows, so that little is seen of a smaller step
PIXELS = 2.0  # that a step of the others moves the middle of the frame


def camera_handles(state: State, first: Shot, domain: Domain) -> list[Handle]:
    """The handles of the camera: place, target, focal length. ``first`` has it where it is expected."""
    camera, expected = state.shot.viewpoint, first.viewpoint
    pixel = math.dist(camera.location, camera.target) / focal_pixels(camera, state.shot.width, state.shot.height)
    found = []
    for axis in range(3):
        off = camera.location[axis] - expected.location[axis]
        found.append(Handle(None, _moved(axis, domain), PLACE_STEP, 0.4, PLACE_SPREAD, off))
    for axis in range(3):
        off = camera.target[axis] - expected.target[axis]
        found.append(Handle(None, _aimed(axis, domain), PIXELS * pixel, 0.2, TARGET_SPREAD, off))
    off = math.log(camera.lens_mm / expected.lens_mm)
    step = 2 * PIXELS / max(state.shot.width, state.shot.height)
    return [*found, Handle(None, _zoomed(domain), step, 0.1, LENS_SPREAD, off)]


def _moved(axis: int, domain: Domain) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        camera = state.shot.viewpoint
        return _seen_by(replace(camera, location=_shifted(camera.location, axis, amount)), state, domain)

    return turn


def _aimed(axis: int, domain: Domain) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        camera = state.shot.viewpoint
        return _seen_by(replace(camera, target=_shifted(camera.target, axis, amount)), state, domain)

    return turn


def _zoomed(domain: Domain) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        camera = state.shot.viewpoint
        return _seen_by(replace(camera, lens_mm=camera.lens_mm * math.exp(amount)), state, domain)

    return turn


def _shifted(point: Vec3, axis: int, amount: float) -> Vec3:
    x, y, z = (value + amount * (number == axis) for number, value in enumerate(point))
    return x, y, z


def _seen_by(camera: Camera, state: State, domain: Domain) -> State:
    """The state under another camera, with what stands on the ground where it is seen at the same place, and turned the same way."""
    shot = replace(state.shot, camera=camera)
    if domain.ground is None:
        return replace(state, shot=shot)
    objects = [_followed(obj, state.shot.viewpoint, camera, domain) for obj in state.scene.objects]
    return replace(state, scene=Scene(state.scene.domain, tuple(objects)), shot=shot)


def _followed(obj: Object, before: Camera, after: Camera, domain: Domain) -> Object:
    """An object at its height where ``after`` sees it as ``before`` did; unchanged if it would be seen at or above the horizon."""
    if "loc" not in obj.values:
        return obj
    place = np.array(obj["loc"], float)
    right, up, back = look_at(before.location, before.target).T @ (place - before.location)
    zoom = (before.lens_mm / before.sensor_mm) / (after.lens_mm / after.sensor_mm)
    ahead = look_at(after.location, after.target) @ np.array([right * zoom, up * zoom, back])
    if ahead[2] * (place[2] - after.location[2]) <= 0:
        return obj
    found = np.array(after.location) + ahead * (place[2] - after.location[2]) / ahead[2]
    x, y, z = found.tolist()
    turn = math.degrees(_azimuth(found, after) - _azimuth(place, before))
    return _turned(domain.settled(obj.replaced(loc=(x, y, z))), turn, domain)


def _azimuth(place: np.ndarray, camera: Camera) -> float:
    """The direction, about Z in radians, from which a camera sees a place."""
    return math.atan2(camera.location[1] - place[1], camera.location[0] - place[0])


def _turned(obj: Object, degrees: float, domain: Domain) -> Object:
    """An object turned about Z."""
    if isinstance(domain, PosedDomain):
        matrix = from_axis_angle(np.array([0.0, 0.0, math.radians(degrees)])) @ domain.rotation(obj)
        return obj.replaced(rotation=tuple(to_euler(matrix).tolist()))
    return obj.replaced(rotation=obj["rotation"] + degrees) if isinstance(obj.values.get("rotation"), float) else obj

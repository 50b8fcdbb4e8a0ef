"""The handles of a camera. Objects that stand on a ground go with it, so that they are seen at the same place of the frame.

Without that, a step of the camera and the steps of all objects that make up for it would have to be found together, which noise prevents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datagen.domains.base import Domain
from datagen.domains.views import turned
from datagen.geometry.camera import look_at
from datagen.scene import Camera, Lamp, Object, Shot, Vec3
from render.refine.state import Handle, State

PLACE_SPREAD = 0.3  # metres that a camera is expected to be off, around its target, over it, and away from it
PLACE_STEP = 0.3  # metres: what stands on the ground follows, so that little is seen of a smaller step
HIGHEST = math.radians(89.0)  # of a camera above its target


def camera_handles(state: State, first: Shot, domain: Domain) -> list[Handle]:
    """The handles of the camera's place: metres around its target, over it, and away from it. ``first`` has it where it is expected.

    Around its target the lamps go with it, so that only what they do not light remains to tell this: the sun's shadows, and the backdrop.
    The camera goes on looking at its target, and its lens stays: together with the place, an image hardly tells them.
    """
    expected = _polar(first.viewpoint)
    offs = (_polar(state.shot.viewpoint) - expected) * _metres(expected)
    return [Handle(None, _moved(axis, domain), PLACE_STEP, PLACE_STEP, PLACE_SPREAD, off) for axis, off in enumerate(offs.tolist())]


def _polar(camera: Camera) -> np.ndarray:
    """Azimuth and elevation in radians, and distance in metres, of a camera as its target sees it."""
    x, y, z = np.subtract(camera.location, camera.target)
    return np.array([math.atan2(y, x), math.atan2(z, math.hypot(x, y)), math.hypot(x, y, z)])


def _metres(polar: np.ndarray) -> np.ndarray:
    """How many metres a unit of each polar coordinate moves a camera."""
    return np.array([max(polar[2] * math.cos(polar[1]), 0.1), polar[2], 1.0])


def _moved(axis: int, domain: Domain) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        camera = state.shot.viewpoint
        polar = _polar(camera)
        step = amount / _metres(polar)[axis]
        polar[axis] += step
        azimuth, elevation, distance = polar[0], float(np.clip(polar[1], -HIGHEST, HIGHEST)), max(float(polar[2]), 0.1)
        level = distance * math.cos(elevation)
        ahead = (level * math.cos(azimuth), level * math.sin(azimuth), distance * math.sin(elevation))
        x, y, z = np.add(camera.target, ahead).tolist()
        lamps = tuple(_around(camera.target, lamp, step) for lamp in state.shot.lamps) if axis == 0 else state.shot.lamps
        return _seen_by(replace(camera, location=(x, y, z)), replace(state, shot=replace(state.shot, lamps=lamps)), domain)

    return turn


def _around(centre: Vec3, lamp: Lamp, angle: float) -> Lamp:
    """A lamp turned about a vertical axis through a centre, by an angle in radians."""
    right, ahead, over = np.subtract(lamp.location, centre).tolist()
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y, z = np.add(centre, (cosine * right - sine * ahead, sine * right + cosine * ahead, over)).tolist()
    return replace(lamp, location=(x, y, z))


def _seen_by(camera: Camera, state: State, domain: Domain) -> State:
    """The state under another camera, with what stands on the ground where it is seen at the same place, and turned the same way."""
    shot = replace(state.shot, camera=camera)
    if domain.ground is None:
        return replace(state, shot=shot)
    objects = [_followed(obj, state.shot.viewpoint, camera, domain) for obj in state.scene.objects]
    return replace(state, scene=state.scene.with_objects(objects), shot=shot)


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
    return turned(domain.settled(obj.replaced(loc=(x, y, z))), turn, domain)


def _azimuth(place: np.ndarray, camera: Camera) -> float:
    """The direction, about Z in radians, from which a camera sees a place."""
    return math.atan2(camera.location[1] - place[1], camera.location[0] - place[0])

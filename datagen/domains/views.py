"""Objects as a camera sees them, and cameras and lamps as numbers that can be read off an image.

In the world's frame, where an object is in an image depends on the camera as much as on the object's location. Seen by the camera, it does
not: the first two numbers of a location are then a place in the image, and a rotation about the world's Z is relative to the direction in
which the camera sees the object. Both look the same wherever an object stands, and whatever the camera.

Places are in half longer sides of the frame, from its centre, to the right and up: in [-1, 1] within the frame. The third number of a
location is the height in metres in a domain with a ground, elsewhere the depth along the camera's axis.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from datagen.code.statements import Choice, Number, Statement
from datagen.domains.base import Domain
from datagen.domains.posed import ROTATION
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import look_at, project
from datagen.geometry.rotations import from_axis_angle, from_euler, to_euler
from datagen.scene import Camera, Lamp, Object, Value, Vec3

PLACE_DECIMALS = 5
IN_IMAGE = "half frames, m"
"""The unit of a location whose first two numbers are a place in the image."""
NEAREST, FARTHEST = 0.1, 100.0  # metres along a ray: where an impossible place is taken to be
CAMERA_LOCATION = Number("loc", (-1.0, -1.0, -90.0, math.log(1.5)), (1.0, 1.0, 90.0, math.log(30.0)), 5, "sine, cosine, degrees, log m")
"""A camera as its target sees it: sine and cosine of the azimuth, elevation, and the logarithm of the distance."""
CAMERA_TARGET = Number("target", (-5.0,) * 3, (5.0,) * 3, 3, "m")
CAMERA_LENS = Number("lens", (math.log(15.0),), (math.log(120.0),), 5, "log mm")
LAMP_STEP = Number("loc", (-20.0,) * 3, (20.0,) * 3, 3, "m from the domain's lamp")
LAMP_POWER = Number("power", (-4.0,), (4.0,), 4, "log of the domain's lamp's power")
LEAST_RATIO = 1e-3  # of a lamp's power to that of the domain's
MIRROR = np.diag([1.0, -1.0, 1.0])


def seen_statement(statement: Statement, domain: StagedDomain) -> Statement:
    """A statement of an object with its location declared as the camera sees it."""
    return Statement(
        statement.name, tuple(_place(a, domain) if isinstance(a, Number) and a.name == "loc" else a for a in statement.arguments)
    )


def _place(location: Number, domain: StagedDomain) -> Number:
    if domain.ground is not None:
        low, high = location.low[2], location.high[2]
    else:
        low, high = 0.0, 2 * math.dist(domain.camera.location, domain.camera.target)
    return Number("loc", (-1.0, -1.0, low), (1.0, 1.0, high), PLACE_DECIMALS, IN_IMAGE)


def seen_header(statement: Statement) -> Statement:
    """A statement of the header, declared as numbers that can be read off an image."""
    if statement.name == "camera":
        return Statement("camera", (CAMERA_LOCATION, CAMERA_TARGET, CAMERA_LENS))
    names = tuple(argument for argument in statement.arguments if isinstance(argument, Choice))
    return Statement(statement.name, (*names, LAMP_STEP, LAMP_POWER))


def as_seen(obj: Object, camera: Camera, domain: StagedDomain) -> Object:
    """A domain's object as a camera sees it; numbers rounded as declared."""
    location = domain.location(obj)
    seen = _with_canonical_rotation(turned(obj, -_bearing(location, camera), domain), domain)
    if "loc" not in obj.values:
        return seen
    x, y, depth = project(camera, 2, 2, np.array([location]))[0].tolist()
    third = location[2] if domain.ground is not None else depth
    return seen.replaced(loc=_place(_location_of(obj, domain), domain).rounded((x - 1.0, 1.0 - y, third)))


def from_seen(seen: Object, camera: Camera, domain: StagedDomain) -> Object:
    """The inverse of `as_seen` for any finite numbers, those of an impossible place included, in canonical form.

    In a domain with a ground, the object is put where the ray through its place is at the height at which it settles.
    """
    obj = seen
    if "loc" in seen.values:
        x, y, third = seen["loc"]
        across = camera.sensor_mm / (2 * camera.lens_mm)
        ray = look_at(camera.location, camera.target) @ (x * across, y * across, -1.0)
        step = third if domain.ground is None else _step_to(domain.settled(seen.replaced(loc=(0.0, 0.0, third)))["loc"][2], ray, camera)
        place = np.array(camera.location) + min(max(step, NEAREST), FARTHEST) * ray
        obj = seen.replaced(loc=tuple(place.tolist()))
        if domain.ground is not None:
            obj = domain.settled(obj)
    return domain.canonical_object(turned(obj, _bearing(domain.location(obj), camera), domain))


def _step_to(height: float, ray: np.ndarray, camera: Camera) -> float:
    """How far along a ray it reaches a height, `FARTHEST` if it does not."""
    down = camera.location[2] - height
    return down / -float(ray[2]) if down * -float(ray[2]) > 0 else FARTHEST


def _location_of(obj: Object, domain: StagedDomain) -> Number:
    declared = domain.statement(obj.statement).argument("loc")
    assert isinstance(declared, Number)
    return declared


def _bearing(location: Vec3, camera: Camera) -> float:
    """The direction on the ground, in degrees, in which a camera sees a location; 0 right below it."""
    return math.degrees(math.atan2(location[1] - camera.location[1], location[0] - camera.location[0]))


def turned(obj: Object, degrees: float, domain: Domain) -> Object:
    """An object turned about the world's Z where it stands; its rotation is not brought into canonical form."""
    if "rotation" not in obj.values:
        return obj
    if ROTATION not in domain.statement(obj.statement).arguments:
        return obj.replaced(rotation=float(obj["rotation"]) + degrees)
    about = from_axis_angle(np.array([0.0, 0.0, math.radians(degrees)]))
    return obj.replaced(rotation=tuple(to_euler(about @ from_euler(np.array(obj["rotation"]))).tolist()))


def _with_canonical_rotation(obj: Object, domain: StagedDomain) -> Object:
    """An object with its rotation in canonical form, and its other numbers as they were."""
    return obj.replaced(rotation=domain.canonical_object(obj)["rotation"]) if "rotation" in obj.values else obj


def mirrored(seen: Object, domain: StagedDomain) -> Object:
    """The object of the image flipped left to right; its asset, if it has one, must be symmetric in its own left and right."""
    flipped = seen
    if "loc" in seen.values:
        x, y, third = seen["loc"]
        flipped = seen.replaced(loc=(-x + 0.0, y, third))
    if "rotation" not in seen.values:
        return flipped
    if ROTATION in domain.statement(seen.statement).arguments:
        rotation: Value = tuple(to_euler(MIRROR @ from_euler(np.array(seen["rotation"])) @ MIRROR).tolist())
    else:
        rotation = -float(seen["rotation"])
    return _with_canonical_rotation(flipped.replaced(rotation=rotation), domain)


def camera_as_seen(obj: Object) -> Object:
    """A camera's statement with the numbers of `CAMERA_LOCATION`, `CAMERA_TARGET` and `CAMERA_LENS`."""
    back = np.subtract(obj["loc"], obj["target"])
    distance = max(float(np.linalg.norm(back)), NEAREST)
    azimuth, elevation = math.atan2(back[1], back[0]), math.degrees(math.asin(min(max(back[2] / distance, -1.0), 1.0)))
    loc = CAMERA_LOCATION.rounded((math.sin(azimuth), math.cos(azimuth), elevation, math.log(distance)))
    return obj.replaced(loc=loc, target=CAMERA_TARGET.rounded(obj["target"]), lens=CAMERA_LENS.rounded(math.log(float(obj["lens"]))))


def camera_from_seen(seen: Object) -> Object:
    """The inverse of `camera_as_seen` for any finite numbers."""
    sine, cosine, elevation, log_distance = seen["loc"]
    azimuth, up = math.atan2(sine, cosine), math.radians(min(max(elevation, -90.0), 90.0))
    distance = math.exp(min(max(log_distance, math.log(NEAREST)), math.log(FARTHEST)))
    toward = (math.cos(azimuth) * math.cos(up), math.sin(azimuth) * math.cos(up), math.sin(up))
    loc = tuple(t + distance * part for t, part in zip(seen["target"], toward, strict=True))
    return seen.replaced(loc=loc, lens=math.exp(min(max(float(seen["lens"]), 0.0), math.log(5000.0))))


def lamp_as_seen(obj: Object, own: Lamp) -> Object:
    """A lamp's statement relative to the domain's own lamp of that name."""
    ratio = max(float(obj["power"]) / own.power, LEAST_RATIO)
    step = tuple(at - before for at, before in zip(obj["loc"], own.location, strict=True))
    return obj.replaced(loc=LAMP_STEP.rounded(step), power=LAMP_POWER.rounded(math.log(ratio)))


def lamp_from_seen(seen: Object, own: Lamp) -> Object:
    """The inverse of `lamp_as_seen` for any finite numbers."""
    loc = tuple(before + step for step, before in zip(seen["loc"], own.location, strict=True))
    return seen.replaced(loc=loc, power=own.power * math.exp(min(max(float(seen["power"]), math.log(LEAST_RATIO)), 5.0)))


def header_of_mirrored(header: tuple[Object, ...]) -> tuple[Object, ...]:
    """The header, as seen, of an image flipped left to right: no lamps of the domain make such light, so that where the camera stands
    around its target and where the lamps are is unknown (NaN). How high the camera stands, how far away, and its lens stay."""
    unknown = math.nan
    flipped = []
    for obj in header:
        loc = (unknown, unknown, *obj["loc"][2:]) if obj.statement == "camera" else (unknown,) * 3
        flipped.append(replace(obj, values={**obj.values, "loc": loc}))
    return tuple(flipped)

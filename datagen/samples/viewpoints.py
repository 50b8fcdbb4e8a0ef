"""Cameras that need no file: a domain's own by name, and as many as are wanted around a scene."""

from __future__ import annotations

import math
from pathlib import Path

from datagen.domains.base import Domain
from datagen.errors import UserError, did_you_mean
from datagen.samples.cameras import load_cameras
from datagen.scene import Camera

TURNS = {"main": 0.0, "left": -90.0, "right": 90.0, "behind": 180.0}
"""By name, by how many degrees a camera is turned from the domain's own about the vertical through its target, counterclockwise from
above: to stand at the left of that camera's picture, at the right, or behind the scene."""
TOP = "top"
STEEPEST = 89.9  # degrees of elevation of the camera straight above: at 90, the picture's up would not be that of the domain's camera


def named_cameras(domain: Domain) -> dict[str, Camera]:
    """The cameras of a domain that have a name; none in a domain without a camera. They are as far away as the domain's own, ``main``."""
    main = domain.canonical_shot(320, 240, "draft").camera
    if main is None:
        return {}
    found = {name: turned(main, degrees, name) for name, degrees in TURNS.items()}
    x, y, _ = (here - there for here, there in zip(main.location, main.target, strict=True))
    heading, away = math.atan2(y, x), math.dist(main.location, main.target)
    flat, up = away * math.cos(math.radians(STEEPEST)), away * math.sin(math.radians(STEEPEST))
    return {**found, TOP: _placed(main, flat * math.cos(heading), flat * math.sin(heading), up, TOP)}


def turned(camera: Camera, degrees: float, name: str) -> Camera:
    """A camera turned about the vertical through its target; to the micrometre, but for 0 degrees, which change nothing."""
    x, y, z = (here - there for here, there in zip(camera.location, camera.target, strict=True))
    if degrees == 0:
        return Camera(camera.location, camera.target, camera.lens_mm, camera.sensor_mm, name)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _placed(camera, x * cos - y * sin, x * sin + y * cos, z, name)


def around(camera: Camera, count: int) -> tuple[Camera, ...]:
    """So many cameras, named by their numbers: `camera` first, then evenly around its target, counterclockwise from above."""
    return tuple(turned(camera, 360 * number / count, f"{number:0{len(str(count - 1))}d}") for number in range(count))


def find_cameras(text: str, domain: Domain) -> tuple[Camera, ...]:
    """The cameras of a file, or of names separated by commas (see `named_cameras`). `UserError` if there is neither."""
    path, known = Path(text), named_cameras(domain)
    if path.suffix == ".json" or path.exists() or len(path.parts) > 1:
        return load_cameras(path)
    if not known:
        raise UserError(f"the {domain.name} domain has no camera, so that none can be chosen")
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UserError(
                f"{text}: there is no such file, and no camera {name!r} of the {domain.name} domain: its cameras are {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
        if names.count(name) > 1:
            raise UserError(f"{text}: names the camera {name} twice")
    return tuple(known[name] for name in names)


def _placed(camera: Camera, x: float, y: float, z: float, name: str) -> Camera:
    """The camera with its location so many metres from its target."""
    at = tuple(round(there + off, 6) for there, off in zip(camera.target, (x, y, z), strict=True))
    return Camera((at[0], at[1], at[2]), camera.target, camera.lens_mm, camera.sensor_mm, name)

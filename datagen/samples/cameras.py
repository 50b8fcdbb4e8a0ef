"""Fixed cameras: reading them from a JSON file, and checking them against a scene's ground."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from datagen.domains.camera_ranges import CameraRanges
from datagen.geometry.ground import Sweep, bare_share, sweep_for
from datagen.io.declared import MAX_BYTES, FileName, as_declared, to_plain
from datagen.io.files import read_json
from datagen.io.untrusted import as_name, refuse
from datagen.scene import Camera, Vec3

MAX_CAMERAS = 64
LENS_MM = (1.0, 5000.0)  # Blender clamps shorter lenses
SENSOR_MM = (1.0, 100.0)
CLEARANCE = 0.1  # metres: Blender clips surfaces nearer to the camera
REACH = 500.0  # metres from the origin; Blender's cameras see 1000 m far


class CameraFields(Struct, forbid_unknown_fields=True):
    """One camera in a file of cameras: see `Camera`, whose defaults apply to missing fields."""

    location: Vec3
    target: Vec3 = Camera.target
    lens_mm: float = Camera.lens_mm
    sensor_mm: float = Camera.sensor_mm


CamerasFile = dict[FileName, CameraFields]
"""The content of a file of cameras: the cameras by name."""


def load_cameras(path: Path) -> tuple[Camera, ...]:
    """The cameras in a JSON file ``{"name": {"location": [x, y, z], "target": [x, y, z], "lens_mm": 35, "sensor_mm": 32}, ...}``.

    Location and target are in metres. Only the location is required: the target defaults to the origin, lens and sensor to 35 and 32 mm.
    Raises a `UserError` that names the file and the field. Whether a camera suits the domain is checked later, by `check_cameras`.
    """
    cameras = cameras_from_json(read_json(path, MAX_BYTES), str(path))
    if not cameras:
        refuse(str(path), "its content", {}, "at least one camera")
    return cameras


def cameras_from_json(data: Any, where: str) -> tuple[Camera, ...]:
    """The inverse of `cameras_to_json`; raises `UserError` that begins with `where` and names the field."""
    named = as_declared(data, CamerasFile, where)
    return tuple(Camera(c.location, c.target, c.lens_mm, c.sensor_mm, name) for name, c in named.items())


def cameras_to_json(cameras: tuple[Camera, ...]) -> dict[str, Any]:
    """The content of a file of cameras."""
    return {c.name: to_plain(CameraFields(c.location, c.target, c.lens_mm, c.sensor_mm)) for c in cameras}


def extremes(camera: Camera, jitter: float) -> list[Camera]:
    """The camera alone or, with jitter, at the eight corners of the cube in which it may stand."""
    if jitter == 0:
        return [camera]
    steps = itertools.product((-jitter, jitter), repeat=3)
    return [moved(camera, (x, y, z)) for x, y, z in steps]


def moved(camera: Camera, step: tuple[float, float, float]) -> Camera:
    """The camera moved by `step` metres, rounded to the micrometre, and still looking at the same target."""
    x, y, z = (round(at + off, 6) for at, off in zip(camera.location, step, strict=True))
    return Camera((x, y, z), camera.target, camera.lens_mm, camera.sensor_mm, camera.name)


Frame = tuple[int, int]
"""Width and height in pixels."""


def check_cameras(cameras: tuple[Camera, ...], jitter: float, ground: Sweep | None, frame: Frame, where: str) -> None:
    """Raise a `UserError` that begins with `where` and names the field if a camera cannot take pictures."""
    if not 1 <= len(cameras) <= MAX_CAMERAS or len({c.name for c in cameras}) < len(cameras):
        refuse(where, "the list of cameras", [c.name for c in cameras], f"1 to {MAX_CAMERAS} different names")
    for camera in cameras:
        _check(camera, jitter, ground, frame, where)


def _check(camera: Camera, jitter: float, ground: Sweep | None, frame: Frame, where: str) -> None:
    name = as_name(camera.name, where, "a camera's name")
    bounds: Mapping[str, tuple[float, tuple[float, float]]] = {
        "lens_mm": (camera.lens_mm, LENS_MM),
        "sensor_mm": (camera.sensor_mm, SENSOR_MM),
        **{f"{field}[{i}]": (v, (-REACH, REACH)) for field in ("location", "target") for i, v in enumerate(getattr(camera, field))},
    }
    for field, (value, (low, high)) in bounds.items():
        if not low <= value <= high:
            refuse(where, f"{name}.{field}", value, f"in [{low:g}, {high:g}] {'mm' if field.endswith('_mm') else 'm'}")
    off = max(abs(a - b) for a, b in zip(camera.location, camera.target, strict=True))
    if off < jitter + CLEARANCE:
        allowed = f"at least {jitter + CLEARANCE:g} m from the camera's location along an axis (the jitter, and {CLEARANCE:g})"
        refuse(where, f"{name}.target", list(camera.target), allowed)
    if ground is not None and any(sweep_for(ground, at, *frame).room(at.location) < CLEARANCE for at in extremes(camera, jitter)):
        allowed = f"at least {CLEARANCE:g} m above the ground and in front of the backdrop, the jitter included"
        refuse(where, f"{name}.location", list(camera.location), allowed)


def bare_spots(cameras: tuple[Camera, ...], jitter: float, ground: Sweep, frame: Frame) -> list[str]:
    """A warning for each camera that looks past the ground and the backdrop, or could after jitter: that part of its images is black."""
    worst = {camera.name: max(bare_share(ground, at, *frame) for at in extremes(camera, jitter)) for camera in cameras}
    return [
        f"the camera {name!r} looks past the ground and the backdrop: {'up to ' if jitter else ''}{share:.1%} of its frame will be black; "
        "aim it lower, or take a longer lens"
        for name, share in worst.items()
        if share
    ]


def bare_views(ranges: CameraRanges, ground: Sweep, frame: Frame, split: str) -> list[str]:
    """A warning if cameras at the ends of a split's ranges look past the ground and the backdrop; none if they do not."""
    worst = max(bare_share(ground, at, *frame) for at in ranges.corners())
    if worst == 0:
        return []
    return [
        f"the split {split!r} draws cameras that look past the ground and the backdrop: up to {worst:.1%} of a frame will be black; "
        "let them stand higher or nearer, or take longer lenses"
    ]

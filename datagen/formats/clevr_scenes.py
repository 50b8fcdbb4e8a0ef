"""CLEVR's scene files (Johnson et al. 2017), written and read.

A file is ``{"info": {...}, "scenes": [...]}``; a scene names its image, six directions, four relations as adjacency lists, and its objects.
What the published generator does and its files do not say, as its source and its issues 5 and 36 tell
(github.com/facebookresearch/clevr-dataset-gen):

- ``pixel_coords`` are x and y rounded to whole pixels, from the top left corner, and the depth in metres;
- j is in ``relationships[r][i]`` when object j lies more than 0.2 m from object i along the direction r;
- ``rotation`` is called degrees, but was handed to Blender as radians: so many radians is what the images show. A scene of ours
  says ``"rotation_unit": "degrees"`` and means it;
- the frame's size is not recorded (the published images are 480x320); a scene of ours says ``"image_size": [width, height]``;
- nor is the camera; a scene of ours says ``"camera": {"name", "location", "target", "lens_mm", "sensor_mm"}``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from datagen.camera import ground_directions
from datagen.cameras import cameras_from_json, cameras_to_json, check_cameras
from datagen.domain import Choice, Domain
from datagen.errors import UserError
from datagen.sample import Sample
from datagen.scene import FRAME_SIDES, Camera, Object, Scene, Vec3
from datagen.untrusted import as_text

MARGIN = 0.2  # metres along a direction before a relation holds (the published generator's epsilon)
USUAL_FRAME = (320, 240)  # the published generator's
RELATIONS = ("right", "behind", "front", "left")
_SPLIT = re.compile(r"[A-Za-z0-9_-]{1,32}")  # it becomes part of file names
MAX_NAME = 80  # characters of an image's name: a tar's plain header holds 100


def published_directions(camera: Camera) -> dict[str, list[float]]:
    """Unit vectors of right, behind, above, below, left and front on the ground plane, as `camera` sees it."""
    vectors = {**ground_directions(camera), "above": (0.0, 0.0, 1.0), "below": (0.0, 0.0, -1.0)}
    return {name: [x + 0.0 for x in vector] for name, vector in vectors.items()}


def relationships(directions: Mapping[str, list[float]], places: np.ndarray) -> dict[str, list[list[int]]]:
    """Adjacency lists of objects at `places` (N, 3), in metres: ``[r][i]`` are the objects that stand in relation r to object i."""
    steps = places[None, :, :] - places[:, None, :]  # [i, j] leads from i to j
    found = {}
    for name in RELATIONS:
        along = steps @ np.array(directions[name])
        found[name] = [[int(j) for j in np.flatnonzero(row > MARGIN)] for row in along]
    return found


def published_scene(sample: Sample, index: int, filename: str) -> dict[str, Any]:
    """A sample as one entry of ``scenes``."""
    directions = published_directions(sample.shot.viewpoint)
    places = np.array([sample.domain.location(obj) for obj in sample.scene]).reshape(-1, 3)
    objects = []
    for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
        x, y, depth = label["pixel_coords"]
        words = {choice.name: obj[choice.name] for choice in sample.domain.statement(obj.statement).choices}
        numbers = {"rotation": obj["rotation"], "3d_coords": list(obj["loc"]), "pixel_coords": [round(x), round(y), depth]}
        objects.append({**words, **numbers})
    return {
        "image_index": index,
        "image_filename": filename,
        "split": split_of(sample),
        "directions": directions,
        "relationships": relationships(directions, places),
        "objects": objects,
        "image_size": [sample.shot.width, sample.shot.height],
        "camera": {"name": sample.shot.viewpoint.name, **cameras_to_json((sample.shot.viewpoint,))[sample.shot.viewpoint.name]},
        "rotation_unit": "degrees",
    }


def split_of(sample: Sample) -> str:
    """The split of a sample's record; the published generator's ``new`` if it has none. `UserError` if it fits no file's name."""
    split = str(sample.record.get("split") or "new")
    if not _SPLIT.fullmatch(split):
        raise UserError(f"sample {sample.key}: the split {split!r} cannot be part of a file's name")
    return split


@dataclass(frozen=True)
class PublishedScene:
    """A scene as read: canonical, with the image it belongs to.

    ``points`` (N, 3) in metres, ``pixels`` (N, 2) and ``depths`` (N,) in metres, or None where the file has none, are in the file's order
    of objects. ``frame`` is (width, height) and ``camera`` the camera, where the file says them; ``digest`` is the SHA-256 of the whole
    entry.
    """

    key: str
    filename: str
    split: str | None
    scene: Scene
    points: np.ndarray
    pixels: np.ndarray | None
    depths: np.ndarray | None
    frame: tuple[int, int] | None
    camera: Camera | None
    digest: str


def read_scenes(path: Path, domain: Domain) -> list[PublishedScene]:
    """The scenes of a file: CLEVR's ``{"info", "scenes"}``, or a single scene's JSON. `UserError` with place and expectation."""
    entries = _entries(path)
    scenes = [_scene(_Place(f"{path}: scene {number}", entry), domain) for number, entry in enumerate(entries)]
    seen: set[str] = set()
    for scene in scenes:
        if scene.key in seen:
            raise UserError(f"{path}: two scenes name the image {scene.key}")
        seen.add(scene.key)
    return scenes


def _entries(path: Path) -> list[Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); a CLEVR scenes file is expected") from None
    if isinstance(data, dict) and "objects" in data:
        return [data]
    scenes = data.get("scenes") if isinstance(data, dict) else None
    if not isinstance(scenes, list) or not scenes:
        raise UserError(f'{path}: a CLEVR scenes file is expected, {{"info": ..., "scenes": [...]}}, or one scene with its "objects"')
    return scenes


@dataclass(frozen=True)
class _Place:
    """A value of the file, and where it is, for messages."""

    where: str
    value: Any

    def refuse(self, expected: str) -> UserError:
        found = json.dumps(self.value)
        return UserError(f"{self.where}: {expected} is expected, not {found if len(found) <= 60 else found[:57] + '...'}")

    def field(self, name: str) -> _Place:
        """A field of an object; what is missing is null."""
        if not isinstance(self.value, dict):
            raise self.refuse("an object")
        return _Place(f"{self.where}, {name}", self.value.get(name))

    def items(self) -> Iterator[_Place]:
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        return (_Place(f"{self.where} {number}", value) for number, value in enumerate(self.value))

    def word(self, choice: Choice) -> str:
        if not isinstance(self.value, str) or self.value not in choice.words:
            raise self.refuse(f"one of {', '.join(choice.words)}")
        return self.value

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not abs(self.value) <= 1e6:
            raise self.refuse("a finite number")
        return float(self.value)

    def numbers(self, least: int) -> list[float]:
        values = [place.number() for place in self.items()]
        if not least <= len(values) <= 3:
            raise self.refuse(f"a list of {least} numbers" if least == 3 else "a list of two or three numbers")
        return values


def _scene(place: _Place, domain: Domain) -> PublishedScene:
    filename = _filename(place.field("image_filename"))
    named = _Place(f"{place.where} ({filename})", place.value)
    unit = named.field("rotation_unit")
    if unit.value not in (None, "degrees", "radians"):
        raise unit.refuse("degrees or radians")
    split = named.field("split")
    if split.value is not None and not (isinstance(split.value, str) and _SPLIT.fullmatch(split.value)):
        raise split.refuse("one word of letters, digits, - and _")
    objects = list(named.field("objects").items())
    pixels, depths = _pixels(objects)
    frame = _frame(named.field("image_size"))
    return PublishedScene(
        key=PurePosixPath(filename).stem,
        filename=filename,
        split=split.value,
        scene=domain.canonical(Scene(domain.name, tuple(_object(o, domain, unit.value == "degrees") for o in objects))),
        points=np.array([o.field("3d_coords").numbers(3) for o in objects]).reshape(-1, 3),
        pixels=pixels,
        depths=depths,
        frame=frame,
        camera=_camera(named.field("camera"), frame, domain),
        digest=hashlib.sha256(json.dumps(place.value, sort_keys=True).encode()).hexdigest(),
    )


def _object(place: _Place, domain: Domain, degrees: bool) -> Object:
    """One object as a statement of the domain: its words by their names, its place, its turn about Z in degrees."""
    [statement] = domain.statements
    words = {choice.name: place.field(choice.name).word(choice) for choice in statement.choices}
    turn = place.field("rotation").number()
    x, y, z = place.field("3d_coords").numbers(3)
    location: Vec3 = (x, y, z)
    return Object(statement.name, {**words, "loc": location, "rotation": turn if degrees else math.degrees(turn) % 360.0})


def _pixels(objects: list[_Place]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(N, 2) where every object has pixel coordinates, and (N,) where all of them have a depth, else None."""
    places = [o.field("pixel_coords") for o in objects]
    if any(place.value is None for place in places):
        return None, None
    rows = [place.numbers(2) for place in places]
    depths = np.array([row[2] for row in rows]) if all(len(row) == 3 for row in rows) else None
    return np.array([row[:2] for row in rows]).reshape(-1, 2), depths


def _camera(place: _Place, frame: tuple[int, int] | None, domain: Domain) -> Camera | None:
    if place.value is None:
        return None
    if not isinstance(place.value, dict):
        raise place.refuse("a camera {name, location, target, lens_mm, sensor_mm}")
    fields = dict(place.value)
    name = as_text(fields.pop("name", Camera.name), place.where, "name")
    cameras = cameras_from_json({name: fields}, place.where)
    check_cameras(cameras, 0.0, domain.ground, frame or USUAL_FRAME, place.where)
    return cameras[0]


def _frame(place: _Place) -> tuple[int, int] | None:
    if place.value is None:
        return None
    sides = place.value
    low, high = FRAME_SIDES
    if not isinstance(sides, list) or len(sides) != 2 or not all(type(side) is int and low <= side <= high for side in sides):
        raise place.refuse(f"width and height in pixels, from {low} to {high}")
    return sides[0], sides[1]


def _filename(place: _Place) -> str:
    """An image's base name, fit to name a sample as well: one dot, nothing that leads out of a folder."""
    name = place.value
    if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME or name.count(".") != 1 or name.startswith("."):
        raise place.refuse(f"the base name of an image file, such as CLEVR_val_000000.png, of at most {MAX_NAME} characters,")
    if PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise place.refuse("the base name of an image file, without a folder,")
    return name

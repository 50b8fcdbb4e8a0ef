"""CLEVR's scene files (Johnson et al. 2017), written and read.

A file is ``{"info": {...}, "scenes": [...]}``; a scene has its image's name, six directions, four relations as adjacency lists, and its
objects. The files leave the following out; it is known from the published generator's source and its issues 5 and 36
(github.com/facebookresearch/clevr-dataset-gen):

- ``pixel_coords`` are x and y rounded to whole pixels, from the top left corner, and the depth in metres;
- j is in ``relationships[r][i]`` when object j lies more than 0.2 m from object i along the direction r;
- ``rotation`` is meant in degrees, but was passed to Blender as radians, so the images show it in radians. Scenes exported here are in
  degrees and have ``"rotation_unit": "degrees"``;
- the frame's size is not recorded (the published images are 480x320); scenes exported here have ``"image_size": [width, height]``;
- nor is the camera; scenes exported here have ``"camera": {"name", "location", "target", "lens_mm", "sensor_mm"}``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, field, structs

from datagen.code.grammar import MAX_STATEMENTS
from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.geometry.camera import ground_directions
from datagen.io.declared import FileName, as_declared
from datagen.io.files import read_json
from datagen.io.untrusted import refuse
from datagen.samples.cameras import CameraFields, cameras_to_json, check_cameras
from datagen.samples.sample import Sample
from datagen.scene import FRAME_SIDES, Camera, Object, Scene

MARGIN = 0.2  # metres along a direction before a relation holds (the published generator's epsilon)
USUAL_FRAME = (320, 240)  # the published generator's default
RELATIONS = ("right", "behind", "front", "left")
SPLIT_PATTERN = r"^[A-Za-z0-9_-]{1,32}\Z"  # a split's name becomes part of file names
MOST_BYTES = 1 << 28  # of a file of scenes; the largest that is published has two thirds of it
MAX_NAME = 80  # characters of an image's name: a tar's plain header holds 100


def published_directions(camera: Camera) -> dict[str, list[float]]:
    """Unit vectors of right, behind, left and front on the ground plane, as `camera` sees it, and of above and below."""
    vectors = {**ground_directions(camera), "above": (0.0, 0.0, 1.0), "below": (0.0, 0.0, -1.0)}
    return {name: [x + 0.0 for x in vector] for name, vector in vectors.items()}


def relationships(directions: Mapping[str, list[float]], places: np.ndarray) -> dict[str, list[list[int]]]:
    """Adjacency lists of objects at `places` (N, 3), in metres: ``[r][i]`` are the objects that stand in relation r to object i."""
    steps = places[None, :, :] - places[:, None, :]  # [i, j] is the vector from i to j
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
    """The split in a sample's record; without one ``new``, the generator's default. `UserError` if it cannot be part of a file name."""
    split = str(sample.record.get("split") or "new")
    if not re.search(SPLIT_PATTERN, split):
        raise UserError(f"sample {sample.key}: the split {split!r} cannot be part of a file's name")
    return split


Metres = Annotated[float, Meta(ge=-1e6, le=1e6)]
FrameSide = Annotated[int, Meta(ge=FRAME_SIDES[0], le=FRAME_SIDES[1])]


class ObjectEntry(Struct, kw_only=True):
    """One of a scene's ``objects``. Its words are checked against CLEVR's vocabulary later, in `read_scenes`."""

    color: str
    material: str
    shape: str
    size: str
    rotation: Metres
    location: tuple[Metres, Metres, Metres] = field(name="3d_coords")
    pixel_coords: Annotated[list[Metres], Meta(min_length=2, max_length=3)] | None = None
    """X and y in pixels, and the depth in metres if it is there."""


class CameraEntry(CameraFields, kw_only=True):
    """A scene's camera, in scenes exported here."""

    name: FileName = Camera.name


class SceneEntry(Struct, kw_only=True):
    """One of ``scenes``: the fields that are read. See the module's docstring."""

    image_filename: str
    objects: Annotated[list[ObjectEntry], Meta(max_length=MAX_STATEMENTS)]
    split: Annotated[str, Meta(pattern=SPLIT_PATTERN)] | None = None
    rotation_unit: Literal["degrees", "radians"] | None = None
    image_size: tuple[FrameSide, FrameSide] | None = None
    camera: CameraEntry | None = None

    def __post_init__(self) -> None:
        name = self.image_filename
        plain = name.isprintable() and len(name) <= MAX_NAME and name.count(".") == 1 and not name.startswith(".")
        if not plain or PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
            raise ValueError(
                f"image_filename is {name!r:.100}, but must be the base name of an image file, without a folder, such as "
                f"CLEVR_val_000000.png, of at most {MAX_NAME} characters and with one dot"
            )


@dataclass(frozen=True)
class PublishedScene:
    """A scene as read: canonical, with the name of its image.

    ``points`` (N, 3) in metres, ``pixels`` (N, 2) and ``depths`` (N,) in metres, None if any object lacks them, are in the file's order
    of objects. ``frame`` (width, height) and ``camera`` are None if not recorded; ``digest`` is the SHA-256 of the whole entry.
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
    """The scenes of a file: CLEVR's ``{"info", "scenes"}``, or a single scene's JSON. `UserError` names the place and what is expected."""
    entries = _entries(path)
    scenes = [_scene(entry, domain, f"{path}: scene {number}") for number, entry in enumerate(entries)]
    seen: set[str] = set()
    for scene in scenes:
        if scene.key in seen:
            raise UserError(f"{path}: two scenes name the image {scene.key}")
        seen.add(scene.key)
    return scenes


def _entries(path: Path) -> list[Any]:
    data = read_json(path, MOST_BYTES)
    if isinstance(data, dict) and "objects" in data:
        return [data]
    scenes = data.get("scenes") if isinstance(data, dict) else None
    if not isinstance(scenes, list) or not scenes:
        raise UserError(f'{path}: a CLEVR scenes file is expected, {{"info": ..., "scenes": [...]}}, or one scene with its "objects"')
    return scenes


def _scene(content: Any, domain: Domain, where: str) -> PublishedScene:
    entry = as_declared(content, SceneEntry, where)
    where = f"{where} ({entry.image_filename})"
    seen = [obj.pixel_coords for obj in entry.objects if obj.pixel_coords is not None]
    pixels, depths = None, None
    if len(seen) == len(entry.objects):
        pixels = np.array([row[:2] for row in seen]).reshape(-1, 2)
        depths = np.array([row[2] for row in seen]) if all(len(row) == 3 for row in seen) else None
    degrees = entry.rotation_unit == "degrees"
    objects = tuple(_object(obj, domain, degrees, where, f"objects[{number}]") for number, obj in enumerate(entry.objects))
    return PublishedScene(
        key=PurePosixPath(entry.image_filename).stem,
        filename=entry.image_filename,
        split=entry.split,
        scene=domain.canonical(Scene(domain.name, objects)),
        points=np.array([obj.location for obj in entry.objects]).reshape(-1, 3),
        pixels=pixels,
        depths=depths,
        frame=entry.image_size,
        camera=_camera(entry, domain, where),
        digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )


def _object(entry: ObjectEntry, domain: Domain, degrees: bool, where: str, field: str) -> Object:
    """One object as a statement of the domain; its rotation is converted from radians unless `degrees`."""
    [statement] = domain.statements
    words = {choice.name: getattr(entry, choice.name) for choice in statement.choices}
    for choice in statement.choices:
        if words[choice.name] not in choice.words:
            refuse(where, f"{field}.{choice.name}", words[choice.name], f"one of {', '.join(choice.words)}")
    turn = entry.rotation if degrees else math.degrees(entry.rotation) % 360.0
    return Object(statement.name, {**words, "loc": entry.location, "rotation": turn})


def _camera(entry: SceneEntry, domain: Domain, where: str) -> Camera | None:
    if entry.camera is None:
        return None
    camera = Camera(**structs.asdict(entry.camera))
    check_cameras((camera,), 0.0, domain.ground, entry.image_size or USUAL_FRAME, f"{where}, camera")
    return camera

"""The declaration of a sample's record, the content of its ``.json``. Records from outside are checked against it before use.

msgspec reads and checks a record in the time that Python's ``json`` needs to read it.
"""

from __future__ import annotations

import codecs
import math
from typing import Annotated, Any, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from datagen.errors import UserError
from datagen.geometry.camera import intrinsics, world_to_camera
from datagen.io.declared import MAX_INDEX, Count, as_declared
from datagen.io.json_text import decode_json
from datagen.samples.labels import pixels_and_box, runs_of
from datagen.scene import FRAME_SIDES, Camera, Quality, Shot

T = TypeVar("T")

MAX_SEED = 2**32  # SeedSequence splits larger numbers into words, where neighbouring streams could meet
MAX_ATTEMPT = 1_000_000  # far above the tries that any draw makes
MAX_HEADER = 128  # a camera, and more lamps than any shot has
MAX_RUNS = 2**20  # in a mask: 128 for each column of the widest frame
MAX_BYTES = 2**24  # of a record, ten times the size for a thousand objects; reading some JSON takes 50 times its size in memory

Coordinate = Annotated[float, Meta(ge=-1e9, le=1e9)]  # metres or pixels: no image needs larger numbers
Positive = Annotated[float, Meta(gt=0, le=1e9)]
Side = Annotated[int, Meta(ge=1, le=FRAME_SIDES[1])]
Point = tuple[Coordinate, Coordinate, Coordinate]
Name = Annotated[str, Meta(max_length=200)]


NEAREST_TARGET = 1e-6
"""Metres from a camera to its target, at least: much nearer, the direction between them has no digits left, or none at all."""


class CameraRecord(Struct, forbid_unknown_fields=True):
    """See `datagen.scene.Camera`, whose defaults apply to fields that older data sets do not record."""

    location: Point
    target: Point = Camera.target
    lens_mm: Positive = Camera.lens_mm
    sensor_mm: Positive = Camera.sensor_mm
    name: Name = Camera.name

    def __post_init__(self) -> None:
        if math.dist(self.location, self.target) < NEAREST_TARGET:
            raise ValueError("a camera that looks at where it stands")
        if not 1e-3 <= self.lens_mm / self.sensor_mm <= 1e5:  # wider than the bounds in `datagen.samples.cameras`
            raise ValueError(f"a lens of {self.lens_mm:g} mm on a sensor of {self.sensor_mm:g} mm, which is no camera")


class LampRecord(Struct, forbid_unknown_fields=True):
    """See `datagen.scene.Lamp`."""

    name: Name
    location: Point
    size: Annotated[float, Meta(ge=0, le=1e9)]
    power: Coordinate
    color: Point


class ShotRecord(Struct):
    """See `datagen.scene.Shot`."""

    width: Side
    height: Side
    quality: Quality
    camera: CameraRecord | None
    lamps: Annotated[list[LampRecord], Meta(max_length=64)]
    noise_seed: Count


Row3 = tuple[Coordinate, Coordinate, Coordinate]
Row4 = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class MatricesRecord(Struct):
    """See `datagen.geometry.camera.intrinsics` and `world_to_camera`; numbers to nine decimals."""

    K: tuple[Row3, Row3, Row3]
    world_to_camera: tuple[Row4, Row4, Row4, Row4]


class SceneRecord(Struct):
    """Each object has its ``statement`` and a value per argument; `Domain.check_form` and `Domain.check` hold them against the domain."""

    domain: str
    objects: list[dict[str, str | Coordinate | list[Coordinate]]]
    header: Annotated[list[dict[str, str | Coordinate | list[Coordinate]]], Meta(max_length=MAX_HEADER)] | UnsetType = UNSET
    """The statements before the objects, in the same form: the camera and lamps that the code states."""


class Mask(Struct):
    """COCO's uncompressed run-length code of a whole frame: run lengths down the columns, beginning with zeros."""

    size: tuple[Side, Side]
    counts: Annotated[list[Count], Meta(max_length=MAX_RUNS)]


class Label(Struct):
    """See `datagen.samples.labels.label_objects`."""

    pixel_coords: Point
    visible_pixels: Count
    bbox: tuple[Count, Count, Count, Count]
    mask: Mask


class PhotographRecord(Struct):
    """The part of a record that re-rendering needs."""

    domain: str
    shot: ShotRecord


class SampleRecord(PhotographRecord):
    """A complete record. ``labels`` is parallel to the scene's objects; ``index``, ``seed`` and ``attempt`` are null if no seed made the
    scene, ``split`` if it is unknown. ``matrices``, which follow from the shot, are there in rendered code and where a scene has several
    views; there, ``scene_index`` counts scenes, and ``view`` the views of one."""

    scene: SceneRecord
    labels: list[Label]
    index: Annotated[int, Meta(ge=0, le=MAX_INDEX)] | None = None
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)] | None = None
    attempt: Annotated[int, Meta(ge=0, le=MAX_ATTEMPT)] | None = None
    split: Name | None = None
    scene_index: Annotated[int, Meta(ge=0, le=MAX_INDEX)] | None = None
    view: Annotated[int, Meta(ge=0, le=MAX_INDEX)] | None = None
    matrices: MatricesRecord | None = None


def matrices_of(shot: Shot) -> dict[str, Any]:
    """The field ``matrices`` of a record; none for a shot without a camera."""
    if shot.camera is None:
        return {}
    found = {"K": intrinsics(shot.camera, shot.width, shot.height), "world_to_camera": world_to_camera(shot.camera)}
    return {"matrices": {name: (matrix.round(9) + 0.0).tolist() for name, matrix in found.items()}}


def read_sample_record(data: bytes, where: str) -> dict[str, Any]:
    """The record in a sample's ``.json`` as plain data, checked against `SampleRecord` and its own masks. `UserError` that begins with
    `where`."""
    record, declared = _read(data, SampleRecord, where)
    problem = _disagreement(declared)
    if problem:
        raise UserError(f"{where} is damaged: {problem}")
    return record


def read_photograph_record(data: bytes, where: str) -> dict[str, Any]:
    """As `read_sample_record`, but only the fields of `PhotographRecord` are checked."""
    return _read(data, PhotographRecord, where)[0]


def _read(data: bytes, kind: type[T], where: str) -> tuple[dict[str, Any], T]:
    if len(data) > MAX_BYTES:
        raise UserError(f"{where} is damaged: a record of {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        record = decode_json(data.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise UserError(f"{where} is damaged: its record is not JSON ({error})") from None
    return record, as_declared(record, kind, f"{where} is damaged")


def _disagreement(record: SampleRecord) -> str | None:
    """A description of the first contradiction within a record; None if there is none."""
    if record.scene.domain != record.domain:
        return f"the domain is {record.domain!r}, but its scene's {record.scene.domain!r}"
    if not all(isinstance(entry.get("statement"), str) for entry in (*record.scene.objects, *(record.scene.header or ()))):
        return "an object of its scene, or a statement before them, does not name its statement"
    if len(record.labels) != len(record.scene.objects):
        return f"{len(record.scene.objects)} objects, but {len(record.labels)} labels"
    height, width = record.shot.height, record.shot.width
    for number, label in enumerate(record.labels, 1):
        if label.mask.size != (height, width) or sum(label.mask.counts) != height * width:
            return f"the mask of object {number} is not one of {width}x{height} pixels"
        stated = {"visible_pixels": label.visible_pixels, "bbox": list(label.bbox)}
        shown = pixels_and_box(runs_of(label.mask.counts), height)
        if stated != shown:
            wrong = next(name for name in shown if stated[name] != shown[name])
            return f"{wrong} of object {number} is {stated[wrong]}, but its mask's is {shown[wrong]}"
    return None

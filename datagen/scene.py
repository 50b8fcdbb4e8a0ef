"""A scene as plain data, and the shot that it is photographed with.

A `Scene` is the content of graphics code and nothing else. A `Shot` is everything else an image depends on:
frame, quality, camera, lamps, noise. Scene and shot together determine the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from datagen.errors import UserError

Vec3 = tuple[float, float, float]
Value = str | float | tuple[float, ...]
Quality = Literal["draft", "standard", "reference"]
QUALITIES: tuple[str, ...] = get_args(Quality)
FRAME_SIDES = (16, 8192)
"""The shortest and the longest side of a frame that verbs accept, in pixels."""


def check_frame(width: int, height: int) -> None:
    """`UserError` if a side of a frame, in pixels, is outside `FRAME_SIDES`."""
    low, high = FRAME_SIDES
    if not (low <= width <= high and low <= height <= high):
        raise UserError(f"a frame of {width}x{height} pixels: from {low} to {high} each way are possible")


@dataclass(frozen=True)
class Object:
    """One statement of graphics code: its name and the value of every argument."""

    statement: str
    values: Mapping[str, Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __hash__(self) -> int:
        return hash((self.statement, frozenset(self.values.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        return Object, (self.statement, dict(self.values))

    def replaced(self, **values: Value) -> Object:
        """A copy with some values replaced."""
        return Object(self.statement, {**self.values, **values})


@dataclass(frozen=True, eq=False)
class Scene:
    """The objects of one image. Two scenes are equal when they hold the same objects, in whatever order.

    ``header`` holds the statements that stand before the objects, which say how the scene is photographed: its camera and lamps. It is
    empty where the code leaves that open.
    """

    domain: str
    objects: tuple[Object, ...]
    header: tuple[Object, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scene):
            return NotImplemented
        return all(
            one == another
            for one, another in (
                (self.domain, other.domain),
                (Counter(self.objects), Counter(other.objects)),
                (Counter(self.header), Counter(other.header)),
            )
        )

    def __hash__(self) -> int:
        return hash((self.domain, frozenset(self.objects), frozenset(self.header)))

    def __len__(self) -> int:
        return len(self.objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def with_objects(self, objects: Iterable[Object]) -> Scene:
        """The scene with other objects, photographed in the same way."""
        return replace(self, objects=tuple(objects))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: ``{"domain", "objects": [{"statement", argument: value, ...}]}``, with ``header`` in the form of ``objects`` if there
        is one."""
        plain = {"domain": self.domain, "objects": _statements_to_json(self.objects)}
        return {**plain, "header": _statements_to_json(self.header)} if self.header else plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Scene:
        """The inverse of `to_json`. Does not check the scene against its domain: that is `Domain.check`."""
        return Scene(data["domain"], _statements_from_json(data["objects"]), _statements_from_json(data.get("header", ())))


def _statements_to_json(objects: Iterable[Object]) -> list[dict[str, Any]]:
    return [_lists({"statement": obj.statement, **obj.values}) for obj in objects]


def _statements_from_json(data: Iterable[Mapping[str, Any]]) -> tuple[Object, ...]:
    return tuple(
        Object(entry["statement"], _tuples({name: value for name, value in entry.items() if name != "statement"})) for entry in data
    )


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. ``location`` and ``target`` in metres, world frame, Z up; the image's up is the world's.

    ``lens_mm`` is the focal length, ``sensor_mm`` the width of the frame's longer side on the sensor (Blender's sensor fit *auto*).
    """

    location: Vec3
    target: Vec3 = (0.0, 0.0, 0.0)
    lens_mm: float = 35.0
    sensor_mm: float = 32.0
    name: str = "main"


@dataclass(frozen=True)
class Lamp:
    """A square area lamp facing the origin.

    ``location`` in metres, ``size`` its edge in metres, ``power`` in watts, ``color`` linear RGB.
    """

    name: str
    location: Vec3
    size: float
    power: float
    color: Vec3


@dataclass(frozen=True)
class Shot:
    """How a scene is photographed: ``width`` and ``height`` in pixels, ``noise_seed`` for the path tracer, no ``camera`` in a plane."""

    width: int
    height: int
    quality: Quality
    camera: Camera | None
    lamps: tuple[Lamp, ...]
    noise_seed: int

    @property
    def viewpoint(self) -> Camera:
        """The camera; ValueError where there is none."""
        if self.camera is None:
            raise ValueError("this shot has no camera")
        return self.camera

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, tuples as lists."""
        return _lists(asdict(self))

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Shot:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError on anything else."""
        if data["quality"] not in QUALITIES:
            raise ValueError(f"quality {data['quality']!r} is none of {', '.join(QUALITIES)}")
        camera = None if data["camera"] is None else Camera(**_tuples(data["camera"]))
        lamps = tuple(Lamp(**_tuples(lamp)) for lamp in data["lamps"])
        return Shot(int(data["width"]), int(data["height"]), data["quality"], camera, lamps, int(data["noise_seed"]))


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(v) for v in value]
    return value

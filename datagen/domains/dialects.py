"""Dialects: other ways to write a domain's code, which a model can be trained on.

Data sets, predictions and comparisons contain only the domain's own code. A dialect writes each rotation
(`datagen.domains.posed.ROTATION`) in another representation: whole degrees, an axis whose length is the angle, or two columns of the
matrix. It may write locations and rotations as the camera sees them (`datagen.domains.views`), and it begins with a header or has none.
The dialect is chosen when code is written for training; code that the model writes is converted back as soon as it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from datagen.code.statements import Number, Statement
from datagen.domains.base import Domain
from datagen.domains.posed import ROTATION, PosedDomain, canonical_angles
from datagen.domains.staged import StagedDomain
from datagen.domains.views import (
    as_seen,
    camera_as_seen,
    camera_from_seen,
    from_seen,
    header_of_mirrored,
    lamp_as_seen,
    lamp_from_seen,
    mirrored,
    seen_header,
    seen_statement,
)
from datagen.errors import UserError
from datagen.geometry.rotations import NO_SYMMETRY, from_6d, from_axis_angle, from_euler, to_6d, to_axis_angle, to_euler
from datagen.scene import Lamp, Object, Scene, Shot, Vec3

Rotations = Literal["own", "euler", "euler_int", "axis_angle", "6d"]
"""How a dialect writes rotations; ``own`` is the domain's own representation."""
Places = Literal["world", "image"]
"""How a dialect writes where objects are and how they are turned: in the world's frame, or as the camera sees them."""


@dataclass(frozen=True)
class Representation:
    """A representation of rotations.

    ``number`` declares its numbers. ``written`` converts canonical angles (`datagen.domains.posed.canonical_angles`) to them; ``meant``
    converts any finite numbers that a model may write to angles: impossible or out-of-range numbers become a nearby rotation.
    """

    number: Number
    written: Callable[[Vec3], Sequence[float]]
    meant: Callable[[tuple[float, ...]], Sequence[float]]


def _whole_degrees(angles: Vec3) -> Vec3:
    return canonical_angles(angles, NO_SYMMETRY, decimals=0)


def _to_axis(angles: Vec3) -> list[float]:
    return np.degrees(to_axis_angle(from_euler(np.array(angles)))).tolist()


def _from_axis(vector: Sequence[float]) -> list[float]:
    return to_euler(from_axis_angle(np.radians(vector))).tolist()


def _to_columns(angles: Vec3) -> list[float]:
    return to_6d(from_euler(np.array(angles))).tolist()


LEAST_LENGTH = 1e-9  # of a column that has a direction; squares of much smaller numbers are 0


def _from_columns(numbers: Sequence[float]) -> list[float]:
    first, second = np.array(numbers[:3], float), np.array(numbers[3:], float)
    if np.linalg.norm(first) < LEAST_LENGTH:
        first = np.array([1.0, 0.0, 0.0])
    matrix = from_6d(np.concatenate([first, second]))
    if not np.isfinite(matrix).all():  # the second column is 0 or parallel to the first: any other direction will do
        matrix = from_6d(np.concatenate([first, np.eye(3)[np.argmin(np.abs(first))]]))
    return to_euler(matrix).tolist()


REPRESENTATIONS: dict[str, Representation] = {
    "euler": Representation(ROTATION, tuple, tuple),
    "euler_int": Representation(replace(ROTATION, decimals=0), _whole_degrees, tuple),
    "axis_angle": Representation(Number("rotation", (-180.0,) * 3, (180.0,) * 3, 2, "degrees"), _to_axis, _from_axis),
    "6d": Representation(Number("rotation", (-1.0,) * 6, (1.0,) * 6, 4, "of a unit vector"), _to_columns, _from_columns),
}


class Dialect:
    """A way to write the code of a ``domain``: a language for the grammar, and the conversion of scenes both ways.

    ``name``, ``statements``, ``header``, ``synonyms`` and ``max_objects`` have the same meaning as in `Domain`; ``header`` is empty in
    dialects whose code has none.
    """

    def __init__(self, domain: Domain, representation: Representation | None = None, seen: bool = False, header: bool = False) -> None:
        """``representation`` is one of `REPRESENTATIONS`, or None for the domain's own; ``seen``: places are in the image."""
        self.domain, self._representation, self.seen = domain, representation, seen
        self.name, self.synonyms, self.max_objects = domain.name, domain.synonyms, domain.max_objects
        self.statements = tuple(self._declared(statement) for statement in domain.statements)
        self.header = tuple(seen_header(statement) if seen else statement for statement in domain.header) if header else ()

    def statement(self, name: str) -> Statement:
        """The statement of that name; KeyError if there is none."""
        for statement in (*self.statements, *self.header):
            if statement.name == name:
                return statement
        raise KeyError(name)

    def _declared(self, statement: Statement) -> Statement:
        if self.seen:
            statement = seen_statement(statement, self._staged)
        if self._representation is None:
            return statement
        return Statement(statement.name, tuple(self._representation.number if a == ROTATION else a for a in statement.arguments))

    @property
    def _staged(self) -> StagedDomain:
        assert isinstance(self.domain, StagedDomain)
        return self.domain

    def written(self, scene: Scene, shot: Shot | None = None) -> Scene:
        """The domain's scene in this dialect, its objects in their order, numbers rounded to the dialect's precision.

        If the dialect has a header, it is that of ``shot`` or, without one, of the scene. `UserError` if there is none, or if code cannot
        say it.
        """
        if isinstance(self.domain, StagedDomain) and shot is not None and (self.header or self.seen):
            scene = replace(scene, header=self.domain.header_of(shot))
        if self.header and len(scene.header) < sum(len(statement.keys) for statement in self.header):
            raise UserError("the scene does not say where its camera and lamps are, and the model's code does")
        objects = scene.objects
        if self.seen:
            camera = self._staged.camera_of(scene, self._staged.camera)
            objects = tuple(as_seen(obj, camera, self._staged) for obj in objects)
        header = tuple(map(self._written_header, scene.header)) if self.header else ()
        return Scene(scene.domain, tuple(map(self._turned, objects)), header)

    def meant(self, scene: Scene) -> Scene:
        """The domain's scene that a scene of this dialect stands for: canonical objects in the order of the dialect's."""
        header = self.domain.canonical(Scene(scene.domain, (), tuple(map(self._meant_header, scene.header)))).header
        objects = tuple(map(self._unturned, scene.objects))
        meant = Scene(scene.domain, objects, header)
        if self.seen:
            camera = self._staged.camera_of(meant, self._staged.camera)
            return meant.with_objects(from_seen(obj, camera, self._staged) for obj in objects)
        return meant.with_objects(map(self.domain.canonical_object, objects))

    def mirrored(self, scene: Scene) -> Scene | None:
        """The scene of the image flipped left to right, both in this dialect, objects in the same order; None if there is no such scene.

        What such an image does not tell of camera and lamps is NaN.
        """
        if self.header and not self.seen:
            return None  # in the world's frame, little would remain of the header
        own = tuple(map(self._unturned, scene.objects))
        found = [self.domain.mirrored(Scene(self.name, (obj,))) for obj in own]
        objects = tuple(obj for alone in found if alone is not None for obj in alone.objects)
        if len(objects) < len(own):
            return None
        if self.seen:
            seen = (self._turned(mirrored(obj, self._staged)) for obj in own)
            return Scene(self.name, tuple(seen), header_of_mirrored(scene.header))
        flipped = Scene(self.name, objects)
        return None if self.domain.violations(flipped) else Scene(self.name, tuple(map(self._turned, objects)))

    def shows_rotation(self, obj: Object) -> bool:
        """Whether an object of this dialect looks different when it is turned: a sphere does not."""
        own = self._unturned(obj)
        return self.domain.rotation_error(own, own) is not None

    def order(self, obj: Object) -> tuple[float, ...]:
        """The sort key of the objects of code in this dialect: the domain's order or, of places in the image, from left to right, then
        upwards."""
        if self.seen and "loc" in obj.values:
            return tuple(obj["loc"])
        return self.domain.order(self.meant(Scene(self.name, (obj,))).objects[0])

    def _written_header(self, obj: Object) -> Object:
        if not self.seen:
            return obj
        return camera_as_seen(obj) if obj.statement == "camera" else lamp_as_seen(obj, self._lamp(obj))

    def _meant_header(self, obj: Object) -> Object:
        if not self.seen:
            return obj
        return camera_from_seen(obj) if obj.statement == "camera" else lamp_from_seen(obj, self._lamp(obj))

    def _lamp(self, obj: Object) -> Lamp:
        return next(lamp for lamp in self._staged.lamps if lamp.name == obj["name"])

    def _turned(self, obj: Object) -> Object:
        """An object with its rotation in the dialect's representation."""
        if self._representation is None:
            return obj
        number = self._representation.number
        return obj.replaced(rotation=number.rounded(tuple(self._representation.written(obj["rotation"]))))

    def _unturned(self, obj: Object) -> Object:
        return obj if self._representation is None else obj.replaced(rotation=tuple(self._representation.meant(obj["rotation"])))


def dialect(domain: Domain, rotations: str = "own", places: str = "world", header: bool = False) -> Dialect:
    """The dialect with this representation of rotations, one of `Rotations`, and of places, one of `Places`, with or without a header.

    `UserError` for an unknown one, a domain without free rotations, and a domain without a camera.
    """
    if places not in get_args(Places):
        raise UserError(f"places {places!r} are none of {', '.join(get_args(Places))}")
    if (header or places == "image") and not isinstance(domain, StagedDomain):
        asked = "shot_in_code=true" if header else "places=image"
        raise UserError(f"{asked}: scenes of the {domain.name} domain are seen by no camera; leave it out")
    seen = places == "image"
    if rotations == "own":
        return Dialect(domain, None, seen, header)
    if rotations not in REPRESENTATIONS:
        raise UserError(f"rotations {rotations!r} are none of {', '.join(get_args(Rotations))}")
    if not isinstance(domain, PosedDomain):
        raise UserError(f"rotations={rotations}: the {domain.name} domain has no free rotations to write so; leave it at own")
    return Dialect(domain, REPRESENTATIONS[rotations], seen, header)

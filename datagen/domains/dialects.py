"""Dialects: other ways to write a domain's code, which a model can be trained on.

Data sets, predictions and comparisons contain only the domain's own code. A dialect writes each rotation
(`datagen.domains.posed.ROTATION`) in another representation: whole degrees, an axis whose length is the angle, or two columns of the
matrix. The dialect is chosen when code is written for training; code that the model writes is converted back as soon as it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from datagen.code.statements import Number, Statement
from datagen.domains.base import Domain
from datagen.domains.posed import ROTATION, PosedDomain, canonical_angles
from datagen.errors import UserError
from datagen.geometry.rotations import NO_SYMMETRY, from_6d, from_axis_angle, from_euler, to_6d, to_axis_angle, to_euler
from datagen.scene import Object, Vec3

Rotations = Literal["own", "euler", "euler_int", "axis_angle", "6d"]
"""How a dialect writes rotations; ``own`` is the domain's own representation."""


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
    """A way to write the code of a ``domain``: a language for the grammar, and the conversion of objects both ways.

    ``name``, ``statements``, ``header``, ``synonyms`` and ``max_objects`` have the same meaning as in `Domain`.
    """

    def __init__(self, domain: Domain, representation: Representation | None = None) -> None:
        """``representation`` is one of `REPRESENTATIONS`, or None for the domain's own code."""
        self.domain, self._representation = domain, representation
        self.name, self.synonyms, self.max_objects = domain.name, domain.synonyms, domain.max_objects
        self.statements = tuple(self._declared(statement) for statement in domain.statements)
        self.header = domain.header

    def statement(self, name: str) -> Statement:
        """The statement of that name; KeyError if there is none."""
        for statement in (*self.statements, *self.header):
            if statement.name == name:
                return statement
        raise KeyError(name)

    def _declared(self, statement: Statement) -> Statement:
        if self._representation is None:
            return statement
        return Statement(statement.name, tuple(self._representation.number if a == ROTATION else a for a in statement.arguments))

    def written(self, obj: Object) -> Object:
        """The domain's object in this dialect, numbers rounded to the dialect's precision."""
        if self._representation is None:
            return obj
        number = self._representation.number
        return obj.replaced(rotation=number.rounded(tuple(self._representation.written(obj["rotation"]))))

    def meant(self, obj: Object) -> Object:
        """The domain's object, in its canonical form, that an object of this dialect stands for."""
        if self._representation is not None:
            obj = obj.replaced(rotation=tuple(self._representation.meant(obj["rotation"])))
        return self.domain.canonical_object(obj)


def dialect(domain: Domain, rotations: str = "own") -> Dialect:
    """The dialect with this representation, one of `Rotations`. `UserError` for an unknown one, or a domain without free rotations."""
    if rotations == "own":
        return Dialect(domain)
    if rotations not in REPRESENTATIONS:
        raise UserError(f"rotations {rotations!r} are none of {', '.join(get_args(Rotations))}")
    if not isinstance(domain, PosedDomain):
        raise UserError(f"rotations={rotations}: the {domain.name} domain has no free rotations to write so; leave it at own")
    return Dialect(domain, REPRESENTATIONS[rotations])

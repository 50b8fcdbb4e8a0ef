"""Domains of posed assets: each object is an asset in some colours, at a place, at a scale, and turned any way.

A rotation is written as three angles: about the world's X, then its Y, then its Z, in degrees (`datagen.geometry.rotations.from_euler`).
Unlike rounded quaternions or columns of a matrix, every such triple of decimals is a rotation, so that what is written, drawn and rendered
is one and the same, and no two triples within range are the same rotation but at the ends of ranges.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.assets.library import Asset
from datagen.assets.paint import Paint, paints
from datagen.assets.solid import MeshSolid
from datagen.code.statements import Number
from datagen.domains.splits import Split
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import ground_directions
from datagen.geometry.rotations import NO_SYMMETRY, Symmetry, from_euler, to_euler
from datagen.rng import Stream
from datagen.scene import Object, Vec3

ROTATION = Number("rotation", (-180.0, -90.0, -180.0), (180.0, 90.0, 180.0), 2, "degrees", period=360.0)
"""The argument that every statement of a `PosedDomain` has."""
ROTATION_TRIES = 1000  # rotations tried before a split's regions count as not met
ROTATION_COMPONENTS = ("rotation.x", "rotation.y", "rotation.z")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PosedDomain(StagedDomain):
    """A domain whose objects are assets in poses; the builder for all of them is `blender_scenes.posed`.

    Every statement has the argument `ROTATION`, and ``loc`` and ``scale`` unless the domain says otherwise (`location`, `scale`).
    """

    builder: str = "blender_scenes.posed:PosedBuilder"
    rotation_thresholds: tuple[float, ...] = (5.0, 15.0, 30.0)

    @abstractmethod
    def asset(self, obj: Object) -> Asset:
        """Which model an object is."""

    def paints(self, obj: Object) -> tuple[Paint, ...]:
        """What it wears: one paint for each of its slots."""
        return paints(self.asset(obj))

    def location(self, obj: Object) -> Vec3:
        x, y, z = obj["loc"]
        return (x, y, z)

    def scale(self, obj: Object) -> float:
        """The radius, in metres, of a ball around its location that holds it however it is turned."""
        return float(obj["scale"])

    def rotation(self, obj: Object) -> np.ndarray:
        """The matrix (3, 3) that leads from its own frame to the world's."""
        return from_euler(np.array(obj["rotation"]))

    def symmetry(self, obj: Object) -> Symmetry:
        """Which turns leave it looking the same, in what it wears."""
        return self.paints(obj)[0].symmetry(self.asset(obj))

    def solid(self, obj: Object) -> MeshSolid:
        return MeshSolid(self.asset(obj).mesh, self.location(obj), self.scale(obj), self.rotation(obj))

    def mirror_image(self, obj: Object) -> Object:
        """What the standard camera sees in its place once the frame is flipped left to right, if its left half is its right half's mirror
        image: reflected across the upright plane through the camera's axis, with left and right exchanged."""
        across = np.array(ground_directions(self.camera)["right"])
        reflection = np.eye(3) - 2 * np.outer(across, across)
        turned = to_euler(reflection @ self.rotation(obj) @ np.diag([1.0, -1.0, 1.0]))
        flipped = obj.replaced(rotation=tuple(turned.tolist()))
        if "loc" not in obj.values:
            return self.canonical_object(flipped)
        step = across @ (np.array(obj["loc"]) - self.camera.location)
        return self.canonical_object(flipped.replaced(loc=tuple((np.array(obj["loc"]) - 2 * step * across).tolist())))

    def canonical_object(self, obj: Object) -> Object:
        """Numbers rounded; of all rotations that look the same the one that is turned least, in angles that are within range."""
        return super().canonical_object(obj).replaced(rotation=canonical_angles(obj["rotation"], self.symmetry(obj)))

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        """Degrees of the turn between both, modulo the true object's symmetry."""
        return float(self.symmetry(truth).degrees(self.rotation(truth), self.rotation(guess)))


def canonical_angles(angles: Vec3, symmetry: Symmetry, decimals: int = ROTATION.decimals) -> Vec3:
    """The angles of a rotation in `ROTATION`'s range, to so many decimals, the same for all that look like it."""
    met: list[Vec3] = []
    at = _rounded(angles, decimals)
    while at not in met:  # rounding turns a little, and what is turned least may then be another: until nothing moves
        met.append(at)
        at = _rounded(to_euler(symmetry.canonical(from_euler(np.array(at)))).tolist(), decimals)
    return min(met[met.index(at) :])


def _rounded(angles: Sequence[float], decimals: int) -> Vec3:
    x, y, z = (round(angle, decimals) + 0.0 for angle in angles)
    return (x, y, z)


def draw_rotation(rng: Stream, split: Split) -> Vec3 | None:
    """Canonical angles of an object without symmetry, uniform over all rotations that the split allows; None after `ROTATION_TRIES`.

    Over all rotations X and Z are uniform, and so is the sine of Y: the volume element is its cosine.
    """
    x_ends, y_ends, z_ends = (
        split.range(name, low, high) for name, low, high in zip(ROTATION_COMPONENTS, ROTATION.low, ROTATION.high, strict=True)
    )
    low, high = (math.sin(math.radians(end)) for end in y_ends)
    for _ in range(ROTATION_TRIES):
        x, y, z = rng.uniform(*x_ends), math.degrees(math.asin(rng.uniform(low, high))), rng.uniform(*z_ends)
        angles = canonical_angles((x, y, z), NO_SYMMETRY)
        if split.holds(dict(zip(ROTATION_COMPONENTS, angles, strict=True))):
            return angles
    return None

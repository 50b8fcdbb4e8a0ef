"""Domains of posed assets: each object is an asset with its colours, location, scale and rotation.

A rotation is written as three angles: about the world's X, then its Y, then its Z, in degrees (`datagen.geometry.rotations.from_euler`).
Unlike rounded quaternions or matrix columns, every triple of rounded angles is exactly a rotation, so that code, drawn scene and rendered
scene agree. Two triples within range are the same rotation only at the ends of the ranges.
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
"""The rotation argument of every statement of a `PosedDomain`."""
ROTATION_TRIES = 1000  # rotations tried within a split's regions before the scene is given up
ROTATION_COMPONENTS = ("rotation.x", "rotation.y", "rotation.z")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PosedDomain(StagedDomain):
    """A domain whose objects are assets in poses; the builder for all of them is `blender_scenes.posed`.

    Every statement has the argument `ROTATION`, and ``loc`` and ``scale`` unless the domain overrides `location` and `scale`.
    """

    builder: str = "blender_scenes.posed:PosedBuilder"
    rotation_thresholds: tuple[float, ...] = (5.0, 15.0, 30.0)

    @abstractmethod
    def asset(self, obj: Object) -> Asset:
        """The asset that an object shows."""

    def paints(self, obj: Object) -> tuple[Paint, ...]:
        """The object's paints, one for each slot of its asset."""
        return paints(self.asset(obj))

    def location(self, obj: Object) -> Vec3:
        x, y, z = obj["loc"]
        return (x, y, z)

    def scale(self, obj: Object) -> float:
        """The radius, in metres, of a ball around the object's location that contains the object in any rotation."""
        return float(obj["scale"])

    def rotation(self, obj: Object) -> np.ndarray:
        """The matrix (3, 3) from the object's own frame to the world's."""
        return from_euler(np.array(obj["rotation"]))

    def symmetry(self, obj: Object) -> Symmetry:
        """The symmetry of the object with its paints."""
        return self.paints(obj)[0].symmetry(self.asset(obj))

    def solid(self, obj: Object) -> MeshSolid:
        return MeshSolid(self.asset(obj).mesh, self.location(obj), self.scale(obj), self.rotation(obj))

    def mirror_image(self, obj: Object) -> Object:
        """The object whose image under the standard camera is this object's, flipped left to right, if its asset is symmetric in Y.

        It is this object reflected across the upright plane through the camera's axis, with its own left and right (Y) exchanged.
        """
        across = np.array(ground_directions(self.camera)["right"])
        reflection = np.eye(3) - 2 * np.outer(across, across)
        turned = to_euler(reflection @ self.rotation(obj) @ np.diag([1.0, -1.0, 1.0]))
        flipped = obj.replaced(rotation=tuple(turned.tolist()))
        if "loc" not in obj.values:
            return self.canonical_object(flipped)
        step = across @ (np.array(obj["loc"]) - self.camera.location)
        return self.canonical_object(flipped.replaced(loc=tuple((np.array(obj["loc"]) - 2 * step * across).tolist())))

    def canonical_object(self, obj: Object) -> Object:
        """Numbers rounded, and of all rotations that look the same the smallest, as angles within range."""
        return super().canonical_object(obj).replaced(rotation=canonical_angles(obj["rotation"], self.symmetry(obj)))

    def rotation_error(self, truth: Object, guess: Object) -> float | None:
        """The angle between both rotations in degrees, modulo the true object's symmetry."""
        return float(self.symmetry(truth).degrees(self.rotation(truth), self.rotation(guess)))


def canonical_angles(angles: Vec3, symmetry: Symmetry, decimals: int = ROTATION.decimals) -> Vec3:
    """The angles of a rotation in `ROTATION`'s range, rounded, the same for all rotations that look alike under `symmetry`."""
    met: list[Vec3] = []
    at = _rounded(angles, decimals)
    while at not in met:  # rounding can make another equivalent rotation the smallest: repeat until angles recur
        met.append(at)
        at = _rounded(to_euler(symmetry.canonical(from_euler(np.array(at)))).tolist(), decimals)
    return min(met[met.index(at) :])


def _rounded(angles: Sequence[float], decimals: int) -> Vec3:
    x, y, z = (round(angle, decimals) + 0.0 for angle in angles)
    return (x, y, z)


def draw_rotation(rng: Stream, split: Split) -> Vec3 | None:
    """Canonical angles without symmetry, drawn uniformly from all rotations that the split allows; None after `ROTATION_TRIES`.

    For uniform rotations, X, Z and the sine of Y are uniform, as the volume element is proportional to the cosine of Y.
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

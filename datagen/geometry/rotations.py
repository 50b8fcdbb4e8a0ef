"""Rotations as matrices, their other representations, and the angle between two rotations.

A matrix (3, 3) leads from an object's own frame to the world's. Conversions and angles take any number of leading axes. Conversions from
matrices are canonical: equal rotations give equal numbers, up to rounding at the places where a representation jumps.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from datagen.rng import Stream


def from_euler(degrees: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) from angles (..., 3) in degrees: about the world's X, then its Y, then its Z (Blender's *XYZ Euler*)."""
    angles = np.radians(np.asarray(degrees, float))
    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    return _matrices(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )


def to_euler(matrices: np.ndarray) -> np.ndarray:
    """The inverse of `from_euler`: X and Z in [-180, 180), Y in [-90, 90] degrees; where Y is at an end, X is 0."""
    m = np.asarray(matrices, float)
    across = np.hypot(m[..., 0, 0], m[..., 1, 0])
    locked = across < 1e-9
    y = np.arctan2(-m[..., 2, 0], across)
    x = np.where(locked, 0.0, np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    z = np.where(locked, np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    degrees = np.degrees(np.stack([x, y, z], axis=-1))
    return np.where(degrees >= 180.0, degrees - 360.0, degrees)


def from_axis_angle(vectors: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) from vectors (..., 3) along the axis whose length is the angle in radians (Rodrigues' formula)."""
    v = np.asarray(vectors, float)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    cross = _cross_matrix(v)
    # sin(a)/a and (1 - cos(a))/a², the latter as half the square of the former's half-angle form, which does not cancel.
    one, two = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + one * cross + two * (cross @ cross)


def to_axis_angle(matrices: np.ndarray) -> np.ndarray:
    """The inverse of `from_axis_angle`: vectors (..., 3) of length 0 to pi radians."""
    q = to_quaternion(matrices)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 1e-12)


def from_quaternion(quaternions: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) from quaternions (..., 4) as w, x, y, z, of any length but 0."""
    q = np.asarray(quaternions, float)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    return _matrices(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def to_quaternion(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) as w, x, y, z, whose first number other than 0 is positive."""
    m = np.asarray(matrices, float)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    yz, zx, xy = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    sum_xy, sum_zx, sum_yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Each row is q times 4 times one of its components; the longest row loses least precision (Shepperd 1978).
    rows = _matrices(
        [
            [1 + xx + yy + zz, yz, zx, xy],
            [yz, 1 + xx - yy - zz, sum_xy, sum_zx],
            [zx, sum_xy, 1 - xx + yy - zz, sum_yz],
            [xy, sum_zx, sum_yz, 1 - xx - yy + zz],
        ]
    )
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(np.abs(q) < 1e-15, 0.0, q)
    leading = np.take_along_axis(q, np.argmax(q != 0, axis=-1)[..., None], axis=-1)
    return np.where(leading < 0, -q, q) + 0.0


def from_6d(numbers: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) from six numbers (..., 6): the first two columns, orthonormalised by Gram-Schmidt (Zhou et al. 2019).

    Any numbers that a network may output are allowed; if one of the columns is 0 or they are parallel, the result is NaN.
    """
    n = np.asarray(numbers, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = n[..., :3] / np.linalg.norm(n[..., :3], axis=-1, keepdims=True)
        rest = n[..., 3:] - (first * n[..., 3:]).sum(-1, keepdims=True) * first
        second = rest / np.linalg.norm(rest, axis=-1, keepdims=True)
        return np.stack([first, second, np.cross(first, second)], axis=-1)


def to_6d(matrices: np.ndarray) -> np.ndarray:
    """The matrices' first two columns, one after the other: (..., 6)."""
    m = np.asarray(matrices, float)
    return np.concatenate([m[..., :, 0], m[..., :, 1]], axis=-1)


def random_rotation(rng: Stream) -> np.ndarray:
    """A rotation (3, 3), uniform over all (Shoemake 1992)."""
    share, one, two = rng.random(), 2 * math.pi * rng.random(), 2 * math.pi * rng.random()
    inner, outer = math.sqrt(1 - share), math.sqrt(share)
    return from_quaternion(np.array([outer * math.cos(two), inner * math.sin(one), inner * math.cos(one), outer * math.sin(two)]))


def geodesic_degrees(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The angle (...) in degrees, 0 to 180, of the rotation that leads from `one` to `two`, both (..., 3, 3)."""
    between = np.swapaxes(np.asarray(one, float), -1, -2) @ np.asarray(two, float)
    twice_sine = np.linalg.norm(
        np.stack(
            [
                between[..., 2, 1] - between[..., 1, 2],
                between[..., 0, 2] - between[..., 2, 0],
                between[..., 1, 0] - between[..., 0, 1],
            ],
            axis=-1,
        ),
        axis=-1,
    )
    # Sine and cosine together, as the arc cosine alone loses half the digits near 0 and 180 degrees.
    return np.degrees(np.arctan2(twice_sine, np.trace(between, axis1=-2, axis2=-1) - 1))


def least_geodesic_degrees(one: np.ndarray, two: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The smallest `geodesic_degrees` between `one` and the rotations that look like `two`: ``two @ g`` for g in `group` (N, 3, 3)."""
    turned = np.asarray(two, float)[..., None, :, :] @ group
    return geodesic_degrees(np.asarray(one, float)[..., None, :, :], turned).min(-1)


@dataclass(frozen=True)
class Symmetry:
    """The rotations in its own frame that leave an object looking the same.

    These are rotations about its Z axis by multiples of 360 degrees / ``fold``, or by any angle if ``fold`` is 0; with ``flip``, also the
    half turn about its X axis. As text: ``C1`` (none), ``C4``, ``Cinf``, and with the half turn ``D2``, ``Dinf`` (Schoenflies).
    """

    fold: int = 1
    flip: bool = False

    def __post_init__(self) -> None:
        if self.fold < 0:
            raise ValueError(f"a symmetry of {self.fold} folds")

    def __str__(self) -> str:
        return ("D" if self.flip else "C") + (str(self.fold) if self.fold else "inf")

    @staticmethod
    def parse(text: str) -> Symmetry:
        """The inverse of `str`. ValueError for anything else, and for more than 360 folds."""
        found = re.fullmatch(r"([CD])(inf|[1-9][0-9]{0,2})", text)
        if found is None or (found[2] != "inf" and int(found[2]) > 360):
            raise ValueError(f"{text!r} is no symmetry; write C1 (none), C4 (four-fold about Z), Cinf (any turn about Z), D2, Dinf")
        return Symmetry(0 if found[2] == "inf" else int(found[2]), found[1] == "D")

    @property
    def none(self) -> bool:
        """Whether every orientation looks different."""
        return self.fold == 1 and not self.flip

    def words(self) -> str:
        """The symmetry in words, short enough for a caption: ``any turn``, ``4-fold``, ``none`` (about Z)."""
        about = {0: "any turn", 1: ""}.get(self.fold, f"{self.fold}-fold")
        return ", ".join(part for part in (about, "upside down" if self.flip else "") if part) or "none"

    def elements(self) -> np.ndarray:
        """The group's rotations (N, 3, 3), the identity first; if ``fold`` is 0, one for all that differ by a turn about Z."""
        turns = from_euler(np.arange(max(self.fold, 1))[:, None] * np.array([0.0, 0.0, 360.0 / max(self.fold, 1)]))
        return np.concatenate([turns, turns @ np.diag([1.0, -1.0, -1.0])]) if self.flip else turns

    def degrees(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """The angle (...) in degrees between two orientations (..., 3, 3), the smallest over all orientations that look the same."""
        if self.fold:
            return least_geodesic_degrees(one, two, self.elements())
        a, b = np.asarray(one, float)[..., :, 2], np.asarray(two, float)[..., :, 2]
        # Up to any turn about Z, two orientations differ by the angle between their Z axes (Kahan's form, exact at both ends).
        angle = np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))
        return np.minimum(angle, 180.0 - angle) if self.flip else angle

    def canonical(self, matrix: np.ndarray) -> np.ndarray:
        """Of all orientations (3, 3) that look like `matrix`, the one with the smallest angle; among equals, the group's first."""
        m = np.asarray(matrix, float)
        candidates = m @ self.elements()
        if not self.fold:
            candidates = np.stack([_least_turned(c) for c in candidates])
        angles = geodesic_degrees(np.eye(3), candidates)
        return candidates[int(np.argmax(angles <= angles.min() + 1e-9))]


NO_SYMMETRY = Symmetry()


def _least_turned(matrix: np.ndarray) -> np.ndarray:
    """``matrix @ Rz(a)`` for the angle a with the largest trace; if Z points straight down, where all are equal, the half turn about X."""
    cosine, sine = matrix[0, 0] + matrix[1, 1], matrix[0, 1] - matrix[1, 0]
    if math.hypot(cosine, sine) < 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    return matrix @ from_euler(np.array([0.0, 0.0, math.degrees(math.atan2(sine, cosine))]))


def _matrices(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.stack([np.stack(np.broadcast_arrays(*row), axis=-1) for row in rows], axis=-2)


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(v, -1, 0)
    o = np.zeros_like(x)
    return _matrices([[o, -z, y], [z, o, -x], [-y, x, o]])

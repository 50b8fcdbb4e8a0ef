"""The parts that models are made of. Each is a closed mesh whose triangles face outwards.

Nearly all are made by `lofted`, a skin over a row of rings: a box, a wheel, a wing and a hull are rings at growing heights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from datagen.assets.mesh import Mesh, joined

Point = tuple[float, float, float]
Profile = Sequence[tuple[float, float]]


def lofted(rings: np.ndarray, *, closed: bool = False, slots: Sequence[int] = (), smooth: bool = True) -> Mesh:
    """A skin over `rings` (K, N, 3), each of them a closed line, with lids over the first and the last.

    A ring may shrink to a point. A lid is a fan around the mean of its ring, from which the whole ring must be visible. With `closed`, the
    last ring is joined to the first instead. `slots` has one for the band after each ring; a lid has the slot of the band beside it.
    """
    rings = np.asarray(rings, float)
    count, around = rings.shape[:2]
    bands = count if closed else count - 1
    slot = np.zeros(bands, int) if not len(slots) else np.asarray(slots, int)
    low = np.arange(bands)[:, None] * around
    high = (np.arange(bands)[:, None] + 1) % count * around
    one, two = np.arange(around)[None], (np.arange(around)[None] + 1) % around
    quads = np.stack([low + one, low + two, high + two, high + one], axis=-1)
    faces = [quads[..., [0, 1, 2]].reshape(-1, 3), quads[..., [0, 2, 3]].reshape(-1, 3)]
    taken = [np.repeat(slot, around), np.repeat(slot, around)]
    vertices = rings.reshape(-1, 3)
    if not closed:
        start, end = count * around, count * around + 1
        vertices = np.concatenate([vertices, rings[0].mean(0, keepdims=True), rings[-1].mean(0, keepdims=True)])
        last = (count - 1) * around
        faces += [
            np.stack(np.broadcast_arrays(start, two[0], one[0]), axis=1),
            np.stack(np.broadcast_arrays(end, last + one[0], last + two[0]), axis=1),
        ]
        taken += [np.full(around, slot[0]), np.full(around, slot[-1])]
    triangles = np.concatenate(faces)
    corners = vertices[triangles]
    same = [(corners[:, i] == corners[:, j]).all(-1) for i, j in ((0, 1), (1, 2), (2, 0))]
    solid = ~(same[0] | same[1] | same[2])  # where a ring is a point, one triangle of each pair has no area
    mesh = Mesh(vertices, triangles[solid], np.concatenate(taken)[solid], np.full(int(solid.sum()), smooth))
    return mesh if mesh.volume() >= 0 else replace(mesh, triangles=mesh.triangles[:, ::-1])


def outline(width: float, depth: float, radius: float = 0.0, steps: int = 3) -> np.ndarray:
    """A rectangle (4 x (steps + 1), 2) of `width` by `depth` about the origin, its corners rounded."""
    radius = min(radius, width / 2, depth / 2)
    angles = np.linspace(0, np.pi / 2, steps + 1)
    arc = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    turned = []
    for quarter, (x, y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
        centre = (x * (width / 2 - radius), y * (depth / 2 - radius))
        turned.append(arc @ np.array([[cos, sin], [-sin, cos]]) + centre)
    return np.concatenate(turned)


def oval(width: float, depth: float, power: float = 2.0, count: int = 24) -> np.ndarray:
    """A superellipse (`count`, 2) of `width` by `depth` about the origin: an ellipse for `power` 2, squarer for a greater one."""
    angles = np.arange(count) * (2 * np.pi / count)
    cos, sin = np.cos(angles), np.sin(angles)
    exponent = 2.0 / power
    return np.stack([width / 2 * np.sign(cos) * np.abs(cos) ** exponent, depth / 2 * np.sign(sin) * np.abs(sin) ** exponent], axis=1)


def flat_ring(line: np.ndarray, z: float) -> np.ndarray:
    """A line (N, 2) of x and y, at the height `z`: (N, 3)."""
    return np.concatenate([line, np.full((len(line), 1), z)], axis=1)


def cross_ring(line: np.ndarray, x: float, z: float = 0.0) -> np.ndarray:
    """A line (N, 2) of y and z, standing across X at `x`, raised by `z`: (N, 3)."""
    return np.concatenate([np.full((len(line), 1), x), line + np.array([0.0, z])], axis=1)


def box(x: float, y: float, z: float, bevel: float = 0.02, steps: int = 2) -> Mesh:
    """A box with edges of these lengths about the origin, all of its edges rounded with radius `bevel`."""
    bevel = min(bevel, 0.499 * min(x, y, z))
    lower = []
    for angle in np.linspace(0, np.pi / 2, steps + 1):  # from the flat lid, where the ring is inset by the whole bevel, to the upright wall
        inset, height = bevel * (1 - np.sin(angle)), bevel * (1 - np.cos(angle))
        lower.append(flat_ring(outline(x - 2 * inset, y - 2 * inset, bevel - inset, steps), height - z / 2))
    return lofted(np.stack([*lower, *(ring * (1, 1, -1) for ring in lower[::-1])]))


def revolved(profile: Profile, segments: int = 48, slots: Sequence[int] = (), *, smooth: bool = True) -> Mesh:
    """The surface of a profile of (radius, height), turned about Z. The profile may return inside, as a cup's does.

    `slots` has one for each of the profile's segments.
    """
    line = np.asarray(profile, float)
    angles = np.arange(segments) * (2 * np.pi / segments)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = np.concatenate([line[:, None, :1] * around, np.broadcast_to(line[:, None, 1:], (len(line), segments, 1))], axis=2)
    return lofted(rings, slots=slots, smooth=smooth)


def rounded(profile: Profile, radius: float, steps: int = 3, keep_ends: bool = True) -> list[tuple[float, float]]:
    """A profile, its corners rounded by quadratic Bézier curves that begin `radius` before a corner, or halfway to the next point."""
    points = [np.asarray(p, float) for p in profile]
    result = [points[0]] if keep_ends else []
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        a, b = before - corner, after - corner
        long_a, long_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        reach = min(radius, long_a / 2, long_b / 2)
        start, end = corner + a / long_a * reach, corner + b / long_b * reach
        for t in np.linspace(0, 1, steps + 1):
            result.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    result += [points[-1]] if keep_ends else []
    return [(float(x), float(y)) for x, y in result]


def tube(path: np.ndarray, radius: float | Sequence[float], sides: int = 12, *, closed: bool = False, flat: float = 1.0) -> Mesh:
    """A pipe along `path` (K, 3), with one radius or one a point; `flat` scales its width along its first sideways direction."""
    path = np.asarray(path, float)
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    radii = np.broadcast_to(np.asarray(radius, float), (len(path),))
    start = np.eye(3)[np.argmin(np.abs(ahead[0]).round(6))]
    side = _across(start, ahead[0])
    angles = np.arange(sides) * (2 * np.pi / sides)
    rings = []
    for point, direction, r in zip(path, ahead, radii, strict=True):
        side = _across(side, direction)  # carried along, so that the pipe does not twist
        up = np.cross(direction, side)
        rings.append(point + r * (flat * np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up))
    return lofted(np.stack(rings), closed=closed)


def rod(start: Point, end: Point, radius: float | tuple[float, float], sides: int = 12) -> Mesh:
    """A straight pipe, thicker at one end if two radii are given."""
    return tube(np.array([start, end]), radius, sides)


def ball(radius: float, segments: int = 24, rings: int = 12) -> Mesh:
    """A sphere about the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    profile = [(0.0, -radius), *((radius * float(np.cos(a)), radius * float(np.sin(a))) for a in angles[1:-1]), (0.0, radius)]
    return revolved(profile, segments)


def disc(radius: float, thickness: float, bevel: float = 0.0, segments: int = 32) -> Mesh:
    """A wheel lying flat about the origin, its rims rounded."""
    half = thickness / 2
    corners = [(0.0, -half), (radius, -half), (radius, half), (0.0, half)]
    return revolved(rounded(corners, bevel, 2) if bevel else corners, segments)


def arc(count: int, start: float, end: float) -> np.ndarray:
    """Points (`count`, 2) on the circle of radius 1 from angle `start` to `end`, in degrees."""
    angles = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def curve(points: Sequence[Point], count: int = 16) -> np.ndarray:
    """A smooth line (`count`, 3) through the points (Catmull and Rom's spline)."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    at = np.linspace(0, len(points) - 1, count)
    piece = np.minimum(at.astype(int), len(points) - 2)
    t = (at - piece)[:, None]
    a, b, c, d = (p[piece + i] for i in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def both_sides(part: Mesh) -> Mesh:
    """A part and its mirror image across the plane of X and Z."""
    return joined([part, part.stretched(1, -1, 1)])


def turned(part: Mesh, axis: str, degrees: float) -> Mesh:
    """A part, turned about the axis ``x``, ``y`` or ``z``."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    one, two = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[one, one] = matrix[two, two] = cos
    matrix[one, two], matrix[two, one] = -sin, sin
    return part.transformed(matrix)


def spread(part: Mesh, count: int) -> Mesh:
    """`count` copies of a part, evenly spaced about Z."""
    return joined(turned(part, "z", 360.0 * i / count) for i in range(count))


def flat(part: Mesh) -> Mesh:
    """A part with each triangle shaded flat."""
    return replace(part, smooth=np.zeros(len(part), bool))


def at(part: Mesh, places: Iterable[Point]) -> Mesh:
    """Copies of a part at several places."""
    return joined(part.moved(*place) for place in places)


def _across(vector: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The unit vector nearest to `vector` among those perpendicular to the unit vector `direction`."""
    side = vector - (vector @ direction) * direction
    return side / np.linalg.norm(side)

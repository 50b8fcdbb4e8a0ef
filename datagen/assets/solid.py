"""A mesh in a scene, for labels: which pixels' centres it covers, and at what depth.

All rays through pixels' centres start in one point. With corners a, b, c as vectors from there, a ray d meets a triangle where d·(b×c),
d·(c×a) and d·(a×b) have one sign, at the depth det(a, b, c) / (their sum). That holds for triangles that reach behind the camera too, so
nothing is clipped (Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997). Two triangles that share an
edge compute the same product for it, with opposite signs, and a product within rounding of 0 counts as either sign, so no ray
slips between triangles or through a vertex where they meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datagen.assets.mesh import Mesh
from datagen.geometry.camera import Rays
from datagen.scene import Vec3

_ROUNDING = 2e-15  # of a product d·(a×b), in parts of the square of the farthest corner's distance
_AT_ONCE = 1 << 19  # pairs of triangle and ray that are tested together; bounds memory to some 60 MB


@dataclass(frozen=True, eq=False)
class MeshSolid:
    """A mesh under a rigid pose and one scale, with `datagen.geometry.solids.Solid`'s interface for labels.

    A point p of the mesh is at ``scale * rotation @ p + location``: ``rotation`` (3, 3), ``scale`` in metres (an asset's farthest vertex
    is that far from ``location``), ``location`` in metres in the world frame.
    """

    mesh: Mesh
    location: Vec3
    scale: float
    rotation: np.ndarray

    def hull(self) -> np.ndarray:
        """Points (N, 3) in the world frame whose convex hull holds the solid: its vertices."""
        return _applied(self.rotation * self.scale, self.mesh.vertices) + self.location

    def lowest(self) -> float:
        """The world height of its lowest point, in metres: to stand it on the ground, raise it by as much as that is below 0."""
        return float(self.hull()[:, 2].min())

    def depth(self, rays: Rays) -> np.ndarray:
        """Where rays first meet the surface, from either side: (rows, columns) in multiples of their direction; infinity for a miss."""
        return self.hits(rays)[0]

    def normals(self, rays: Rays) -> np.ndarray:
        """Unit normals (rows, columns, 3), in the world frame, of the flat triangles that rays first meet, to the side that their corners
        give them; of no meaning where they miss."""
        across = self.mesh.normals() @ self.rotation.T
        return across[self.hits(rays)[1]]

    def hits(self, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
        """As `depth`, and the index of the triangle that is met (rows, columns), -1 for none; of several equally deep ones the last."""
        frame = rays.axes / (rays.axes * rays.axes).sum(0)  # the transposed inverse, because the columns are orthogonal
        return cast_mesh(_applied(frame.T, self.hull() - rays.origin), self.mesh.triangles, rays)


def cast_mesh(points: np.ndarray, triangles: np.ndarray, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
    """Depth and triangle index, as `MeshSolid.hits`, of `points` (V, 3) given in the rays' frame: right, up and back of their origin."""
    shape = (len(rays.y), len(rays.x))
    depth = np.full(shape[0] * shape[1], np.inf)
    index = np.full(depth.shape, -1, np.int64)
    a, b, c = points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
    sides = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)])  # (3, T, 3)
    volume = a[:, 0] * sides[0, :, 0] + a[:, 1] * sides[0, :, 1] + a[:, 2] * sides[0, :, 2]
    seen, first, size = _windows(a, b, c, rays)
    corners = np.stack([a, b, c])
    slack = _ROUNDING * (corners * corners).sum(2).max(0)
    near, far = -corners[:, :, 2].max(0), -corners[:, :, 2].min(0)
    for which, row, column in _pairs(np.flatnonzero(seen), first, size):
        x, y = rays.x[column], rays.y[row]
        edges = [side[which, 0] * x + (side[which, 1] * y - side[which, 2]) for side in sides]
        total, allowed = edges[0] + edges[1] + edges[2], slack[which]
        low, high = np.minimum(np.minimum(edges[0], edges[1]), edges[2]), np.maximum(np.maximum(edges[0], edges[1]), edges[2])
        # A triangle seen edge on, whose sum is only rounding error, is not met.
        inside = ((low >= -allowed) & (total > allowed)) | ((high <= allowed) & (total < -allowed))
        hit, pixel = which[inside], row[inside] * shape[1] + column[inside]
        met = np.clip(volume[hit] / total[inside], near[hit], far[hit])  # the quotient is inexact for a sliver, its corners are not
        nearer = (met > 0) & (met <= depth[pixel])
        hit, pixel, met = hit[nearer], pixel[nearer], met[nearer]
        np.minimum.at(depth, pixel, met)
        nearest = depth[pixel] == met
        index[pixel[nearest]] = hit[nearest]  # of several, the last one stays
    return depth.reshape(shape), index.reshape(shape)


def _windows(a: np.ndarray, b: np.ndarray, c: np.ndarray, rays: Rays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which triangles can cover a ray, (T,), and for each its window of rays: first row and column, (T, 2), and numbers of both, (T, 2)."""
    corners = np.stack([a, b, c])
    away = -corners[..., 2]
    least, most = away.min(0), away.max(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = corners[..., 0] / away, corners[..., 1] / away
    whole = least <= 0  # a triangle that reaches behind the camera may cover any part of the frame
    slack = 1e-9
    left = np.searchsorted(rays.x, np.where(whole, -np.inf, x.min(0) - slack), "left")
    right = np.searchsorted(rays.x, np.where(whole, np.inf, x.max(0) + slack), "right")
    down = -rays.y  # which grows with the row
    top = np.searchsorted(down, np.where(whole, -np.inf, -y.max(0) - slack), "left")
    bottom = np.searchsorted(down, np.where(whole, np.inf, -y.min(0) + slack), "right")
    size = np.stack([bottom - top, right - left], axis=1)
    return (most > 0) & (size > 0).all(1), np.stack([top, left], axis=1), size


def _pairs(which: np.ndarray, first: np.ndarray, size: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every triangle of `which` with every ray in its window, as arrays of triangles, rows and columns, about `_AT_ONCE` pairs a time."""
    rows, columns = size[which, 0], size[which, 1]
    counts = rows * columns
    ends = np.cumsum(counts)
    start = 0
    while start < len(which):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, "right")))
        block, count = which[start:stop], counts[start:stop]
        at = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        across = np.repeat(columns[start:stop], count)
        row, column = at // across, at % across
        yield np.repeat(block, count), row + np.repeat(first[block, 0], count), column + np.repeat(first[block, 1], count)
        start = stop


def _applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``points @ matrix.T``, summed in one order: in a matrix product it may differ by row, but equal vertices must stay equal."""
    x, y, z = points[:, 0:1], points[:, 1:2], points[:, 2:3]
    return x * matrix[:, 0] + y * matrix[:, 1] + z * matrix[:, 2]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products (T, 3); exchanging `a` and `b` changes nothing but the sign, to the bit."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )

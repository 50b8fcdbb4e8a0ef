"""A triangle mesh as plain data: the geometry of an asset, for labels, previews and Blender alike."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

CREASE = 40.0  # degrees between two triangles; from this angle on, the edge between them is sharp
GRID = 2.0**-20  # a normalised mesh's vertices are multiples of this, so that the last bits of a processor's sine do not matter
_CROWDED = 128  # most triangles around one vertex that are still shaded smoothly


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles that share vertices. The arrays are read-only.

    ``vertices`` (V, 3) float64; ``triangles`` (T, 3) int32, indices of vertices seen counter-clockwise from outside; ``slots`` (T,)
    int16, the material of each triangle; ``smooth`` (T,) bool, whether a triangle is shaded as part of a curved surface.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    slots: np.ndarray
    smooth: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.triangles)
        for name, kind, shape in (
            ("vertices", np.float64, (len(self.vertices), 3)),
            ("triangles", np.int32, (count, 3)),
            ("slots", np.int16, (count,)),
            ("smooth", np.bool_, (count,)),
        ):
            array = np.array(getattr(self, name), kind, order="C")
            if array.shape != shape:
                raise ValueError(f"a mesh's {name} have the shape {array.shape}, not {shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if count and not 0 <= self.triangles.min() <= self.triangles.max() < len(self.vertices):
            raise ValueError(f"a mesh's triangles name vertices outside its {len(self.vertices)}")
        if count and self.slots.min() < 0:
            raise ValueError("a mesh's slots are negative")
        if not np.isfinite(self.vertices).all():
            raise ValueError("a mesh's vertices are not finite")

    def __len__(self) -> int:
        return len(self.triangles)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """The mesh, shifted."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """The mesh with its vertices multiplied by `matrix` (3, 3) from the left; mirroring reverses triangles' order of corners."""
        flipped = self.triangles[:, ::-1] if np.linalg.det(matrix) < 0 else self.triangles
        return replace(self, vertices=self.vertices @ np.asarray(matrix, float).T, triangles=flipped)

    def stretched(self, x: float, y: float, z: float) -> Mesh:
        """The mesh, scaled along each axis; a negative factor mirrors."""
        return self.transformed(np.diag([x, y, z]))

    def painted(self, slot: int) -> Mesh:
        """The mesh, all of it in one material slot."""
        return replace(self, slots=np.full(len(self), slot))

    def bounds(self) -> np.ndarray:
        """The lowest and the highest corner (2, 3) of the bounding box."""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    def volume(self) -> float:
        """The volume that a closed mesh encloses; overlapping parts count twice."""
        a, b, c = np.moveaxis(self.vertices[self.triangles], 1, 0)
        return float((a * np.cross(b, c)).sum() / 6)

    def corners(self) -> np.ndarray:
        """The triangles' corners, (T, 3, 3): triangle, corner, coordinate."""
        return self.vertices[self.triangles]

    def digest(self) -> str:
        """SHA-256 of the mesh's four arrays, in hexadecimal."""
        sha = hashlib.sha256()
        for array in (self.vertices, self.triangles, self.slots, self.smooth):
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def normals(self) -> np.ndarray:
        """Unit normals (T, 3) of the triangles; zero for a triangle without area."""
        return _unit(self._areas())

    def corner_normals(self) -> np.ndarray:
        """The normals (T, 3, 3) for shading: triangle, corner, coordinate.

        At a smooth triangle's corner: the mean, weighted by area, over the smooth triangles that meet there at less than `CREASE`.
        """
        areas = self._areas()
        flat = _unit(areas)
        result = np.repeat(flat[:, None], 3, axis=1)
        corners, others = self._meeting()
        near = (flat[corners // 3] * flat[others // 3]).sum(1) > np.cos(np.radians(CREASE))
        sums = np.zeros((3 * len(self), 3))
        for axis in range(3):
            sums[:, axis] = np.bincount(corners[near], areas[others[near] // 3, axis], minlength=len(sums))
        smoothed = _unit(sums).reshape(-1, 3, 3)
        return np.where(np.abs(smoothed).max(-1, keepdims=True) > 0, smoothed, result)

    def _areas(self) -> np.ndarray:
        """Vectors (T, 3) along the normals; their length is twice the triangle's area."""
        a, b, c = np.moveaxis(self.corners(), 1, 0)
        return np.cross(b - a, c - a)

    def _meeting(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of corners of smooth triangles at one point, each corner with itself too, as indices 3 x triangle + corner."""
        _, places = np.unique(self.vertices, axis=0, return_inverse=True)
        mine = np.flatnonzero(np.repeat(self.smooth, 3))
        at = places.reshape(-1)[self.triangles.reshape(-1)[mine]]
        order = np.argsort(at, kind="stable")
        mine, at = mine[order], at[order]
        _, starts, counts = np.unique(at, return_index=True, return_counts=True)
        few = counts <= _CROWDED  # the others are shaded flat: their number of pairs would have no bound
        starts, counts = starts[few], counts[few]
        first = np.repeat(starts, counts**2)
        within = np.arange(len(first)) - np.repeat(np.cumsum(counts**2) - counts**2, counts**2)
        width = np.repeat(counts, counts**2)
        return mine[first + within // width], mine[first + within % width]


def joined(parts: Iterable[Mesh]) -> Mesh:
    """All parts as one mesh; each keeps its slots."""
    found = list(parts)
    starts = np.cumsum([0, *(len(part.vertices) for part in found[:-1])])
    return Mesh(
        np.concatenate([part.vertices for part in found]),
        np.concatenate([part.triangles + start for part, start in zip(found, starts, strict=True)]),
        np.concatenate([part.slots for part in found]),
        np.concatenate([part.smooth for part in found]),
    )


def normalised(mesh: Mesh) -> Mesh:
    """The mesh, moved and scaled: its bounding box's middle is the origin, its farthest vertex is 1 away, all vertices are on `GRID`.

    Unused vertices are dropped, and triangles of which the grid brings two corners together. ValueError for a mesh without triangles or
    without extent.
    """
    if not len(mesh):
        raise ValueError("it has no triangles")
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.triangles] = True
    vertices = mesh.vertices[used]
    vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
    reach = float(np.sqrt((vertices**2).sum(1).max()))
    if not 0 < reach < np.inf:
        raise ValueError("it has no extent")
    vertices = np.round(vertices / reach / GRID) * GRID + 0.0
    triangles = (np.cumsum(used) - 1)[mesh.triangles]
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    whole = ~((a == b).all(1) | (b == c).all(1) | (c == a).all(1))
    return Mesh(vertices, triangles[whole], mesh.slots[whole], mesh.smooth[whole])


def mesh_bytes(mesh: Mesh, **more: np.ndarray) -> bytes:
    """The mesh, and `more` arrays beside it, as an ``.npz`` file without pickles."""
    stream = io.BytesIO()
    arrays = {"vertices": mesh.vertices, "triangles": mesh.triangles, "slots": mesh.slots, "smooth": mesh.smooth, **more}
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def mesh_from(arrays: dict[str, np.ndarray]) -> Mesh:
    """The mesh of the arrays that `mesh_bytes` saves. KeyError if one is missing, ValueError if they form no mesh."""
    return Mesh(arrays["vertices"], arrays["triangles"], arrays["slots"], arrays["smooth"])


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)

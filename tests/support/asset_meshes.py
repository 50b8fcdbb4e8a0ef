"""Meshes that tests share, and a ray cast that is independent of the code under test."""

from __future__ import annotations

import numpy as np

from datagen.assets.mesh import Mesh
from datagen.geometry.camera import Rays


def plain(vertices: np.ndarray, triangles: np.ndarray) -> Mesh:
    """A mesh of one slot, shaded flat."""
    return Mesh(vertices, triangles, np.zeros(len(triangles)), np.zeros(len(triangles)))


def unit_cube() -> Mesh:
    """A cube of half-extent 1, twelve triangles."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return plain(corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]))


def brute_force(corners: np.ndarray, rays: Rays, row: int, column: int) -> float:
    """How far along the ray the nearest of `corners` (T, 3, 3) is met, by Moeller and Trumbore; infinity for a miss."""
    direction = rays.axes @ np.array([rays.x[column], rays.y[row], -1.0])
    best = np.inf
    for a, b, c in corners:
        one, two, start = b - a, c - a, rays.origin - a
        p = np.cross(direction, two)
        determinant = one @ p
        if abs(determinant) < 1e-14:
            continue
        u, q = (start @ p) / determinant, np.cross(start, one)
        v, t = (direction @ q) / determinant, (two @ q) / determinant
        if u >= 0 and v >= 0 and u + v <= 1 and t > 0:
            best = min(best, float(t))
    return best


def open_edges(mesh: Mesh) -> int:
    """How many directed edges occur more or less often than their reverse; vertices at one place count as one."""
    _, place = np.unique(mesh.vertices, axis=0, return_inverse=True)
    edges = place.reshape(-1)[mesh.triangles][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    there, counts = np.unique(edges, axis=0, return_counts=True)
    ways = dict(zip(map(tuple, there.tolist()), counts.tolist(), strict=True))
    return sum(ways.get((b, a), 0) != count for (a, b), count in ways.items())

"""The shapes as numbers: vertices, faces and exact normals, without Blender.

Normals are given per vertex instead of being guessed from the faces, so that bevels and spheres shade without facets
and flat faces stay flat. Solids have half-extent 1, as `datagen.geometry.solids` casts them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEGMENTS = 96  # around a sphere or a cylinder
RINGS = 48  # from pole to pole of a sphere
BEVEL_STEPS = 4  # facets across one edge's rounding


@dataclass(frozen=True)
class BasicMesh:
    """Vertices (N, 3), normals (N, 3) and faces, each a tuple of vertex indices seen counter-clockwise from outside."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: list[tuple[int, ...]]


def sphere() -> BasicMesh:
    """A sphere of radius 1."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, RINGS + 1)
    profile = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _revolved(profile, profile)


def cylinder(bevel: float) -> BasicMesh:
    """A cylinder of radius 1 and height 2 whose rims are rounded with radius `bevel`."""
    angles = np.linspace(0.0, np.pi / 2, BEVEL_STEPS + 1)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    upper = np.concatenate([(1.0 - bevel) + bevel * arc, [(0.0, 1.0)]])
    upper_normals = np.concatenate([arc, [(0.0, 1.0)]])
    downward = (1.0, -1.0)
    return _revolved(
        np.concatenate([upper[::-1] * downward, upper]),
        np.concatenate([upper_normals[::-1] * downward, upper_normals]),
    )


def cube(bevel: float) -> BasicMesh:
    """A cube of edge 2 whose edges and corners are rounded with radius `bevel`."""
    inner = 1.0 - bevel
    rising = inner + bevel * np.tan(np.linspace(0.0, np.pi / 4, BEVEL_STEPS + 1))  # equal angles once projected onto the rounded edge
    lines = np.concatenate([-rising[::-1], rising])
    u, v = np.meshgrid(lines, lines, indexing="ij")
    face = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    quads = np.array(_grid(len(lines), len(lines)))
    points: list[np.ndarray] = []
    faces: list[tuple[int, ...]] = []
    for axis in range(3):
        for side in (1.0, -1.0):
            turned = np.roll(face * (side, 1.0, side), axis + 1, axis=1)  # a half turn about v, so that the winding stays
            faces += [tuple(int(i) for i in quad) for quad in quads + len(points) * len(face)]
            points.append(turned)
    flat = np.concatenate(points)
    core = np.clip(flat, -inner, inner)
    normals = _unit(flat - core)
    return BasicMesh(core + bevel * normals, normals, faces)


def swept(profile: np.ndarray, normals: np.ndarray, half_width: float) -> BasicMesh:
    """A profile (N, 2) of (along Y, along Z) and its normals, drawn out along X from -`half_width` to `half_width`."""
    x = np.repeat([-half_width, half_width], len(profile))[:, None]
    return BasicMesh(
        np.concatenate([x, np.tile(profile, (2, 1))], axis=1),
        np.concatenate([np.zeros_like(x), np.tile(normals, (2, 1))], axis=1),
        _grid(2, len(profile)),
    )


def _revolved(profile: np.ndarray, normals: np.ndarray) -> BasicMesh:
    """A profile (N, 2) of (radius, height), bottom to top and closed at both poles, turned about Z."""
    angles = np.arange(SEGMENTS) * (2 * np.pi / SEGMENTS)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def turn(line: np.ndarray) -> np.ndarray:
        heights = np.broadcast_to(line[:, None, 1:], (len(line), SEGMENTS, 1))
        return np.concatenate([line[:, None, :1] * around, heights], axis=2).reshape(-1, 3)

    return BasicMesh(turn(profile), turn(normals), _rings(len(profile)))


def _rings(count: int) -> list[tuple[int, ...]]:
    """The faces between `count` rings of vertices: quads, and triangles where the first and the last ring are a point."""
    faces: list[tuple[int, ...]] = []
    for ring in range(count - 1):
        low, high = ring * SEGMENTS, (ring + 1) * SEGMENTS
        for a in range(SEGMENTS):
            b = (a + 1) % SEGMENTS
            if ring == 0:
                faces.append((low + a, high + b, high + a))
            elif ring == count - 2:
                faces.append((low + a, low + b, high + a))
            else:
                faces.append((low + a, low + b, high + b, high + a))
    return faces


def _grid(rows: int, columns: int) -> list[tuple[int, ...]]:
    """The quads of a grid of vertices, row by row."""
    starts = [r * columns + c for r in range(rows - 1) for c in range(columns - 1)]
    return [(i, i + columns, i + columns + 1, i + 1) for i in starts]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

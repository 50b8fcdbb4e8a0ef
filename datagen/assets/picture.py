"""A picture of an asset without Blender, for previews: rays are cast as for labels, and three fixed lamps light the surface."""

from __future__ import annotations

import numpy as np

from datagen.assets.library import Asset
from datagen.assets.solid import MeshSolid
from datagen.geometry.camera import Rays, rays
from datagen.scene import Camera, Vec3

VIEW: Vec3 = (6.2, -6.6, 4.4)
"""The camera's position for previews: in front, to the right and above. With a long lens, the projection is nearly parallel."""
_LAMPS = ((0.35, -0.9, 0.75, 0.62), (0.9, 0.25, 0.4, 0.3), (-0.2, 0.1, 1.0, 0.2))  # direction and strength
_AMBIENT = 0.16


def picture(asset: Asset, size: int, background: tuple[int, int, int] = (255, 255, 255), rotation: np.ndarray | None = None) -> np.ndarray:
    """The asset in its own colours, turned by `rotation` (3, 3), fitted to (`size`, `size`, 3) uint8, sRGB."""
    fine = 2 * size  # each pixel is the mean of four
    solid = MeshSolid(asset.mesh, (0.0, 0.0, 0.0), 1.0, np.eye(3) if rotation is None else rotation)
    distance = float(np.linalg.norm(VIEW))
    camera = Camera(VIEW, lens_mm=32.0 * (distance - 1) / 2, sensor_mm=32.0)
    grid = rays(camera, fine, fine)
    depth, index = solid.hits(grid)
    seen = index >= 0
    triangle = index[seen]
    weights = _barycentric(solid.hull()[asset.mesh.triangles[triangle]], _points(grid, depth)[seen])
    normals = (asset.mesh.corner_normals()[triangle] * weights[:, :, None]).sum(1) @ solid.rotation.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    towards = np.asarray(VIEW) / distance
    normals = np.where((normals @ towards)[:, None] < 0, -normals, normals)  # visible inner sides are lit as well
    light = np.full(len(triangle), _AMBIENT)
    for x, y, z, strength in _LAMPS:
        direction = np.array([x, y, z]) / np.linalg.norm([x, y, z])
        light += strength * np.maximum(normals @ direction, 0)
    colors = np.array(asset.colors, float)[asset.mesh.slots[triangle]] / 255
    canvas = np.broadcast_to((np.array(background, float) / 255) ** 2.2, (fine, fine, 3)).copy()
    canvas[seen] = np.clip(colors * light[:, None], 0, 1)
    small = canvas.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.round(255 * small ** (1 / 2.2)).astype(np.uint8)


def _points(grid: Rays, depth: np.ndarray) -> np.ndarray:
    """The world points (rows, columns, 3) at depths (rows, columns) along the rays; not finite where the depth is infinite."""
    directions = np.moveaxis(grid.along(np.eye(3)), 0, -1)
    with np.errstate(invalid="ignore"):
        return grid.origin + depth[..., None] * directions


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The barycentric coordinates (N, 3) of points (N, 3) in triangles with corners (N, 3, 3)."""
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    area = np.maximum((normal * normal).sum(1), 1e-30)
    second = (np.cross(c - b, points - b) * normal).sum(1) / area
    third = (np.cross(a - c, points - c) * normal).sum(1) / area
    return np.stack([second, third, 1 - second - third], axis=1)

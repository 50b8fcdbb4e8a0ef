"""Assets in Blender: numpy meshes become Blender meshes, kept for later scenes, and objects get the poses of the labels' solids."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix

from blender_scenes.block_cache import BlockCache
from blender_scenes.paints import PaintShop
from blender_scenes.stage import add_object
from datagen.assets.library import Asset
from datagen.assets.mesh import Mesh
from datagen.assets.paint import Paint
from datagen.assets.solid import MeshSolid

MOST_TRIANGLES_KEPT = 1_000_000  # some 200 MB in Blender


class AssetShelf:
    """A worker's caches of asset meshes and materials; the least recently used go first."""

    def __init__(self) -> None:
        self._meshes: BlockCache[bpy.types.Mesh] = BlockCache(MOST_TRIANGLES_KEPT, bpy.data.meshes.remove)
        self._paints = PaintShop()

    def place(self, stage: bpy.types.Scene, asset: Asset, solid: MeshSolid, paints: Sequence[Paint]) -> bpy.types.Object:
        """Add the asset to the stage in the pose of `solid`, made of its mesh, a paint per slot; ValueError if their numbers differ."""
        if len(paints) != len(asset.colors):
            raise ValueError(f"{asset.id} has {len(asset.colors)} slots, but {len(paints)} paints were given")
        mesh = self._meshes.get(asset.id, lambda: new_asset_mesh(asset.id, asset.mesh, len(paints)), len(asset.mesh))
        shown = add_object(stage, asset.id, mesh)
        shown.matrix_world = pose_matrix(solid)
        for slot, paint in zip(shown.material_slots, paints, strict=True):
            # Linked to the object, because objects with other paints share the mesh.
            slot.link = "OBJECT"
            slot.material = self._paints.material(paint)
        return shown

    def counts(self) -> tuple[int, int]:
        """How many meshes and materials are kept."""
        return len(self._meshes), len(self._paints)


def pose_matrix(solid: MeshSolid) -> Matrix:
    """The pose of a solid as a Blender object's 4x4 matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = solid.scale * solid.rotation
    matrix[:3, 3] = solid.location
    return Matrix(matrix.tolist())


def new_asset_mesh(name: str, mesh: Mesh, slots: int) -> bpy.types.Mesh:
    """A Blender mesh with the mesh's own normals and `slots` empty material slots."""
    made = bpy.data.meshes.new(name)
    made.from_pydata(mesh.vertices.tolist(), [], mesh.triangles.tolist())
    for _ in range(slots):
        made.materials.append(None)
    made.polygons.foreach_set("material_index", mesh.slots.astype(np.int32))
    made.shade_smooth()
    made.normals_split_custom_set(mesh.corner_normals().reshape(-1, 3).astype(np.float32))
    return made

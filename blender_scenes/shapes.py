"""Blender meshes of the shapes, made once per process and shared by all objects that show them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import bpy
import numpy as np

from blender_scenes import geometry
from blender_scenes.materials import material

CUBE_BEVEL = 0.07  # of the half-edge
CYLINDER_BEVEL = 0.08  # of the radius

SHAPES: dict[str, Callable[[], geometry.BasicMesh]] = {
    "cube": lambda: geometry.cube(CUBE_BEVEL),
    "sphere": geometry.sphere,
    "cylinder": lambda: geometry.cylinder(CYLINDER_BEVEL),
}


def new_mesh(name: str, surface: geometry.BasicMesh) -> bpy.types.Mesh:
    """A mesh with the surface's own normals."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(surface.vertices.tolist(), [], surface.faces)
    mesh.shade_smooth()
    mesh.normals_split_custom_set_from_vertices(np.ascontiguousarray(surface.normals, np.float32))
    return mesh


@cache
def shape_mesh(shape: str, finish: str) -> bpy.types.Mesh:
    """The mesh of a shape in a material.

    The material sits on the mesh, not on the object: Cycles can then keep one copy for all objects of that shape and material.
    """
    mesh = new_mesh(f"{shape} {finish}", SHAPES[shape]())
    mesh.materials.append(material(finish))
    mesh.use_fake_user = True  # outlives the objects of one scene
    return mesh

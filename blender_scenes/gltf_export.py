"""A tidy scene as a .glb file, by Blender's own exporter. Importing this imports bpy.

What glTF has no word for is put into the nearest that it has: area lamps into spots of the same light along their axis, the parts of a lamp
into one, materials into base colour, roughness and metalness. A grey world, which lights floating objects, is left out.
"""

from __future__ import annotations

import math
from pathlib import Path

import bpy
from mathutils import Vector

from blender_scenes.gltf_materials import simplify
from blender_scenes.stage import UNSEEN

_WIDEST = math.radians(179.9)  # of a spot: glTF allows less than half the space
_SPOT_OF_AREA = 4.0  # an area lamp of P watts sends P/π watts a steradian along its axis, a spot P/4π


def save_glb(scene: bpy.types.Scene, path: Path) -> None:
    """Write the open, tidy scene to `path`. The scene is changed for it and of no use afterwards."""
    for thing in list(scene.objects):
        if thing.name == UNSEEN:
            bpy.data.objects.remove(thing)
    _join_lamps()
    scene.cycles.samples, scene.cycles.use_denoising = 1, False  # baked colours have no noise
    simplify([thing for thing in scene.objects if thing.type == "MESH"])
    bpy.ops.export_scene.gltf(
        filepath=str(path),
        check_existing=False,
        export_format="GLB",
        export_cameras=True,
        export_lights=True,
        export_animations=False,
        export_import_convert_lighting_mode="COMPAT",
        export_image_format="AUTO",
        export_hierarchy_full_collections=True,
    )


def _join_lamps() -> None:
    """One lamp instead of several parts, and spots instead of areas."""
    for light in list(bpy.data.lights):
        first, *others = parts = [thing for thing in bpy.data.objects if thing.data == light]
        first.location = sum((part.location for part in parts), Vector()) / len(parts)
        first.name = light.name
        for other in others:
            bpy.data.objects.remove(other)
        light.energy *= len(parts)
        if light.type == "AREA":
            size, color, energy = light.size, tuple(light.color), light.energy
            light.type = "SPOT"
            spot = first.data
            spot.energy, spot.color, spot.shadow_soft_size = _SPOT_OF_AREA * energy, color, size / 2
            spot.spot_size, spot.spot_blend = _WIDEST, 1.0

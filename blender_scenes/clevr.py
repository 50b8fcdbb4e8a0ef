"""CLEVR in Blender: a scene's objects and a shot's lamps on the stage."""

from __future__ import annotations

import math

import bpy

from blender_scenes.materials import linear_color
from blender_scenes.shapes import shape_mesh
from blender_scenes.stage import add_object, build_stage, set_up
from datagen.domains.clevr import COLORS, Clevr
from datagen.geometry.solids import Solid
from datagen.scene import Object, Scene, Shot


class ClevrBuilder:
    """Builds the stage in a Blender scene, and puts the objects and lamps of one scene at a time on it."""

    def __init__(self, stage: bpy.types.Scene, domain: Clevr) -> None:
        self._stage, self._domain = stage, domain
        build_stage(stage, domain.camera)

    def show(self, scene: Scene, shot: Shot, lamp_parts: bool) -> None:
        """Put `scene` on the stage as `shot` lights and frames it. The stage must be clear."""
        set_up(self._stage, shot, lamp_parts)
        placed = set()
        for obj in self._domain.canonical(scene).objects:  # a fixed order, because Cycles' rounding depends on it
            solid = self._domain.solid(obj)
            if solid not in placed:  # light gets lost between coincident objects: show the first, as the labels do
                self._add(obj, solid)
            placed.add(solid)

    def _add(self, obj: Object, solid: Solid) -> None:
        """Place an object where the labels' ray cast has it."""
        added = add_object(self._stage, solid.kind, shape_mesh(solid.kind, obj["material"]))
        added.location = solid.location
        added.scale = (solid.scale,) * 3
        added.rotation_euler = (0.0, 0.0, math.radians(solid.degrees))
        added.color = (*linear_color(COLORS[obj["color"]]), 1.0)

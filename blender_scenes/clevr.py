"""CLEVR in Blender: a scene's objects and a shot's lamps on the stage."""

from __future__ import annotations

import bpy

from blender_scenes.materials import linear_color
from blender_scenes.shapes import shape_mesh
from blender_scenes.stage import add_lamp, aim_camera, build_stage, place
from datagen.domains.clevr import CAMERA, COLORS, Clevr
from datagen.scene import Object, Scene, Shot

_DOMAIN = Clevr()


class ClevrBuilder:
    """Holds the stage, and on it the objects and lamps of one scene at a time."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        self._shown: list[bpy.types.Object] = []
        build_stage(scene, CAMERA)

    def show(self, scene: Scene, shot: Shot) -> None:
        """Replace what was shown by `scene` as `shot` lights and frames it."""
        self.clear()
        aim_camera(self._scene, shot.camera)
        for lamp in shot.lamps:
            self._shown.append(add_lamp(self._scene, lamp))
        for obj in _DOMAIN.canonical(scene).objects:
            self._shown.append(self._add(obj))

"""Posed assets in Blender: the builder of every `datagen.domains.posed.PosedDomain`."""

from __future__ import annotations

import bpy

from blender_scenes.assets import AssetShelf
from blender_scenes.stage import build_open_stage, build_stage, set_up
from datagen.domains.posed import PosedDomain
from datagen.scene import Scene, Shot


class PosedBuilder:
    """Keeps the stage in a Blender scene, and on it the objects and lamps of one scene at a time; meshes and paints stay for the next.

    The stage is CLEVR's where the domain has a ground, sun included, else a plain light background that objects float in front of.
    """

    def __init__(self, stage: bpy.types.Scene, domain: PosedDomain) -> None:
        self._stage, self._domain = stage, domain
        self._shelf = AssetShelf()
        if domain.ground is None:
            build_open_stage(stage)
        else:
            build_stage(stage, domain.camera)

    def show(self, scene: Scene, shot: Shot, lamp_parts: bool) -> None:
        """Put `scene` on the stage as `shot` lights and frames it. The stage must be clear."""
        set_up(self._stage, shot, lamp_parts, sun=self._domain.ground is not None)
        placed = set()
        for obj in self._domain.canonical(scene).objects:  # the tracer's rounding follows the order
            asset, pose = self._domain.asset(obj), (self._domain.location(obj), self._domain.scale(obj), obj["rotation"])
            if (asset.id, pose) not in placed:  # as with CLEVR's: of several in the very same place, the labels see the first
                self._shelf.place(self._stage, asset, self._domain.solid(obj), self._domain.paints(obj))
            placed.add((asset.id, pose))

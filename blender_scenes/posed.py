"""Posed assets in Blender: the builder of every `datagen.domains.posed.PosedDomain`."""

from __future__ import annotations

import bpy

from blender_scenes.assets import AssetShelf
from blender_scenes.stage import build_open_stage, build_stage, set_up
from datagen.domains.posed import PosedDomain
from datagen.scene import Scene, Shot


class PosedBuilder:
    """Builds the stage in a Blender scene, and puts the objects and lamps of one scene at a time on it; meshes and paints are kept.

    If the domain has a ground, the stage is CLEVR's, with the sun; else objects float in plain grey surroundings.
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
        for obj in self._domain.canonical(scene).objects:  # a fixed order, because Cycles' rounding depends on it
            asset, pose = self._domain.asset(obj), (self._domain.location(obj), self._domain.scale(obj), obj["rotation"])
            if (asset.id, pose) not in placed:  # of coincident objects, show the first, as the labels do
                self._shelf.place(self._stage, asset, self._domain.solid(obj), self._domain.paints(obj))
            placed.add((asset.id, pose))

"""Domains of objects in space, with camera and lamps: rendered by Blender, labelled by an exact ray cast."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from datagen.domains.base import Domain
from datagen.geometry.camera import ground_directions, project
from datagen.geometry.raycast import Castable, cast
from datagen.geometry.view import View
from datagen.scene import Camera, Lamp, Object, Quality, Scene, Shot, Vec3

if TYPE_CHECKING:
    from datagen.rng import Stream


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StagedDomain(Domain):
    """A domain that Blender renders: its builder puts its scenes on a stage."""

    builder: str
    """``package.module:Class``, a `blender_scenes.builders.Builder`: named, not imported, for only a Blender worker has bpy."""
    camera: Camera
    """The standard camera. It defines directions and the order of objects, whatever camera a shot has."""
    lamps: tuple[Lamp, ...]
    """The lamps at their standard, unmoved places."""

    @abstractmethod
    def solid(self, obj: Object) -> Castable:
        """The object's geometry, from which both its labels and its Blender object are made."""

    @property
    def directions(self) -> Mapping[str, Vec3]:
        return ground_directions(self.camera)

    @cached_property
    def axes(self) -> tuple[Vec3, Vec3]:
        """Unit vectors on the ground: right and behind, as the standard camera sees them."""
        directions = ground_directions(self.camera)
        return directions["right"], directions["behind"]

    def order(self, obj: Object) -> tuple[float, ...]:
        """The sort key for left to right on the ground as the standard camera sees it, then front to back, then by height."""
        (x, y, z), (right, behind) = self.location(obj), self.axes
        return (x * right[0] + y * right[1], x * behind[0] + y * behind[1], z)

    def canonical_shot(self, width: int, height: int, quality: Quality) -> Shot:
        return Shot(width, height, quality, self.camera, self.lamps, noise_seed=0)

    def sample_shot(self, rng: Stream, template: Shot, light_jitter: float) -> Shot:
        """The template with its noise seed drawn, and its lamps moved by up to `light_jitter` metres along each axis, uniformly."""
        lamps = []
        for lamp in template.lamps:
            x, y, z = (round((rng.uniform(-light_jitter, light_jitter) + v) * 1e6) / 1e6 for v in lamp.location)
            lamps.append(replace(lamp, location=(x, y, z)))
        return replace(template, lamps=tuple(lamps), noise_seed=rng.below(2**31))

    def centres(self, objects: Sequence[Object], shot: Shot) -> np.ndarray:
        places = np.array([self.location(obj) for obj in objects]).reshape(-1, 3)
        return project(shot.viewpoint, shot.width, shot.height, places)

    def view(self, scene: Scene, shot: Shot, least: float = 0.0) -> View | None:
        solids = [self.solid(obj) for obj in scene.objects]
        return cast(solids, shot.viewpoint, shot.width, shot.height, least=least)

"""Domains of objects in space, with camera and lamps: rendered by Blender, labelled by an exact ray cast."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from datagen.code.grammar import write_code
from datagen.code.statements import Choice, Number, Statement
from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.geometry.camera import ground_directions, project
from datagen.geometry.raycast import Castable, cast
from datagen.geometry.view import View
from datagen.scene import Camera, Lamp, Object, Quality, Scene, Shot, Vec3

if TYPE_CHECKING:
    from datagen.rng import Stream


CAMERA = Statement(
    "camera",
    (
        Number("loc", (-30.0,) * 3, (30.0,) * 3, 3, "m"),
        Number("target", (-30.0,) * 3, (30.0,) * 3, 3, "m"),
        Number("lens", (5.0,), (500.0,), 2, "mm"),
    ),
)
"""A camera in code; its sensor is `datagen.scene.Camera`'s."""
LAMP_LOCATION = Number("loc", (-30.0,) * 3, (30.0,) * 3, 3, "m")
LAMP_POWER = Number("power", (0.0,), (1000.0,), 2, "W")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StagedDomain(Domain):
    """A domain that Blender renders: its builder puts its scenes on a stage."""

    builder: str
    """``package.module:Class``, a `blender_scenes.builders.Builder`: named, not imported, for only a Blender worker has bpy."""
    camera: Camera
    """The standard camera. It defines directions and the order of objects, whatever camera a shot has."""
    lamps: tuple[Lamp, ...]
    """The lamps at their standard, unmoved places."""

    @cached_property
    def header(self) -> tuple[Statement, ...]:
        """The camera, and the lamps by their names: of a lamp's colour and size, the domain's own lamp of that name decides."""
        names = tuple(lamp.name for lamp in self.lamps)
        return (CAMERA, Statement("lamp", (Choice("name", names), LAMP_LOCATION, LAMP_POWER))) if names else (CAMERA,)

    def header_of(self, shot: Shot) -> tuple[Object, ...]:
        """A shot's camera and lamps as a header, rounded as declared; a camera with another sensor gets the lens with the same view.

        `UserError` if code cannot say them: lamps other than the domain's, of other colours or sizes, or in another order of magnitude
        than declared.
        """
        camera = shot.viewpoint
        lens = camera.lens_mm * Camera.sensor_mm / camera.sensor_mm
        header = [Object("camera", {"loc": camera.location, "target": camera.target, "lens": lens})]
        own = {lamp.name: lamp for lamp in self.lamps}
        for lamp in shot.lamps:
            if lamp.name not in own:
                raise UserError(f"code of the {self.name} domain cannot name a lamp {lamp.name!r}, only {', '.join(own)}")
            if (lamp.size, lamp.color) != (own[lamp.name].size, own[lamp.name].color):
                raise UserError(f"code cannot say the size or the colour of a lamp, and the {lamp.name} lamp has others than the domain's")
            header.append(Object("lamp", {"name": lamp.name, "loc": lamp.location, "power": lamp.power}))
        scene = self.canonical(Scene(self.name, (), tuple(header)))
        if found := self.violations(scene):
            raise UserError(f"code cannot say this camera or these lamps: {found[0].removeprefix('the header: ')}")
        return scene.header

    def camera_of(self, scene: Scene, otherwise: Camera) -> Camera:
        """The camera that a scene's header states, or, if it states none, the other one."""
        for obj in scene.header:
            if obj.statement == "camera":
                return Camera(obj["loc"], obj["target"], float(obj["lens"]), name=otherwise.name)
        return otherwise

    def shot_of(self, scene: Scene, template: Shot) -> Shot:
        """See `Domain.shot_of`. If the header has lamps, they are all that there are. The noise seed is then a digest of the code, so that
        the code alone, in a given frame and quality, determines the image."""
        if not scene.header:
            return template
        camera = self.camera_of(scene, template.viewpoint)
        own = {lamp.name: lamp for lamp in self.lamps}
        stated = (obj for obj in scene.header if obj.statement == "lamp")
        lamps = tuple(replace(own[obj["name"]], location=obj["loc"], power=float(obj["power"])) for obj in stated)
        digest = hashlib.sha256(write_code(scene, self).encode()).digest()
        seed = int.from_bytes(digest[:4], "big") % 2**31
        return replace(template, camera=camera, lamps=lamps or template.lamps, noise_seed=seed)

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

"""One stage per domain, with the builder that the domain declares, made at its first use. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import bpy

from blender_scenes.devices import enable_gpu
from blender_scenes.fresh import start_empty
from blender_scenes.quality import QUALITY, Settings, set_up_cycles, set_up_shot
from datagen.domains.base import Domain
from datagen.domains.plugins import load
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import Hopeless, UserError
from datagen.scene import Scene, Shot


class Builder(Protocol):
    """Puts scenes of one domain on a stage. Its constructor takes the stage, an empty Blender scene of its own, and then the domain."""

    def show(self, scene: Scene, shot: Shot, lamp_parts: bool) -> None:
        """Add the scene's objects and the shot's lamps (cut into parts if `lamp_parts`) to the stage, and aim its camera."""


def load_builder(domain: Domain) -> Callable[[bpy.types.Scene, Domain], Builder]:
    """The builder that a domain declares; `Hopeless` if it has none, or one that cannot be imported."""
    if not isinstance(domain, StagedDomain):
        raise Hopeless(f"the {domain.name} domain is painted without Blender, and has no builder")
    try:
        builder: Callable[[bpy.types.Scene, Domain], Builder] = load(domain.builder, f"the builder of the {domain.name} domain")
    except UserError as error:
        raise Hopeless(str(error)) from error
    return builder


class Stages:
    """One Blender scene per domain, so that domains cannot leak into each other."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Render on the GPU with this Cycles device type and id, or on the CPU."""
        start_empty()
        if gpu is not None:
            enable_gpu(*gpu)
        self._device = "CPU" if gpu is None else "GPU"
        self._made: dict[str, tuple[bpy.types.Scene, Builder]] = {}

    @contextmanager
    def showing(self, scene: Scene, shot: Shot, settings: Settings | None = None) -> Iterator[bpy.types.Scene]:
        """The Blender scene with the objects of `scene` and the camera and lamps of `shot`, ready to be rendered; cleared afterwards.

        `settings` replace those of the shot's quality.

        Raises `UserError` for an unknown domain or a scene that fails its check, `Hopeless` for a domain that cannot be staged, ValueError
        for a frame size or a noise seed that Blender cannot have.
        """
        domain = get_domain(scene.domain)
        domain.check(scene)
        stage, builder = self._stage(domain)
        standing = set(stage.objects)
        settings = settings or QUALITY[shot.quality]
        set_up_shot(stage, shot, settings)
        try:
            builder.show(scene, shot, settings.lamp_parts)
            yield stage
        finally:
            _remove([o for o in stage.objects if o not in standing])

    def _stage(self, domain: Domain) -> tuple[bpy.types.Scene, Builder]:
        if domain.name not in self._made:
            builder = load_builder(domain)
            stage = bpy.data.scenes.new(domain.name)
            set_up_cycles(stage, self._device)
            self._made[domain.name] = stage, builder(stage, domain)
        return self._made[domain.name]


def _remove(objects: list[bpy.types.Object]) -> None:
    """Remove objects and the lights that only they used. Meshes and materials stay for the next scene."""
    lights = {o.data for o in objects if o.type == "LIGHT"}  # the parts of a lamp share one
    bpy.data.batch_remove([*objects, *lights])

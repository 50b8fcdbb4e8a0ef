"""A scene alone in Blender, tidied for people: readable names, collections, nothing left over. Importing this imports bpy.

What decides over the picture stays what it is in a worker, down to the order of objects and lamps, by which Cycles rounds and picks lamps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import bpy

from blender_scenes.builders import load_builder
from blender_scenes.materials import material
from blender_scenes.quality import QUALITY, set_up_cycles, set_up_shot
from blender_scenes.shapes import shape_mesh
from blender_scenes.stage import forget_meshes, name_twin
from blender_scenes.written_down import settings_of
from datagen.domains.base import Domain
from datagen.scene import Scene, Shot

COLLECTIONS = ("stage", "lamps", "objects")
"""The collections of a tidy scene, in the order in which a worker makes what is in them."""
_NUMBERED = re.compile(r"\.\d{3,}$")  # the suffix that Blender adds to a name that is in use


class TidyStage:
    """A stage in an empty Blender, on which scenes of one domain are shown one after the other."""

    def __init__(self, domain: Domain) -> None:
        _clear()
        self.scene = bpy.context.scene
        self.empty = settings_of(self.scene)
        """The settings of Blender's empty scene."""
        set_up_cycles(self.scene, "CPU")
        self.scene.render.threads_mode = "AUTO"
        self._builder = load_builder(domain)(self.scene, domain)
        self.standing = list(self.scene.objects)

    def show(self, scene: Scene, shot: Shot) -> list[bpy.types.Object]:
        """Put a scene on the stage as the shot frames and lights it, and return the objects that this has added, in order."""
        known = set(self.scene.objects)
        settings = QUALITY[shot.quality]
        set_up_shot(self.scene, shot, settings)
        self._builder.show(scene, shot, settings.lamp_parts)
        return [shown for shown in self.scene.objects if shown not in known]

    def tidy(self, key: str, shown: Sequence[bpy.types.Object]) -> None:
        """Sort everything, and drop what is not used, so that the scene can be saved or written down under the name `key`. ``shown`` are
        the objects that are not the stage's."""
        _sort(self.scene, shown)
        self.scene.name = key.encode(errors="replace").decode()
        self.scene.frame_start = self.scene.frame_end = 1
        self.scene.render.filepath = f"//{key}.png"
        image = self.scene.render.image_settings
        image.file_format, image.color_mode, image.color_depth = "PNG", "RGB", "8"
        _drop_unused()


def tidy_scene(domain: Domain, scene: Scene, shot: Shot, key: str) -> TidyStage:
    """The stage with the scene alone in this Blender, tidied. Errors as `blender_scenes.builders.Stages.showing`."""
    domain.check(scene)
    stage = TidyStage(domain)
    shown = stage.show(scene, shot)
    name_twin(stage.scene)
    _name_objects([thing for thing in shown if thing.type != "LIGHT"])
    name_lamps([thing for thing in shown if thing.type == "LIGHT"])
    stage.tidy(key, shown)
    return stage


def plain_name(name: str) -> str:
    """A name without the number that Blender adds where it is in use."""
    return _NUMBERED.sub("", name)


def name_lamps(lamps: Sequence[bpy.types.Object]) -> None:
    """Name lamps after their light, with a number where several share one: the parts that a strong lamp is cut into."""
    for light in dict.fromkeys(lamp.data for lamp in lamps):
        parts = [lamp for lamp in lamps if lamp.data == light]
        name = plain_name(light.name)
        for number, lamp in enumerate(parts, 1):
            lamp.name = name if len(parts) == 1 else f"{name} {number} of {len(parts)}"


def _clear() -> None:
    """Load Blender's empty scene, and forget the data that are gone. Add-ons and preferences stay as they are, which takes a fifth of the
    time of `blender_scenes.fresh.start_empty`."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    material.cache_clear()
    shape_mesh.cache_clear()
    forget_meshes()


def _name_objects(shown: Sequence[bpy.types.Object]) -> None:
    """Name each object ``object_N_NAME``: N counts the shown objects in the order of the code, NAME is the name in Blender so far."""
    for number, thing in enumerate(shown, 1):
        thing.name = f"object_{number}_{plain_name(thing.name)}"


def _sort(scene: bpy.types.Scene, shown: Sequence[bpy.types.Object]) -> None:
    """Move everything into its collection; within each and from one to the next, the order stays."""
    into = {}
    for name in COLLECTIONS:
        into[name] = bpy.data.collections.new(name)
        scene.collection.children.link(into[name])
    added = set(shown)
    for thing in list(scene.collection.objects):
        kind = "lamps" if thing.type == "LIGHT" else "objects" if thing in added else "stage"
        scene.collection.objects.unlink(thing)
        into[kind].objects.link(thing)


def _drop_unused() -> None:
    """Remove data that nothing uses, number equal names by a plain number, and pack images."""
    for blocks in (bpy.data.meshes, bpy.data.materials):
        for block in blocks:
            block.use_fake_user = False
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)
    for made in bpy.data.materials:
        made.name = _NUMBERED.sub(lambda number: f" {int(number[0][1:]) + 1}", made.name)
    for image in bpy.data.images:
        if image.source == "FILE":
            image.pack()
            image.filepath_raw = f"//{image.name}"  # the path to unpack it to, instead of its path on this machine

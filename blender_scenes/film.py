"""A sequence of scenes as one Blender scene with keyframes, each scene a frame. Importing this imports bpy.

Every scene is built as for its picture. What looks the same in two of them and follows on from one to the other, as
`datagen.metrics.tracks` has it, is one object, which is moved by keyframes; what is not in a scene is hidden in its frame. Keyframes are
constant: a frame shows its own scene exactly, and nothing is made up in between. The noise seed is the first scene's throughout, because
Blender's keyframes are 32-bit floats, which hold few of the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import bpy

from blender_scenes.blend import save_blend
from blender_scenes.quality import QUALITY, set_up_shot
from blender_scenes.script import light_facts
from blender_scenes.stage import TWIN, UNSEEN, add_object
from blender_scenes.tidy import COLLECTIONS, TidyStage, name_lamps, plain_name
from blender_scenes.written_down import plain
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.metrics.tracks import tracks
from datagen.scene import Scene, Shot

_PLACED = ("location", "rotation_euler", "scale")
_SAME_PLACE = 1e-3  # metres
_Pose = dict[str, Any]


@dataclass
class _Part:
    """An object of the film: what it shows, and its pose in each frame that it is seen in."""

    name: str
    collection: str
    data: bpy.types.ID
    materials: tuple[bpy.types.Material | None, ...] | None
    color: tuple[float, ...]
    poses: dict[int, _Pose] = field(default_factory=dict)


def write_film(request: Mapping[str, Any]) -> None:
    """Save the film of the scenes ``frames`` (``key``, ``scene`` and ``shot`` each), all of one domain, frame size and quality, ``fps`` a
    second, to the .blend file ``path``. Errors as `blender_scenes.builders.Stages.showing`."""
    scenes = [Scene.from_json(frame["scene"]) for frame in request["frames"]]
    shots = [Shot.from_json(frame["shot"]) for frame in request["frames"]]
    path, domain = Path(request["path"]), get_domain(scenes[0].domain)
    scenes = [domain.canonical(scene) for scene in scenes]
    stage = TidyStage(domain)
    parts: dict[Hashable, _Part] = {}
    settings: dict[tuple[str, str], dict[int, Any]] = {}
    for number, (scene, shot, followed) in enumerate(zip(scenes, shots, tracks(scenes, domain), strict=True), 1):
        domain.check(scene)
        shown = stage.show(scene, shot)
        _record(parts, number, stage.standing, shown, _tracks_of(shown, scene, domain, followed))
        for holder, of_holder in (("camera", _PLACED), ("camera.data", ("lens", "sensor_width"))):
            for name in of_holder:
                settings.setdefault((holder, name), {})[number] = plain(attrgetter(f"{holder}.{name}")(stage.scene))
        _remove(shown, {part.data for part in parts.values()})
    bpy.data.batch_remove([thing for thing in stage.standing if thing.type != "CAMERA"])
    set_up_shot(stage.scene, shots[0], QUALITY[shots[0].quality])
    made = {
        collection: [_made(p, stage.scene, len(scenes)) for p in parts.values() if p.collection == collection] for collection in COLLECTIONS
    }
    stage.tidy(path.stem, made["objects"])
    scene = stage.scene
    for (holder, name), values in settings.items():
        _keyframe(attrgetter(holder)(scene), name, values)
    _hold_values()
    scene.frame_end, scene.render.fps = len(scenes), request["fps"]
    scene.render.filepath = f"//{path.stem}-####"
    for number, frame in enumerate(request["frames"], 1):
        scene.timeline_markers.new(frame["key"], frame=number)
    scene.frame_set(1)
    save_blend(path)


def _record(
    parts: dict[Hashable, _Part],
    number: int,
    standing: Sequence[bpy.types.Object],
    shown: Sequence[bpy.types.Object],
    followed: Sequence[int],
) -> None:
    """Enter what a frame shows into the parts, to each that looks like this and has not moved in another way than by its pose."""
    lamps = [thing for thing in shown if thing.type == "LIGHT"]
    name_lamps(lamps)
    tracks_left = iter(followed)
    for thing in (*standing, *shown):
        if thing.type == "CAMERA":
            continue
        if thing.type == "LIGHT":
            collection, name, look = "lamps", plain_name(thing.name), repr(light_facts(thing.data))
        elif thing in shown:
            collection, name, look = "objects", f"object_{next(tracks_left) + 1}_{plain_name(thing.name)}", thing.data.name
        else:
            collection, name, look = "stage", UNSEEN if thing.name == TWIN else thing.name, thing.data.name
        materials = tuple(slot.material for slot in thing.material_slots) if any(s.link == "OBJECT" for s in thing.material_slots) else None
        color = tuple(thing.color)
        part = parts.setdefault((collection, name, look, materials, color), _Part(name, collection, thing.data, materials, color))
        for block in (part.data, *(materials or ())):
            if block is not None:
                block.use_fake_user = True  # it outlives this frame
        part.poses[number] = {path: plain(getattr(thing, path)) for path in _PLACED}


def _tracks_of(shown: Sequence[bpy.types.Object], scene: Scene, domain: Domain, followed: Sequence[int]) -> list[int]:
    """The track of each object that is shown, by its place: of several in the same place, a builder shows the first alone."""
    left = list(zip(scene, followed, strict=True))
    found = []
    for thing in shown:
        if thing.type == "LIGHT":
            continue
        while len(left) > 1 and math.dist(domain.location(left[0][0]), thing.location) > _SAME_PLACE:
            left.pop(0)
        found.append(left.pop(0)[1] if left else max(followed) + 1)
    return found


def _made(part: _Part, scene: bpy.types.Scene, count: int) -> bpy.types.Object:
    """A new object in the scene for a part, with keyframes wherever it moves, appears or vanishes."""
    made = add_object(scene, part.name, part.data)
    part.data.use_fake_user = False
    made.color = part.color
    for slot, material in zip(made.material_slots, part.materials or (), strict=False):
        slot.link, slot.material = "OBJECT", material
        if material is not None:
            material.use_fake_user = False
    for path in _PLACED:
        _keyframe(made, path, {number: pose[path] for number, pose in part.poses.items()})
    hidden = {number: number not in part.poses for number in range(1, count + 1)}
    _keyframe(made, "hide_render", hidden)
    _keyframe(made, "hide_viewport", hidden if part.name != UNSEEN else {1: True})
    return made


def _keyframe(holder: Any, path: str, values: Mapping[int, Any]) -> None:
    """Set a property, with a keyframe for each change if there is any. ``values`` by the number of the frame, in order."""
    before = None
    changing = len(set(values.values())) > 1
    for number, value in values.items():
        if value != before:
            setattr(holder, path, value)
            if changing:
                holder.keyframe_insert(path, frame=number)
        before = value


def _hold_values() -> None:
    """Let each keyframe's value hold until the next."""
    for action in bpy.data.actions:
        bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
        for point in [point for bag in bags for curve in bag.fcurves for point in curve.keyframe_points]:
            point.interpolation = "CONSTANT"


def _remove(shown: Sequence[bpy.types.Object], kept: Collection[bpy.types.ID]) -> None:
    """Remove a frame's objects, and the lights that are not kept."""
    lights = {thing.data for thing in shown if thing.type == "LIGHT"} - set(kept)
    bpy.data.batch_remove([*shown, *lights])

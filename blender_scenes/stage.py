"""The stage that objects stand on: sweep, camera, lamps, sun and the black world around them. Lengths in metres."""

from __future__ import annotations

import bpy
from mathutils import Matrix

from blender_scenes.geometry import Surface, swept
from blender_scenes.materials import material
from blender_scenes.shapes import new_mesh
from datagen.camera import look_at
from datagen.ground import Sweep, sweep_behind
from datagen.scene import Camera, Lamp, Shot, Vec3

SUN_STRENGTH = 0.45  # W/m²
SUN_EULER = (0.236, 0.417, 0.097)  # radians
AMBIENT = 0.3  # of the open stage's surroundings, where white is 1
PARTS = {"sun": 4, "back": 2}
"""Into how many equal parts the strongest lamps can be cut. Cycles, when it draws lamps evenly, then draws the sun four times as often as
the fill: about by the light that they send to the ground (sun 0.43, back 0.28, key 0.20, fill 0.09). They are eight in all because a
sample pattern of 8 or 16 meets eight lamps equally often."""


def build_stage(scene: bpy.types.Scene, camera: Camera) -> None:
    """What is the same for every shot of a domain: the sweep behind the objects as `camera` sees them, world, a camera."""
    scene.world = _world("black", 0.0)
    ground = sweep_behind(camera)
    sweep = add_object(scene, "sweep", new_mesh("sweep", _surface(ground)))
    sweep.data.materials.append(material("ground"))
    sweep.rotation_euler = (0.0, 0.0, ground.turn)
    # Cycles turns a mesh that one object alone shows into the world's frame, where the boxes around these long, slanting facets are huge
    # and all rays enter all of them. A second object, which nothing ever sees, keeps it from that: a frame takes 7 % less time.
    add_object(scene, "sweep's twin", sweep.data).location.z = -1000.0
    scene.camera = add_object(scene, "camera", bpy.data.cameras.new("camera"))


def build_open_stage(scene: bpy.types.Scene) -> None:
    """The same for objects that float: no ground, but an even grey all around, which lights them from every side."""
    scene.world = _world("grey", AMBIENT)
    scene.world.cycles.sampling_method = "NONE"  # what leaves an object meets it anyway: no rays are sent to look for it
    scene.camera = add_object(scene, "camera", bpy.data.cameras.new("camera"))


def set_up(scene: bpy.types.Scene, shot: Shot, lamp_parts: bool, sun: bool = True) -> None:
    """Aim the camera, and put up the sun, if there is to be one, and the lamps, as the shot has them."""
    parts = PARTS if lamp_parts else {}
    aim_camera(scene, shot.viewpoint)
    if sun:
        add_sun(scene, parts.get("sun", 1))
    for lamp in shot.lamps:
        add_lamp(scene, lamp, parts.get(lamp.name, 1))


def aim_camera(scene: bpy.types.Scene, camera: Camera) -> None:
    """Put the scene's camera where the labels' camera is."""
    scene.camera.matrix_world = _placed(camera.location, camera.target)
    scene.camera.data.sensor_fit = "AUTO"
    scene.camera.data.sensor_width = camera.sensor_mm
    scene.camera.data.lens = camera.lens_mm


def add_lamp(scene: bpy.types.Scene, lamp: Lamp, parts: int = 1) -> None:
    """A square area lamp that faces the origin, cut into `parts` strips that together send out the same light."""
    light = bpy.data.lights.new(lamp.name, "AREA")
    light.shape = "RECTANGLE"
    light.size, light.size_y = lamp.size / parts, lamp.size
    light.energy = lamp.power / parts
    light.color = lamp.color
    for part in range(parts):
        aside = Matrix.Translation((lamp.size * ((part + 0.5) / parts - 0.5), 0.0, 0.0))
        add_object(scene, lamp.name, light).matrix_world = _placed(lamp.location, (0.0, 0.0, 0.0)) @ aside


def add_sun(scene: bpy.types.Scene, parts: int = 1) -> None:
    """The sun, as `parts` equal ones in one place."""
    light = bpy.data.lights.new("sun", "SUN")
    light.energy = SUN_STRENGTH / parts
    for _ in range(parts):
        add_object(scene, "sun", light).rotation_euler = SUN_EULER


def add_object(scene: bpy.types.Scene, name: str, data: bpy.types.ID) -> bpy.types.Object:
    """A new object in the scene that shows a mesh, a light or a camera."""
    made = bpy.data.objects.new(name, data)
    scene.collection.objects.link(made)
    return made


def _world(name: str, grey: float) -> bpy.types.World:
    """Surroundings of one grey, as linear light."""
    world = bpy.data.worlds.new(name)
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    background.inputs["Strength"].default_value = grey
    return world


def _placed(location: Vec3, target: Vec3) -> Matrix:
    """At `location`, looking along -Z to `target`: cameras and lamps alike."""
    return Matrix.Translation(location) @ Matrix(look_at(location, target).tolist()).to_4x4()


def _surface(sweep: Sweep) -> Surface:
    points, normals = sweep.profile()
    return swept(points, normals, sweep.half_width)

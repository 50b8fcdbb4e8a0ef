"""The stage that objects stand on: sweep, camera, lamps, sun and the black world around them. Lengths in metres."""

from __future__ import annotations

import bpy
from mathutils import Matrix

from blender_scenes.geometry import Surface, swept
from blender_scenes.materials import material
from blender_scenes.shapes import new_mesh
from datagen.camera import look_at
from datagen.ground import Sweep, sweep_behind
from datagen.scene import Camera, Lamp, Vec3

SUN_STRENGTH = 0.45  # W/m²
SUN_EULER = (0.236, 0.417, 0.097)  # radians


def build_stage(scene: bpy.types.Scene, camera: Camera) -> None:
    """What is the same for every shot of a domain: the sweep behind the objects as `camera` sees them, sun, world, a camera."""
    world = bpy.data.worlds.new("black")
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    scene.world = world
    add_object(scene, "sun", _sun()).rotation_euler = SUN_EULER
    ground = sweep_behind(camera)
    sweep = add_object(scene, "sweep", new_mesh("sweep", _surface(ground)))
    sweep.data.materials.append(material("ground"))
    sweep.rotation_euler = (0.0, 0.0, ground.turn)
    scene.camera = add_object(scene, "camera", bpy.data.cameras.new("camera"))


def aim_camera(scene: bpy.types.Scene, camera: Camera) -> None:
    """Put the scene's camera where the labels' camera is."""
    scene.camera.matrix_world = _placed(camera.location, camera.target)
    scene.camera.data.sensor_fit = "AUTO"
    scene.camera.data.sensor_width = camera.sensor_mm
    scene.camera.data.lens = camera.lens_mm


def add_lamp(scene: bpy.types.Scene, lamp: Lamp) -> bpy.types.Object:
    """A square area lamp that faces the origin."""
    light = bpy.data.lights.new(lamp.name, "AREA")
    light.shape = "SQUARE"
    light.size = lamp.size
    light.energy = lamp.power
    light.color = lamp.color
    placed = add_object(scene, lamp.name, light)
    placed.matrix_world = _placed(lamp.location, (0.0, 0.0, 0.0))
    return placed


def add_object(scene: bpy.types.Scene, name: str, data: bpy.types.ID) -> bpy.types.Object:
    """A new object in the scene that shows a mesh, a light or a camera."""
    made = bpy.data.objects.new(name, data)
    scene.collection.objects.link(made)
    return made


def _placed(location: Vec3, target: Vec3) -> Matrix:
    """At `location`, looking along -Z to `target`: cameras and lamps alike."""
    return Matrix.Translation(location) @ Matrix(look_at(location, target).tolist()).to_4x4()


def _sun() -> bpy.types.Light:
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy = SUN_STRENGTH
    return sun


def _surface(sweep: Sweep) -> Surface:
    points, normals = sweep.profile()
    return swept(points, normals, sweep.half_width)

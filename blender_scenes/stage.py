"""The stage that objects stand on: sweep, camera, lamps, sun and the black world around them. Lengths in metres."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from blender_scenes.geometry import Surface, swept
from blender_scenes.materials import material
from blender_scenes.shapes import new_mesh
from datagen.camera import look_at
from datagen.scene import Camera, Lamp, Vec3

SUN_STRENGTH = 0.45  # W/m²
SUN_EULER = (0.236, 0.417, 0.097)  # radians

SWEEP_NEAR = 30.0  # how far the ground runs towards the camera
SWEEP_FLAT = 10.6  # how far it stays flat behind the origin
SWEEP_RADIUS = 9.4  # of its curve
SWEEP_HEIGHT = 23.0  # of its backdrop
SWEEP_HALF_WIDTH = 40.0
SWEEP_TURN = 0.4  # radians about Z by which the backdrop is turned away from facing the camera squarely
SWEEP_STEPS = 32  # facets along the curve


def build_stage(scene: bpy.types.Scene, camera: Camera) -> None:
    """What is the same for every shot of a domain: the sweep behind the objects as `camera` sees them, sun, world, a camera."""
    world = bpy.data.worlds.new("black")
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    scene.world = world
    add_object(scene, "sun", _sun()).rotation_euler = SUN_EULER
    sweep = add_object(scene, "sweep", new_mesh("sweep", _sweep()))
    sweep.data.materials.append(material("ground"))
    sweep.rotation_euler = (0.0, 0.0, _heading(camera) + SWEEP_TURN)
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


def _heading(camera: Camera) -> float:
    """The turn about Z, in radians, that brings +Y to where the camera looks."""
    ahead = np.subtract(camera.target, camera.location)
    return float(np.arctan2(-ahead[0], ahead[1]))


def _sweep() -> Surface:
    """Flat around the origin, a quarter circle behind it (+Y), then straight up."""
    angles = np.linspace(0.0, np.pi / 2, SWEEP_STEPS + 1)
    curve = np.stack([SWEEP_FLAT + SWEEP_RADIUS * np.sin(angles), SWEEP_RADIUS * (1.0 - np.cos(angles))], axis=1)
    normals = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    profile = np.concatenate([[(-SWEEP_NEAR, 0.0)], curve, [(SWEEP_FLAT + SWEEP_RADIUS, SWEEP_HEIGHT)]])
    return swept(profile, np.concatenate([normals[:1], normals, normals[-1:]]), SWEEP_HALF_WIDTH)

"""The stage that objects stand on: sweep, camera, lamps, sun and the black world around them. Lengths in metres."""

from __future__ import annotations

from dataclasses import replace

import bpy
from mathutils import Matrix

from blender_scenes.block_cache import BlockCache
from blender_scenes.geometry import swept
from blender_scenes.materials import material
from blender_scenes.shapes import new_mesh
from datagen.geometry.camera import look_at
from datagen.geometry.ground import Sweep, sweep_behind, sweep_for
from datagen.scene import Camera, Lamp, Shot, Vec3

SUN_STRENGTH = 0.45  # W/m²
SUN_EULER = (0.236, 0.417, 0.097)  # radians
TURN = "turn"
"""The custom property that marks a stage's sweep; its value is the turn of the domain's own sweep, in radians."""
TWIN = "ground's twin"
UNSEEN = "ground (unseen copy, for speed)"
"""The name of a sweep's second object, and the one that `name_twin` gives it."""
MESHES_KEPT = 16  # of sweeps
AMBIENT = 0.3  # grey level of the open stage's surroundings; white is 1
PARTS = {"sun": 4, "back": 2}
"""Into how many equal parts the strongest lamps can be cut. With even sampling of lamps, Cycles then picks the sun four times as often as
the fill, about in proportion to the light on the ground (sun 0.43, back 0.28, key 0.20, fill 0.09). There are eight lamps in all, because
a pattern of 8 or 16 samples picks each of eight equally often."""


def build_stage(scene: bpy.types.Scene, camera: Camera) -> None:
    """Build what all shots of a domain share: the sweep behind the objects as `camera` sees them, a black world, a camera.

    `set_up` moves the sweep for other cameras.
    """
    scene.world = _world("black", 0.0)
    ground = sweep_behind(camera)
    sweep = add_object(scene, "ground", _sweep_mesh(ground))
    sweep.rotation_euler = (0.0, 0.0, ground.turn)
    sweep[TURN] = ground.turn
    # Cycles transforms a mesh with a single user to world coordinates, where the bounding boxes of these long, slanting facets are huge
    # and every ray enters all of them. A second object, which no camera sees, prevents that: a frame takes 7 % less time.
    add_object(scene, TWIN, sweep.data).location.z = -1000.0
    scene.camera = add_object(scene, "camera", bpy.data.cameras.new("camera"))


def build_open_stage(scene: bpy.types.Scene) -> None:
    """Build the stage for floating objects: a camera, and instead of a ground a uniform grey world, which lights them from all sides."""
    scene.world = _world("grey", AMBIENT)
    scene.world.cycles.sampling_method = "NONE"  # reflected rays reach the world anyway: no need to sample it as a lamp
    scene.camera = add_object(scene, "camera", bpy.data.cameras.new("camera"))


def set_up(scene: bpy.types.Scene, shot: Shot, lamp_parts: bool, sun: bool = True) -> None:
    """Aim the camera, place the sweep for it, and add the shot's lamps and, if `sun`, the sun, cut into parts if `lamp_parts`."""
    parts = PARTS if lamp_parts else {}
    aim_camera(scene, shot.viewpoint)
    turned = turn_sweep(scene, shot)
    if sun:
        add_sun(scene, parts.get("sun", 1), turned)  # turned with the sweep, whose backdrop would else be in its own shadow
    for lamp in shot.lamps:
        add_lamp(scene, lamp, parts.get(lamp.name, 1))


def aim_camera(scene: bpy.types.Scene, camera: Camera) -> None:
    """Put the scene's camera where the labels' camera is."""
    scene.camera.matrix_world = _placed(camera.location, camera.target)
    scene.camera.data.sensor_fit = "AUTO"
    scene.camera.data.sensor_width = camera.sensor_mm
    scene.camera.data.lens = camera.lens_mm


def turn_sweep(scene: bpy.types.Scene, shot: Shot) -> float:
    """Place the sweep, if there is one, where this shot's depth has it. Return its turn from the domain's own sweep, in radians."""
    sweep = _sweep_of(scene)
    if sweep is None:
        return 0.0
    own = Sweep(sweep[TURN])
    wanted = sweep_for(own, shot.viewpoint, shot.width, shot.height)
    mesh = _sweep_mesh(wanted)
    for shown in [sweep, *_twins(scene, sweep)]:
        shown.data = mesh
    sweep.rotation_euler = (0.0, 0.0, wanted.turn)
    return wanted.turn - own.turn


def name_twin(scene: bpy.types.Scene) -> None:
    """Say in the name of the sweep's second object what it is for, keep it out of viewports, and remove the sweep's mark.

    It stays: without it Cycles rounds the sweep's vertices otherwise, and the picture is not the same to the byte.
    """
    sweep = _sweep_of(scene)
    if sweep is not None:
        for twin in _twins(scene, sweep):
            twin.name, twin.hide_viewport = UNSEEN, True
        del sweep[TURN]


def _sweep_of(scene: bpy.types.Scene) -> bpy.types.Object | None:
    return next((shown for shown in scene.objects if TURN in shown), None)


def _twins(scene: bpy.types.Scene, sweep: bpy.types.Object) -> list[bpy.types.Object]:
    return [shown for shown in scene.objects if shown.data == sweep.data and shown != sweep]


def add_lamp(scene: bpy.types.Scene, lamp: Lamp, parts: int = 1) -> None:
    """Add a square area lamp that faces the origin, cut into `parts` strips that together send out the same light."""
    light = bpy.data.lights.new(lamp.name, "AREA")
    light.shape = "RECTANGLE"
    light.size, light.size_y = lamp.size / parts, lamp.size
    light.energy = lamp.power / parts
    light.color = lamp.color
    for part in range(parts):
        aside = Matrix.Translation((lamp.size * ((part + 0.5) / parts - 0.5), 0.0, 0.0))
        add_object(scene, lamp.name, light).matrix_world = _placed(lamp.location, (0.0, 0.0, 0.0)) @ aside


def add_sun(scene: bpy.types.Scene, parts: int = 1, turned: float = 0.0) -> None:
    """Add the sun as `parts` equal suns in one place, turned about Z by `turned` radians."""
    light = bpy.data.lights.new("sun", "SUN")
    light.energy = SUN_STRENGTH / parts
    for _ in range(parts):
        add_object(scene, "sun", light).rotation_euler = (*SUN_EULER[:2], SUN_EULER[2] + turned)


def add_object(scene: bpy.types.Scene, name: str, data: bpy.types.ID) -> bpy.types.Object:
    """A new object in the scene that shows a mesh, a light or a camera."""
    made = bpy.data.objects.new(name, data)
    scene.collection.objects.link(made)
    return made


def _world(name: str, grey: float) -> bpy.types.World:
    """A world of one grey, given as linear light."""
    world = bpy.data.worlds.new(name)
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    background.inputs["Strength"].default_value = grey
    return world


def _placed(location: Vec3, target: Vec3) -> Matrix:
    """The matrix of a camera or lamp at `location` whose -Z axis points to `target`."""
    return Matrix.Translation(location) @ Matrix(look_at(location, target).tolist()).to_4x4()


def _remove_mesh(mesh: bpy.types.Mesh) -> None:
    bpy.data.meshes.remove(mesh)  # looked up at each call: Blender may have been reset since the import


_meshes: BlockCache[bpy.types.Mesh] = BlockCache(MESHES_KEPT, _remove_mesh)


def forget_meshes() -> None:
    """Forget the sweeps that were made, as Blender has done when it was reset."""
    _meshes.forget()


def _sweep_mesh(sweep: Sweep) -> bpy.types.Mesh:
    """The mesh of a sweep, without its turn."""

    def make() -> bpy.types.Mesh:
        points, normals = sweep.profile()
        mesh = new_mesh("ground", swept(points, normals, sweep.half_width))
        mesh.materials.append(material("ground"))
        return mesh

    return _meshes.get(replace(sweep, turn=0.0), make)
